"""Functions that select elements: by a condition, the larger or smaller, within bounds."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.tensor import Operand, Tensor, tensor_method


class MaximumFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a if hasattr(a, "dtype") else b).maximum(a, b)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        half = where(a == b, g * 0.5, 0.0)
        return (
            where(a > b, g, half) if needs[0] else None,
            where(a < b, g, half) if needs[1] else None,
        )


class MinimumFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a if hasattr(a, "dtype") else b).minimum(a, b)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        half = where(a == b, g * 0.5, 0.0)
        return (
            where(a < b, g, half) if needs[0] else None,
            where(a > b, g, half) if needs[1] else None,
        )


@dataclass(slots=True, eq=False)
class WhereFunction(Function):
    condition: Array

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(self.condition).where(self.condition, a, b)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        condition = Tensor(self.condition)
        return where(condition, g, 0.0) if needs[0] else None, where(condition, 0.0, g) if needs[1] else None


class StraightThroughFunction(Function):
    __slots__ = ()

    def forward(self, hard: Array, soft: Array) -> Array:
        return hard

    def backward(self, g: Tensor, y: Tensor, hard: Tensor, soft: Tensor) -> tuple[Tensor | None, ...]:
        return None, g


def where(condition: Tensor | Array, a: Operand, b: Operand) -> Tensor:
    """a where condition holds, b elsewhere. The condition has no gradient.

    An array is copied, since backward needs it and it may be written to before that.
    """
    return WhereFunction(condition.data if isinstance(condition, Tensor) else condition.copy())(a, b)


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b; where they are equal, each gets half of the gradient."""
    return MaximumFunction()(a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b; where they are equal, each gets half of the gradient."""
    return MinimumFunction()(a, b)


@tensor_method("clip")
def clip(x: Tensor, low: float, high: float) -> Tensor:
    """x limited to low ... high. The gradient is 1 from low to high, ends included, and 0 outside.

    Raises ValueError if low > high.
    """
    if low > high:
        raise ValueError(f"clip: low {low} is above high {high}")
    return where(x < low, low, where(x > high, high, x))


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """hard, with the gradient of soft: the straight-through estimator (Bengio, Leonard & Courville, 2013).

    A choice, such as the nearest row of a codebook, has no slope; its gradient goes to what it was
    chosen for instead, as if the two were equal: straight_through(nearest(z), z). Raises ValueError
    where the shapes differ.
    """
    if hard.shape != soft.shape:
        raise ValueError(f"straight_through: hard {hard.shape} and soft {soft.shape} must have one shape")
    return StraightThroughFunction()(hard, soft)


@tensor_method("isfinite")
def isfinite(x: Tensor) -> Tensor:
    """A mask, true where x is neither infinite nor NaN."""
    return Tensor(array_module(x.data).asarray(array_module(x.data).isfinite(x.data)))
