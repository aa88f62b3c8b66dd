"""Functions that move elements without changing them.

Each is linear, and its adjoint is another of them, or a sum. Results may be views that share memory
with the input.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygen.backend import Array, array_module, capturing
from tinygen.engine.function import Function
from tinygen.engine.tensor import Axis, Shape, Tensor, tensor_method
from tinygen.functional.indexing import getitem
from tinygen.functional.selection import where


@dataclass(slots=True, eq=False)
class ReshapeFunction(Function):
    shape: Shape

    def forward(self, x: Array) -> Array:
        try:
            return x.reshape(self.shape)
        except ValueError:
            raise ValueError(f"{x.size} elements cannot make the shape {self.shape}") from None

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
        xp = array_module(xs[0])
        if not capturing():
            return xp.concatenate(xs, axis=self.axis)
        # CuPy sends the addresses of many arrays from the host, which a CUDA graph cannot hold.
        before, along, behind = xs[0].shape[: self.axis], [x.shape[self.axis] for x in xs], xs[0].shape[self.axis + 1 :]
        y = xp.empty((*before, sum(along), *behind), xp.result_type(*xs))
        for x, end in zip(xs, itertools.accumulate(along), strict=True):
            y[index_along(y.ndim, self.axis, slice(end - x.shape[self.axis], end))] = x
        return y

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], *xs: Tensor) -> tuple[Tensor | None, ...]:
        parts: list[Tensor | None] = []
        start = 0
        for x, need in zip(xs, needs, strict=True):
            stop = start + x.shape[self.axis]
            parts.append(g[index_along(g.ndim, self.axis, slice(start, stop))] if need else None)
            start = stop
        return tuple(parts)


@dataclass(slots=True, eq=False)
class RollFunction(Function):
    shift: int | tuple[int, ...]
    axis: Axis

    def forward(self, x: Array) -> Array:
        return array_module(x).roll(x, self.shift, self.axis)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        back = tuple(-n for n in self.shift) if isinstance(self.shift, tuple) else -self.shift
        return RollFunction(back, self.axis)(g)


def index_along(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    """The index that takes part of one axis and all of the others."""
    index = [slice(None)] * ndim
    index[axis] = part
    return tuple(index)


def shape_arguments(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """f(x, 2, 3) and f(x, (2, 3)) mean the same."""
    return tuple(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list | tuple) else arguments


@tensor_method("reshape")
def reshape(x: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """The elements of x, in row-major order, in another shape; one size may be -1.

    Raises ValueError where the shape has not as many elements.
    """
    return ReshapeFunction(shape_arguments(shape))(x)


@tensor_method("transpose")
def transpose(x: Tensor, *axes: int | Sequence[int] | None) -> Tensor:
    """x with its axes in the given order, reversed by default: axis i of the result is axis axes[i] of x.

    Raises ValueError where axes are not a permutation.
    """
    order = shape_arguments(axes) if axes and axes != (None,) else tuple(reversed(range(x.ndim)))
    from_0 = tuple(axis + x.ndim if isinstance(axis, int) and axis < 0 else axis for axis in order)
    if set(from_0) != set(range(x.ndim)) or len(from_0) != x.ndim:
        cure = f"; x.swapaxes{order} exchanges two" if len(order) == 2 < x.ndim else ""
        raise ValueError(f"transpose: axes {order} are not a permutation of the {x.ndim} axes of shape {x.shape}{cure}")
    return TransposeFunction(from_0)(x)


@tensor_method("swapaxes")
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """x with two of its axes exchanged."""
    i, j = (normalize_axis_index(axis, x.ndim, "swapaxes") for axis in (axis1, axis2))
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return TransposeFunction(tuple(order))(x)


@tensor_method("squeeze")
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """x without its axes of size 1, or without those named by `axis`.

    Raises ValueError where such an axis has another size.
    """
    dropped = [i for i, n in enumerate(x.shape) if n == 1] if axis is None else normalize_axis_tuple(axis, x.ndim, "squeeze")
    if any(x.shape[i] != 1 for i in dropped):
        raise ValueError(f"squeeze: only axes of size 1 can be dropped, not axis {axis} of shape {x.shape}")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in dropped))


@tensor_method("expand_dims")
def expand_dims(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """x with new axes of size 1, which stand at `axis` in the result."""
    ndim = x.ndim + (len(axis) if isinstance(axis, tuple) else 1)
    new = normalize_axis_tuple(axis, ndim, "expand_dims")
    sizes = iter(x.shape)
    return reshape(x, tuple(1 if i in new else next(sizes) for i in range(ndim)))


@tensor_method("broadcast_to")
def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along new leading axes and axes of size 1, without a copy."""
    return BroadcastToFunction(tuple(shape))(x)


