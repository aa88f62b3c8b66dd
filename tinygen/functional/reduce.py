"""Sums, means and variances, and the largest and smallest elements.

`axis` is an axis, a tuple of axes, or None for all of them; `keepdims` leaves the reduced axes with
size 1.
"""

import math
from dataclasses import dataclass

import numpy
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from tinygen_kernels import for_array

from tinygen.backend import Array, Shard, array_module, shard
from tinygen.engine.function import Function
from tinygen.engine.tensor import Axis, Shape, Tensor, tensor_method
from tinygen.functional.elementwise import exp, sqrt
from tinygen.functional.shape import broadcast_to, flip, reshape

# With fewer numbers NumPy's own sum is faster than starting threads.
_MANY = 1 << 18

# The sum of so many equal float32 numbers, added one after the other, has an error of at most 3e-7.
_FEW = 16


def _reduced(shape: Shape, axis: Axis) -> set[int]:
    """The axes that a reduction over axis removes, none negative. Raises ValueError for a wrong axis."""
    return set(range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape)))


def _kept(shape: Shape, axis: Axis) -> Shape:
    """The shape after a reduction over axis with keepdims."""
    reduced = _reduced(shape, axis)
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _share(shape: Shape, axis: Axis) -> float:
    """The weight of each element in a mean: 1 / their number. Raises ValueError where there are none."""
    count = math.prod(n for n, kept in zip(shape, _kept(shape, axis), strict=True) if kept == 1)
    if count == 0:
        raise ValueError(f"there are no elements in {shape} over axis {axis}")
    return 1.0 / count


def total(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum of an array over axis, in float32 accurate to about 1e-6 of the sum of |x|.

    That holds for any axes, sizes and strides. NumPy sums pairwise (Higham, 1993) only along elements
    that are neighbours in memory. Along any other axis it adds row after row to one sum, whose error
    grows with the number of rows: 1% for 10^6.
    """
    contiguous = x.flags.c_contiguous
    if x.size <= _FEW or (axis is None and contiguous) or x.dtype.kind != "f":
        return x.sum(axis=axis, keepdims=keepdims)
    axes, kept = sorted(_reduced(x.shape, axis)), x.ndim - 1
    if contiguous and x.size >= _MANY and axes == list(range(kept)):
        y = for_array(x).column_sums(x)  # the gradient of a bias
    elif not isinstance(x, numpy.ndarray) or (contiguous and axes == list(range(x.ndim - len(axes), x.ndim))):
        y = x.sum(axis=tuple(axes))
    else:
        y = _sum_pairwise(x, axes)
    return y.reshape(_kept(x.shape, axis)) if keepdims else y


def _sum_pairwise(x: Array, axes: list[int]) -> Array:
    """The sum over axes, one after the other: first the broadcast ones, then by falling stride."""
    order = sorted(axes, key=lambda axis: (x.strides[axis] != 0, -abs(x.strides[axis])))
    x = x.transpose(*order, *(axis for axis in range(x.ndim) if axis not in axes))
    for _ in axes:
        if len(x) > _FEW and x.strides[0] == 0:
            x = x[0] * float(len(x))
        else:
            while len(x) > _FEW:
                half = len(x) // 2
                halves = x[:half] + x[half : 2 * half]
                if len(x) % 2:
                    halves[0] += x[-1]
                x = halves
            x = x.sum(axis=0)
    return x


@dataclass(slots=True, eq=False)
class SumFunction(Function):
    axis: Axis
    keepdims: bool

    def forward(self, x: Array) -> Array:
        return total(x, self.axis, self.keepdims)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return broadcast_to(reshape(g, _kept(x.shape, self.axis)), x.shape)


@dataclass(slots=True, eq=False)
class MeanFunction(Function):
    axis: Axis
    keepdims: bool

    def forward(self, x: Array) -> Array:
        share = _share(x.shape, self.axis)
        if self.axis is None and not isinstance(x, numpy.ndarray):
            return x.mean(keepdims=self.keepdims)  # one launch instead of two
        return total(x, self.axis, self.keepdims) * share

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return broadcast_to(reshape(g * _share(x.shape, self.axis), _kept(x.shape, self.axis)), x.shape)


@dataclass(slots=True, eq=False)
class SharedMeanFunction(Function):
    """The mean over the processes that share a batch, which is its own adjoint (see `backend/shards.py`)."""

    shard: Shard

    def forward(self, x: Array) -> Array:
        return self.shard.mean(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return SharedMeanFunction(self.shard)(g)


@dataclass(slots=True, eq=False)
class CumSumFunction(Function):
    axis: int

    def forward(self, x: Array) -> Array:
        # In float32 the error would grow with the number of terms.
        return x.cumsum(axis=self.axis, dtype=numpy.float64 if x.dtype.kind == "f" else x.dtype).astype(x.dtype)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return flip(cumsum(flip(g, self.axis), self.axis), self.axis)


@dataclass(slots=True, eq=False)
class MaxFunction(Function):
    axis: Axis
    keepdims: bool

    def forward(self, x: Array) -> Array:
        return x.max(axis=self.axis, keepdims=self.keepdims)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        kept = _kept(x.shape, self.axis)
        chosen = x.data == y.data.reshape(kept)
        share = (chosen / chosen.sum(axis=self.axis, keepdims=True)).astype(x.dtype)
        return reshape(g, kept) * Tensor(share)


class MinFunction(MaxFunction):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return x.min(axis=self.axis, keepdims=self.keepdims)


@dataclass(slots=True, eq=False)
class LogSumExpFunction(Function):
    axis: Axis
    keepdims: bool

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        largest = x.max(axis=self.axis, keepdims=True)
        largest = xp.where(xp.isfinite(largest), largest, 0.0)  # inf - inf would be nan
        y = xp.log(total(xp.exp(x - largest), self.axis, keepdims=True)) + largest
        return y if self.keepdims else y.squeeze(self.axis)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        kept = _kept(x.shape, self.axis)
        return reshape(g, kept) * exp(x - reshape(y, kept))


@tensor_method("sum")
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axis. The sum of integers or booleans is an integer, as NumPy's."""
    if x.dtype.kind != "f":
        return Tensor(array_module(x.data).asarray(total(x.data, axis, keepdims)))
    return SumFunction(axis, keepdims)(x)


@tensor_method("sum_to")
def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """The adjoint of broadcast_to: x, summed over the axes along which `shape` would be broadcast."""
    lead = x.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[lead:], strict=True)):
        raise ValueError(f"sum_to: {shape} does not broadcast to {x.shape}")
    stretched = tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    return reshape(SumFunction(tuple(range(lead)) + stretched, False)(x), shape)


