"""A row of `op_table`: a function, the calls to draw for it, and its derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
from hypothesis import strategies as st
from margins import margins
from numpy import ndarray
from op_strategies import (
    Call,
)

import tinygen.functional as F
from tinygen import Tensor, grad
from tinygen.backend import array_module, to_device
from tinygen.testing import random_tensor


@dataclass(frozen=True)
class Example:
    """A function with its other arguments filled in, and arrays to apply it to."""

    function: Callable[..., Tensor]
    arrays: tuple[ndarray, ...]
    expected: ndarray | None

    def tensors(self, dtype: str = "float64", device: str = "cpu", layout: Callable[[ndarray], ndarray] = numpy.copy) -> list[Tensor]:
        return [Tensor(to_device(layout(a.astype(dtype)), device), requires_grad=True) for a in self.arrays]


@dataclass(frozen=True)
class Op:
    """One row: `name` in tinygen.functional, the calls to draw, NumPy's function of the same meaning, and the range of the inputs.

    `linear` says that the function is linear in its first input. `function` stands in where the
    call needs rearranging.
    """

    name: str
    calls: st.SearchStrategy[Call]
    oracle: Callable[..., Any] | None = None
    linear: bool = False
    low: float = -2.0
    high: float = 2.0
    function: Callable[..., Tensor] | None = None
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.note}".rstrip()

    def examples(self) -> st.SearchStrategy[Example]:
        return st.builds(self._example, self.calls, st.integers(0, 2**32 - 1))

    def _example(self, call: Call, seed: int) -> Example:
        sizes, arguments = call
        counts = [int(numpy.prod(size)) for size in sizes]
        # Cut from one array of distinct numbers, so that no element of one input ties with one of another.
        flat = random_tensor((sum(counts),), numpy.random.default_rng(seed), self.low, self.high).data
        parts = numpy.split(flat, numpy.cumsum(counts)[:-1])
        arrays = tuple(part.reshape(size) for part, size in zip(parts, sizes, strict=True))
        expected = None if self.oracle is None else numpy.asarray(self.oracle(*arrays, **arguments))
        return Example(partial(self.function or getattr(F, self.name), **arguments), arrays, expected)


def derivatives(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """y = f(x), then the gradients of <y, c> to x, and then the gradients to x and c of the squares of those.

    c takes part in the last step, so that it is never empty: even a linear function has a gradient
    that moves with c. Raises AssertionError if a kernel writes outside of its arrays.
    """
    with margins():
        y = function(*inputs)
        module = array_module(y.data)
        c = Tensor(module.linspace(1.0, 2.0, y.size, dtype=y.dtype).reshape(y.shape), requires_grad=True)
        first = grad(y, inputs, c, create_graph=True)
        second = grad(first, [*inputs, c], [g.detach() for g in first])
    return [y, *first, *second]


def same(name: str, calls: st.SearchStrategy[Call], expression: Callable[..., Any], **row: Any) -> Op:
    """A row for an expression that means the same for Tensors and for NumPy's arrays."""
    return Op(name, calls, expression, function=expression, **row)
