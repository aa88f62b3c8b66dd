"""Functions that have a kernel for their gradient, and a composite of plain functions for its derivatives."""

from collections.abc import Sequence
from typing import Any

from tinygen.backend import Array
from tinygen.engine.backward import backpropagate
from tinygen.engine.function import Function
from tinygen.engine.mode import is_recording
from tinygen.engine.tensor import Tensor, array_of


class Alias(Function):
    """The identity: the same values in another tensor, at which a walk can stop."""

    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g


class Fused(Function):
    """A function with its own kernel for first-order gradients.

    `composite(*xs)` computes the same in plain functions of Tensors. `kernel_backward(g, y, *xs)` takes
    arrays and returns the first-order gradients. If those have to be differentiated in turn, backward
    differentiates the composite instead.
    """

    __slots__ = ()

    def composite(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no composite")

    def kernel_backward(self, *args: Any, **kwargs: Any) -> tuple[Array | None, ...]:
        raise NotImplementedError(f"{type(self).__name__} has no kernel_backward")

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], *xs: Any) -> tuple[Tensor | None, ...]:
        if not is_recording():
            gradients = self.kernel_backward(g.data, y.data, *map(array_of, xs))
            return tuple(None if gradient is None else Tensor(gradient) for gradient in gradients)
        aliases = [Alias()(x) if isinstance(x, Tensor) else x for x in xs]
        wanted = [alias for alias, need in zip(aliases, needs, strict=True) if need]
        ends = {alias for alias in aliases if isinstance(alias, Tensor)}
        found = iter(backpropagate([self.composite(*aliases)], [g], wanted, True, True, ends))
        return tuple(next(found) if need else None for need in needs)