def concatenate(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors one after the other along an axis that they have."""
    if not xs:
        raise ValueError("concatenate: there is nothing to concatenate")
    return ConcatenateFunction(normalize_axis_index(axis, xs[0].ndim, "concatenate"))(*xs)


def stack(xs: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The tensors, all of one shape, one after the other along a new axis."""
    shapes = {x.shape for x in xs}
    if len(shapes) != 1:
        raise ValueError(f"stack: takes tensors of one shape, got {[x.shape for x in xs]}")
    at = normalize_axis_index(axis, xs[0].ndim + 1, "stack")
    return concatenate([reshape(x, (*x.shape[:at], 1, *x.shape[at:])) for x in xs], at)


@tensor_method("split")
def split(x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """The parts of x along axis: so many of equal size, or those between the indices.

    Raises ValueError where the axis cannot be divided into so many equal parts.
    """
    axis = normalize_axis_index(axis, x.ndim, "split")
    size = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or size % indices_or_sections:
            raise ValueError(f"split: axis {axis} of {x.shape} cannot be divided into {indices_or_sections} equal parts")
        between = [size // indices_or_sections * i for i in range(1, indices_or_sections)]
    else:
        between = list(indices_or_sections)
    return [getitem(x, index_along(x.ndim, axis, slice(start, stop))) for start, stop in itertools.pairwise([0, *between, size])]


@tensor_method("repeat")
def repeat(x: Tensor, repeats: int, axis: int | None = None) -> Tensor:
    """Each element along axis, repeated so many times in a row; without an axis, in x flattened."""
    if axis is None:
        return repeat(reshape(x, (-1,)), repeats, 0)
    at = normalize_axis_index(axis, x.ndim, "repeat") + 1
    before, after = x.shape[:at], x.shape[at:]
    y = broadcast_to(reshape(x, (*before, 1, *after)), (*before, repeats, *after))
    return reshape(y, (*before[:-1], before[-1] * repeats, *after))


def tile(x: Tensor, reps: int | Sequence[int]) -> Tensor:
    """x repeated reps[i] times along axis i. The shorter of x's shape and reps gets leading ones."""
    times = (reps,) if isinstance(reps, int) else tuple(reps)
    ndim = max(x.ndim, len(times))
    shape, times = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - len(times)) + times
    y = reshape(x, tuple(n for size in shape for n in (1, size)))
    y = broadcast_to(y, tuple(n for both in zip(times, shape, strict=True) for n in both))
    return reshape(y, tuple(count * size for count, size in zip(times, shape, strict=True)))


def roll(x: Tensor, shift: int | tuple[int, ...], axis: Axis = None) -> Tensor:
    """x moved by shift places along axis, around the end; without an axis, as if x were flattened."""
    return RollFunction(shift, axis)(x)


def tril(x: Tensor, k: int = 0) -> Tensor:
    """Matrices (..., n, m) with zeros above the k-th diagonal, where j - i > k.

    Raises ValueError where x has fewer than two axes.
    """
    if x.ndim < 2:
        raise ValueError(f"tril: takes matrices (..., n, m), got {x.shape}")
    return where(Tensor(array_module(x.data).tri(*x.shape[-2:], k, dtype=bool)), x, 0.0)


def flip(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """x with the order of its elements reversed along the axes."""
    index = [slice(None)] * x.ndim
    for a in normalize_axis_tuple(axis, x.ndim, "flip"):
        index[a] = slice(None, None, -1)
    return getitem(x, tuple(index))


@tensor_method("flatten")
def flatten(x: Tensor) -> Tensor:
    """(N, ...) -> (N, features): all axes but the first in one. Raises ValueError for shape ()."""
    if not x.ndim:
        raise ValueError("flatten: takes (N, ...), got a tensor without axes")
    return reshape(x, (x.shape[0], math.prod(x.shape[1:])))
