# mypy: allow-untyped-defs
"""Kernels with one thread for each element.

Neighbouring threads have neighbouring elements: those of the 32 threads of a warp are in 4 sectors
of memory.
"""

import math
from typing import Any

import cupy
import numpy
from numba import cuda, float32, types, uint32, uint64

from tinygen_kernels import Array, Arrays
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.launch import THREADS, contiguous, elementwise, launch, listed, nothing, numbers

_TOGETHER = 8  # sets of arrays that one launch moves: the arguments of a kernel may take 4 KB
_MOST = 1024  # blocks for an array, enough for the whole GPU

_several = types.UniTuple(numbers, _TOGETHER)


def leaky_relu(x: Array, negative_slope: float) -> Array:
    return leaky_relu_backward(x, x, negative_slope)


def leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> Array:
    return _leaky_relu(g.shape, g, y, float(negative_slope))


def dropout(x: Array, p: float, seed: int | Array, first: int = 0) -> Array:
    seed = cupy.asarray(numpy.uint64(seed)) if isinstance(seed, int) else seed
    threshold = numpy.uint64(round(p * 2**32))  # 2^32 itself if p is almost 1
    return _dropout(x.shape, x, seed, threshold, 1 / (1 - p), numpy.uint32(first))


def tanh_backward(g: Array, y: Array) -> Array:
    return _tanh_backward(g.shape, g, y)


def sigmoid(x: Array) -> Array:
    return _binary_cross_entropy_backward(x.shape, x, *_operand(1.0, x), *_operand(0.0, x))


def softplus(x: Array) -> Array:
    return _softplus(x.shape, x)


def binary_cross_entropy(z: Array, t: Array | float) -> Array:
    return _binary_cross_entropy(z.shape, z, *_operand(t, z))


def binary_cross_entropy_backward(g: Array, z: Array, t: Array | float) -> Array:
    return _binary_cross_entropy_backward(z.shape, z, *_operand(g, z), *_operand(t, z))


def adam(p: Arrays, g: Arrays, m: Arrays, v: Arrays, constants: Array) -> None:
    _in_place(_adam, (p, g, m, v), (0, 2, 3), constants)


def blend(a: Arrays, b: Arrays, shares: Array | tuple[float, float]) -> None:
    like = a[0] if isinstance(a, tuple) else a
    _in_place(_blend, (a, b), (0,), *_operand(shares[0], like), *_operand(shares[1], like))


def _operand(value: Array | float, like: Array) -> tuple[Array, Any]:
    """What `_at` reads: an array of as many elements as `like` or of one, or none of these and a number."""
    number = like.dtype.type
    if isinstance(value, int | float):
        return nothing(cupy.cuda.runtime.getDevice(), like.dtype.char), number(value)
    if value.size and not any(value.strides):  # one number seen as many
        value = value[(slice(1),) * value.ndim]
    return (value if value.size == 1 else cupy.broadcast_to(value, like.shape)), number(0)


