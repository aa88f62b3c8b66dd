"""One node of the graph: a function of arrays and its derivative.

`forward` maps raw arrays to a raw array, and `backward` maps the gradient of the output to the gradients of the inputs. `backward` is
written in Tensors and functions of Tensors, so it can be recorded and differentiated in its turn.

One rule keeps higher orders right: in `backward`, whatever depends smoothly on an input is reached through the Tensors `y` and `xs`;
only piecewise-constant data (masks, indices, noise, shapes) may be kept raw.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from tinygen.backend import Array
from tinygen.engine import errors, mode
from tinygen.engine.tensor import Tensor

_numbers = itertools.count()


class Function:
    """One node of the graph, made by applying it: `y = Mul()(a, b)`.

    Subclasses define `forward(self, *arrays)`, which returns a new array of the inputs' dtype (or a view of an input), and
    `backward(self, g, y, *xs)`, which returns one gradient for each input: a Tensor, or None where there is none. `g` is the
    gradient of the output y. Parameters are attributes of the instance, which stands for this one application. A gradient may
    have the broadcast shape of the output: the engine sums it down to the input's. `self.needs[i]` tells backward whether the
    gradient of input i is wanted. Inputs are Tensors, Python numbers (constants), or None (an absent optional input).

    A function of one input of which it reads a part may define `add_to(total, g)`: it adds its
    gradient, given g, in place to the array of the gradients that reached the input before. `grad`
    then needs no array that is zero in all but that part.

    Raises ValueError where an instance that is a node of a graph already is applied again.
    """

    __slots__ = ("inputs", "line", "needs", "number")
    inputs: Any
    needs: Sequence[bool]
    number: int  # of nodes, the later applied has the larger
    line: str
    add_to: Callable[[Array, Array], None] | None = None
    changes_dtype = False  # whether the result may have another floating dtype than the inputs

    def forward(self, *args: Any, **kwargs: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *args: Any, **kwargs: Any) -> "Tensor | tuple[Tensor | None, ...] | None":
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, *inputs: Any) -> Tensor:
        arrays = []
        dtype = None
        requires_grad = False
        for x in inputs:
            if isinstance(x, Tensor):
                a = x.data
                arrays.append(a)
                if a.dtype is not dtype:
                    if dtype is not None and a.dtype != dtype:
                        raise errors.mixed_dtypes(self, inputs)
                    dtype = a.dtype
                if x.requires_grad:
                    requires_grad = mode.switches.recording
            else:
                arrays.append(_constant(self, x, inputs))
        try:
            y = self.forward(*arrays)
        except (IndexError, TypeError, ValueError) as error:
            raise errors.explained(self, error, inputs) from error
        if isinstance(y, numpy.generic):  # NumPy turns results of shape () into scalars
            y = numpy.asarray(y)
        if y.dtype is not dtype and y.dtype != dtype and not self.changes_dtype:
            raise errors.mixed_dtypes(self, inputs, y)
        if mode.switches.detecting_anomalies:
            self.line = errors.users_line()
            errors.expect_finite(y, "output", self, inputs)
        if not requires_grad:
            return Tensor(y)
        if hasattr(self, "inputs"):
            raise errors.applied_twice(self)
        self.inputs = inputs
        self.number = next(_numbers)
        return Tensor(y, True, self)


def _constant(node: Function, x: Any, inputs: Sequence[Any]) -> float | None:
    """A Python number, which takes the dtype of the arrays around it. NumPy's own scalars would drag float32 up to float64."""
    if not (x is None or isinstance(x, int | float | numpy.generic)):
        raise errors.not_an_operand(node, x)
    if not isinstance(inputs[0], Tensor) and not any(isinstance(other, Tensor) for other in inputs):
        raise errors.no_tensor(node, inputs)
    return x.item() if isinstance(x, numpy.generic) else x