@tensor_method("mean")
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axis. The mean of integers or booleans is float32.

    Where processes share a batch, whose rows are along the first axis, a mean over this axis is over
    the rows of all of them.

    Raises ValueError where there are no elements.
    """
    shared = shard()
    if x.dtype.kind == "f":
        y = MeanFunction(axis, keepdims)(x)
    else:
        y = Tensor(array_module(x.data).asarray(total(x.data, axis, keepdims) * _share(x.shape, axis), numpy.float32))
    return y if shared is None or 0 not in _reduced(x.shape, axis) else SharedMeanFunction(shared)(y)


@tensor_method("var")
def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The biased variance over axis: the mean of (x - mean)^2."""
    deviation = x - mean(x, axis, keepdims=True)
    return mean(deviation * deviation, axis, keepdims)


@tensor_method("std")
def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The square root of the biased variance over axis.

    Where all elements are equal it has no derivative: the gradient is infinite or NaN.
    """
    return sqrt(var(x, axis, keepdims))


@tensor_method("max")
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over axis; equal ones share the gradient equally."""
    return MaxFunction(axis, keepdims)(x)


@tensor_method("min")
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axis; equal ones share the gradient equally."""
    return MinFunction(axis, keepdims)(x)


@tensor_method("logsumexp")
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log sum e^x over axis. Never overflows; of nothing but -inf it is -inf."""
    return LogSumExpFunction(axis, keepdims)(x)


@tensor_method("argmax")
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) largest element along axis; without an axis, in x flattened."""
    return _index_of("argmax", x, axis, keepdims)


@tensor_method("argmin")
def argmin(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the (first) smallest element along axis; without an axis, in x flattened."""
    return _index_of("argmin", x, axis, keepdims)


def _index_of(name: str, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    xp = array_module(x.data)
    if axis is not None:
        normalize_axis_index(axis, x.ndim, name)
    if not x.size:
        raise ValueError(f"{name}: there is no element in {x.shape}")
    return Tensor(xp.asarray(getattr(xp, name)(x.data, axis=axis, keepdims=keepdims)))


@tensor_method("cumsum")
def cumsum(x: Tensor, axis: int | None = None) -> Tensor:
    """y_i = x_0 + ... + x_i along axis; without an axis, of x flattened."""
    if axis is None:
        return cumsum(reshape(x, (-1,)), 0)
    return CumSumFunction(normalize_axis_index(axis, x.ndim, "cumsum"))(x)
