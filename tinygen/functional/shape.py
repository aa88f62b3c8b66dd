"""Functions that move elements without changing them. Each is linear, and its adjoint is another of them (or a sum).

Results may be views that share memory with the input.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygen.backend import Array, array_module, device_of, to_device
from tinygen.engine.function import Function
from tinygen.engine.tensor import Shape, Tensor, method, raw


@dataclass(slots=True, eq=False)
class Reshape(Function):
    shape: Shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return reshape(g, x.shape)


@dataclass(slots=True, eq=False)
class Transpose(Function):
    axes: tuple[int, ...]

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return transpose(g, tuple(inverse))


@dataclass(slots=True, eq=False)
class BroadcastTo(Function):
    shape: Shape

    def forward(self, x: Array) -> Array:
        return array_module(x).broadcast_to(x, self.shape)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g  # the engine sums it back to the shape of x


@dataclass(slots=True, eq=False)
class GetItem(Function):
    index: Any

    def forward(self, x: Array) -> Array:
        return x[self.index]

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Scatter(self.index, x.shape)(g)


@dataclass(slots=True, eq=False)
class Scatter(Function):
    """The adjoint of GetItem: an array of zeros to which g is added at index; places that occur twice add up."""

    index: Any
    shape: Shape

    def forward(self, g: Array) -> Array:
        xp = array_module(g)
        out = xp.zeros(self.shape, g.dtype)
        parts = self.index if isinstance(self.index, tuple) else (self.index,)
        if not any(hasattr(part, "dtype") and part.ndim > 0 for part in parts):
            out[self.index] = g
        elif g.size:
            positions = xp.arange(out.size).reshape(self.shape)[self.index]
            return _sums_by_position(positions.ravel(), g.ravel(), out.size).reshape(self.shape)
        return out

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return GetItem(self.index)(g)


@dataclass(slots=True, eq=False)
class Concatenate(Function):
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
class Pad(Function):
    widths: tuple[tuple[int, int], ...]

    def forward(self, x: Array) -> Array:
        return array_module(x).pad(x, self.widths)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))]


def _sums_by_position(positions: Array, values: Array, size: int) -> Array:
    """The sums of the values that share a position, (size,), added up in an order that is always the same.

    NumPy adds up in double precision. CuPy's own functions would leave the order to chance. Sorted
    by position, what belongs together is a run. In pass k each value takes in the one 2^k places
    before it in its run, which by then is the sum of 2^k of them; so in the end the last of each run
    is the sum of the run.
    """
    xp = array_module(values)
    if xp is numpy:
        return numpy.bincount(positions, values, size).astype(values.dtype)
    order = positions.argsort()
    positions, values = positions[order], values[order]
    step = 1
    while step < values.size:
        values[step:] += xp.where(positions[step:] == positions[:-step], values[:-step], 0.0)
        step *= 2
    targets = positions.copy()
    targets[:-1] = xp.where(positions[1:] == positions[:-1], size, positions[:-1])  # what is no sum goes behind the end
    sums = xp.zeros(size + 1, values.dtype)
    sums[targets] = values
    return sums[:size]


def _along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    """The index that takes part of one axis and all of the others."""
    index = [slice(None)] * ndim
    index[axis] = part
    return tuple(index)


def _shape_arguments(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """f(x, 2, 3) and f(x, (2, 3)) mean the same."""
    return tuple(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list | tuple) else arguments


@method("reshape")
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The elements of x, in row-major order, in another shape; one size may be -1."""
    return Reshape(_shape_arguments(shape))(x)


@method("transpose")
def transpose(x: Tensor, *axes: Any) -> Tensor:
    """x with its axes in the given order, reversed if none is given; axis i of the result is axis axes[i] of x."""
    order = _shape_arguments(axes) if axes and axes != (None,) else tuple(reversed(range(x.ndim)))
    order_from_0 = tuple(axis + x.ndim if axis < 0 else axis for axis in order)
    if sorted(order_from_0) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes {order} are no order of the {x.ndim} axes of shape {x.shape}")
    return Transpose(order_from_0)(x)


@method("broadcast_to")
def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along new leading axes and axes of size 1, without a copy."""
    return BroadcastTo(tuple(shape))(x)


@method("__getitem__")
def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] for integers, slices, None, ... and integer arrays (lists, arrays or Tensors; in a tuple also tuples), as in NumPy.

    Index arrays are kept for the backward, not copied. Places that occur twice add up their gradients. On a GPU, an index array's
    numbers that lie outside wrap around, and a mask is waited for.
    """
    parts = index if isinstance(index, tuple) else (index,)
    return GetItem(tuple(_index(part, x.device) for part in parts))(x)


def _index(part: Any, device: str) -> Any:
    """One part of an index, arrays on the device of what they index."""
    part = numpy.array(part) if isinstance(part, list | tuple) else raw(part)
    if isinstance(part, numpy.ndarray) and part.ndim == 0:
        return part.item()  # which CuPy takes, too
    return to_device(part, device) if getattr(part, "ndim", 0) else part


def raw_labels(labels: Any) -> Array:
    """The array of labels that are a Tensor, an array or a list."""
    return numpy.asarray(labels) if isinstance(labels, list) else raw(labels)


def expect_labels(name: str, labels: Array, classes: int) -> None:
    """Refuse what are no integers from 0 to classes - 1. Labels that lie on a GPU are not looked at, which would be to wait for it."""
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: labels must be integers, got {labels.dtype}")
    if device_of(labels) == "cpu" and labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(f"{name}: labels from {labels.min()} to {labels.max()} for {classes} classes")


def embedding(weight: Tensor, labels: Tensor | Array) -> Tensor:
    """weight[labels], a row for each label: weight (classes, features), labels (...) integers -> (..., features).

    Raises ValueError where a label is no class; labels that lie on a GPU wrap around instead.
    """
    classes = raw_labels(labels)
    expect_labels("embedding", classes, len(weight))
    return getitem(weight, classes)


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis that they have."""
    if not xs:
        raise ValueError("concatenate: there is nothing to concatenate")
    return Concatenate(normalize_axis_index(axis, xs[0].ndim))(*xs)


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
    return Pad(tuple((int(before), int(after)) for before, after in widths))(x)


def flip(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """x with the order of its elements reversed along the axes."""
    index = [slice(None)] * x.ndim
    for a in normalize_axis_tuple(axis, x.ndim):
        index[a] = slice(None, None, -1)
    return getitem(x, tuple(index))


def flatten(x: Tensor) -> Tensor:
    """(N, ...) -> (N, features): everything but the first axis in one."""
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
