"""Functions that move elements without changing them. Each is linear, and its adjoint is another of them (or a sum).

Results may be views that share memory with the input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.tensor import Shape, Tensor, tensor_method


@dataclass(slots=True, eq=False)
class ReshapeFunction(Function):
    shape: Shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return reshape(g, x.shape)


@dataclass(slots=True, eq=False)
class TransposeFunction(Function):
    axes: tuple[int, ...]

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return transpose(g, tuple(inverse))


@dataclass(slots=True, eq=False)
class BroadcastToFunction(Function):
    shape: Shape

    def forward(self, x: Array) -> Array:
        return array_module(x).broadcast_to(x, self.shape)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g  # the engine sums it back to the shape of x


@dataclass(slots=True, eq=False)
class ConcatenateFunction(Function):
    axis: int

    def forward(self, *xs: Array) -> Array:
        return array_module(xs[0]).concatenate(xs, axis=self.axis)

    def backward(self, g: Tensor, y: Tensor, *xs: Tensor) -> tuple[Tensor | None, ...]:
        parts: list[Tensor | None] = []
        start = 0
        for x, need in zip(xs, self.needs, strict=True):
            stop = start + x.shape[self.axis]
            parts.append(g[_along(g.ndim, self.axis, slice(start, stop))] if need else None)
            start = stop
        return tuple(parts)


@dataclass(slots=True, eq=False)
class PadFunction(Function):
    widths: tuple[tuple[int, int], ...]

    def forward(self, x: Array) -> Array:
        return array_module(x).pad(x, self.widths)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))]


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    """The index that takes part of one axis and all of the others."""
    index = [slice(None)] * ndim
    index[axis] = part
    return tuple(index)


def _shape_arguments(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """f(x, 2, 3) and f(x, (2, 3)) mean the same."""
    return tuple(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list | tuple) else arguments


@tensor_method("reshape")
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements of x, in row-major order, in another shape; one size may be -1."""
    return ReshapeFunction(_shape_arguments(shape))(x)


@tensor_method("transpose")
def transpose(x: Tensor, *axes: Any) -> Tensor:
    """x with its axes in the given order, reversed if none is given; axis i of the result is axis axes[i] of x."""
    order = _shape_arguments(axes) if axes and axes != (None,) else tuple(reversed(range(x.ndim)))
    order_from_0 = tuple(axis + x.ndim if axis < 0 else axis for axis in order)
    if sorted(order_from_0) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes {order} are no order of the {x.ndim} axes of shape {x.shape}")
    return TransposeFunction(order_from_0)(x)


@tensor_method("broadcast_to")
def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along new leading axes and axes of size 1, without a copy."""
    return BroadcastToFunction(tuple(shape))(x)


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis that they have."""
    if not xs:
        raise ValueError("concatenate: there is nothing to concatenate")
    return ConcatenateFunction(normalize_axis_index(axis, xs[0].ndim))(*xs)


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, one after the other along a new axis."""
    shapes = {x.shape for x in xs}
    if len(shapes) != 1:
        raise ValueError(f"stack: takes tensors of one shape, got {[x.shape for x in xs]}")
    at = normalize_axis_index(axis, xs[0].ndim + 1)
    return concatenate([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in xs], at)


def pad(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """x within zeros: widths[i] of them before and after axis i."""
    if len(widths) != x.ndim or any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad: takes one (before, after) >= 0 for each of the {x.ndim} axes of {x.shape}, got {widths}")
    return PadFunction(tuple((int(before), int(after)) for before, after in widths))(x)


def flip(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """x with the order of its elements reversed along the axes."""
    index = [slice(None)] * x.ndim
    for a in normalize_axis_tuple(axis, x.ndim):
        index[a] = slice(None, None, -1)
    return x[tuple(index)]


def flatten(x: Tensor) -> Tensor:
    """(N, ...) -> (N, features): everything but the first axis in one."""
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
