# mypy: allow-untyped-defs
"""Kernels with one thread for each element.

Neighbouring threads have neighbouring elements: those of the 32 threads of a warp are in 4 sectors
of memory.
"""

import math
from collections.abc import Iterator
from typing import Any

import cupy
import numpy
from numba import cuda, float32, types, uint32, uint64

from tinygen_kernels import Array, Arrays
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.launch import THREADS, elementwise, empty, flat, launch

_TOGETHER = 8  # sets of arrays that one launch moves: the arguments of a kernel may take 4 KB
_MOST = 1024  # blocks for an array, enough for the whole GPU


def leaky_relu(x: Array, negative_slope: float) -> Array:
    return leaky_relu_backward(x, x, negative_slope)


def leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> Array:
    g_x = empty(g.shape, g.dtype)
    elementwise(_scale_negative, g.size, g, y, g.dtype.type(negative_slope), g_x)
    return g_x


def dropout(x: Array, p: float, seed: int | Array, first: int = 0) -> Array:
    y = empty(x.shape, x.dtype)
    seed = cupy.asarray(numpy.uint64(seed)) if isinstance(seed, int) else seed
    threshold = numpy.uint64(round(p * 2**32))  # 2^32 itself if p is almost 1
    elementwise(_drop, x.size, x, seed, threshold, x.dtype.type(1 / (1 - p)), numpy.uint32(first), y)
    return y


def adam(p: Arrays, g: Arrays, m: Arrays, v: Arrays, constants: Array) -> None:
    given = list(zip(*(arrays if isinstance(arrays, tuple) else (arrays,) for arrays in (p, g, m, v)), strict=True))
    moved = [tuple(map(flat, arrays)) for arrays in given]
    nothing = tuple(elements[:0] for elements in moved[0])
    for first in range(0, len(moved), _TOGETHER):
        some = moved[first : first + _TOGETHER]
        blocks = min(-(-max(arrays[0].size for arrays in some) // THREADS), _MOST)
        if blocks:
            sets = zip(*some, *[nothing] * (_TOGETHER - len(some)), strict=True)
            launch(_adam, (blocks, len(some), 1), THREADS, *sets, constants)
    for arrays, elements in zip(given, moved, strict=True):
        for i in (0, 2, 3):
            if not arrays[i].flags.c_contiguous:  # then `flat` copied it
                arrays[i][...] = elements[i].reshape(arrays[i].shape)


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each kernel, to compile it without a GPU."""
    numbers = float32[::1]
    yield "leaky_relu", _scale_negative, (numbers, numbers, float32, numbers), THREADS
    yield "dropout", _drop, (numbers, uint64[::1], uint64, float32, uint32, numbers), THREADS
    yield "adam", _adam, (*4 * (types.UniTuple(numbers, _TOGETHER),), numbers), THREADS


@device
def leaky(x, sign, slope):
    """x, but slope * x where sign <= 0: 0 for a slope of 0, even if x is infinite. A NaN stays."""
    return x if not sign <= 0 else slope * x if slope != 0 else slope


def _scale_negative(x, sign, slope, y):
    i = uint32(cuda.grid(1))
    if i < y.size:
        y[i] = leaky(x[i], sign[i], slope)


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


def _drop(x, seed, threshold, scale, first, y):
    i = uint32(cuda.grid(1))
    if i < y.size:
        key, stream = uint32(seed[0]), uint32(seed[0] >> uint64(32))
        y[i] = x[i] * (x.dtype.type(0) if uint64(_random_word(uint32(first + i), key, stream)) < threshold else scale)


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