def _in_place(kernel: Any, groups: tuple[Arrays, ...], written: tuple[int, ...], *constants: Any) -> None:
    """Run a kernel on the first arrays of all groups, the second arrays, and so on, many sets by one launch.

    `written` says to which groups' arrays it writes.
    """
    given = list(zip(*(arrays if isinstance(arrays, tuple) else (arrays,) for arrays in groups), strict=True))
    moved = [tuple(map(contiguous, arrays)) for arrays in given]
    unused = [nothing(cupy.cuda.runtime.getDevice(), moved[0][0].dtype.char)] * len(groups)
    for first in range(0, len(moved), _TOGETHER):
        some = moved[first : first + _TOGETHER]
        blocks = min(-(-max(arrays[0].size for arrays in some) // THREADS), _MOST)
        if blocks:
            sets = zip(*some, *[unused] * (_TOGETHER - len(some)), strict=True)
            launch(kernel, (blocks, len(some), 1), THREADS, *sets, *constants)
    for arrays, elements in zip(given, moved, strict=True):
        for i in written:
            if elements[i] is not arrays[i]:  # but a copy
                arrays[i][...] = elements[i]


@device
def leaky(x, sign, slope):
    """x, but slope * x where sign <= 0: 0 for a slope of 0, even if x is infinite. A NaN stays."""
    return x if not sign <= 0 else slope * x if slope != 0 else slope


@elementwise(numbers, numbers, float32)
def _leaky_relu(i, x, sign, slope):
    return leaky(x[i], sign[i], slope)


@elementwise(numbers, numbers)
def _tanh_backward(i, g, y):
    return g[i] * (y.dtype.type(1) - y[i] * y[i])


@device
def _random_word(i, key, stream):
    """Random word i.

    Philox computes words in pairs. Both threads of a pair compute both words, because this takes no
    longer than the memory accesses.
    """
    left, right = uint32(i // uint32(2)), stream
    for _ in range(10):
        product = uint64(left) * uint64(0xD256D193)
        left, right = uint32(uint32(product >> uint64(32)) ^ key ^ right), uint32(product)
        key = uint32(uint64(key) + uint64(0x9E3779B9))
    return right if i % uint32(2) else left


@elementwise(numbers, uint64[::1], uint64, float32, uint32)
def _dropout(i, x, seed, threshold, scale, first):
    key, stream = uint32(seed[0]), uint32(seed[0] >> uint64(32))
    return x[i] * (x.dtype.type(0) if uint64(_random_word(uint32(first + i), key, stream)) < threshold else scale)


@device
def _at(array, number, i):
    """Element i of an operand."""
    return array[uint32(i % uint32(array.size))] if array.size else number


@device
def _softplus_of(z, zero):
    return max(z, zero) + math.log1p(math.exp(-abs(z)))


@elementwise(numbers)
def _softplus(i, x):
    return _softplus_of(x[i], x.dtype.type(0))


@elementwise(numbers, numbers, float32)
def _binary_cross_entropy(i, z, targets, target):
    return _softplus_of(z[i], z.dtype.type(0)) - z[i] * _at(targets, target, i)


@elementwise(numbers, numbers, float32, numbers, float32)
def _binary_cross_entropy_backward(i, z, all_g, g, targets, target):
    e, one = math.exp(-abs(z[i])), z.dtype.type(1)  # which never overflows
    return _at(all_g, g, i) * ((one if z[i] >= 0 else e) / (one + e) - _at(targets, target, i))


@listed(_several, _several, numbers, float32, numbers, float32)
def _blend(all_a, all_b, kept_share, kept, added_share, added):
    """As `_adam`."""
    array = uint32(cuda.blockIdx.y)
    a, b = all_a[array], all_b[array]
    i = uint32(cuda.grid(1))
    while i < a.size:
        a[i] = _at(kept_share, kept, 0) * a[i] + _at(added_share, added, 0) * b[i]
        i = uint32(i + uint32(cuda.gridDim.x) * uint32(cuda.blockDim.x))


@listed(_several, _several, _several, _several, numbers)
def _adam(all_p, all_g, all_m, all_v, constants):
    """The blocks of row y move arrays number y, each thread every so many-th element."""
    array = uint32(cuda.blockIdx.y)
    p, g, m, v = all_p[array], all_g[array], all_m[array], all_v[array]
    i = uint32(cuda.grid(1))
    while i < p.size:
        mean = constants[1] * m[i] + constants[2] * g[i]
        mean_square = constants[3] * v[i] + constants[4] * (g[i] * g[i])
        m[i] = mean
        v[i] = mean_square
        p[i] = constants[0] * p[i] - constants[5] * mean / (p.dtype.type(math.sqrt(mean_square)) + constants[6])
        i = uint32(i + uint32(cuda.gridDim.x) * uint32(cuda.blockDim.x))
