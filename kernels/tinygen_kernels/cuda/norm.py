# mypy: allow-untyped-defs
"""Sums per channel (over all axes but the last), and batch norm with its leaky ReLU.

An array is treated as rows x channels, and a sum is a tree. A block is 32 channels wide and 8
threads deep, and sums 256 rows. A thread steps down its channel by 8 rows at a time. Then the 8
partial sums of a channel are added in shared memory: three times, half of the threads add the sums
of the other half to theirs. The results of the blocks are rows again, 256 times fewer, and the same
kernel sums these until one row is left.

The order is fixed, so the bits are the same every time. With n rows, an element takes part in about
35 log256(n) additions. The error of a sum is at most that many roundings of sum|x|, and about the
square root of that number if roundings are independent.

The 32 threads of a warp read 32 neighbouring channels of one row. These are in 4 sectors of memory
(5 if the row does not begin at the border of a sector), which is the minimum. With fewer than 32
channels, some threads are idle.
"""

import functools
from collections.abc import Iterator
from typing import Any

import cupy
from numba import cuda, float32, int32, uint32

from tinygen_kernels import Array, Average, moments
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.elementwise import leaky
from tinygen_kernels.cuda.launch import THREADS, elementwise, empty, flat, launch

_WIDTH, _DEPTH = 32, 8  # threads per block, along the channels and along the rows
_BLOCK = _WIDTH * _DEPTH
_STEPS = 32  # rows that a thread sums


def column_sums(x: Array) -> Array:
    return _sums(_number, x)[0] if x.size else cupy.zeros(x.shape[-1], x.dtype)


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    channels, count, slope = x.shape[-1], x.size // x.shape[-1], x.dtype.type(negative_slope)
    rough_mean = column_sums(x) / count
    # The sum of the deviations corrects the rounding error of the mean. That error is small
    # compared to the mean, but not always compared to the standard deviation.
    shift, squares = _sums(_deviation, x, mean=rough_mean) / count
    exact = moments.of_all(rough_mean + shift, cupy.maximum(squares - shift**2, 0), over_all)
    mean, var = (moment.astype(x.dtype, copy=False) for moment in exact)
    y = empty(x.shape, x.dtype)
    scale = gamma / cupy.sqrt(var + eps)
    elementwise(_normalise, x.size, x, mean, scale, beta, slope, y, channels)
    return y, mean, var


def batch_norm_backward(
    g: Array,
    x: Array,
    y: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    negative_slope: float,
    over_all: Average | None = None,
) -> tuple[Array, Array, Array]:
    channels, count, slope = x.shape[-1], x.size // x.shape[-1], x.dtype.type(negative_slope)
    g_beta, products = _sums(_gradient, x, g, y, mean, slope)
    inverse = 1 / cupy.sqrt(var + eps)
    g_gamma = products * inverse
    all_g, all_products = moments.sums_of_all(g_beta, g_gamma, over_all)
    # g_x = scale * (g_z - all_g / count - normalised * all_products / count), computed as
    # scale * g_z + offset + factor * (x - mean)
    scale = gamma * inverse
    constants = mean, scale, -scale * all_g / count, -scale * inverse * all_products / count
    g_x = empty(x.shape, x.dtype)
    elementwise(_combine, x.size, g, x, y, *constants, slope, g_x, channels)
    return g_x, g_gamma, g_beta


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each kernel, to compile it without a GPU."""
    numbers = float32[::1]
    for name, term in ("column_sums", _number), ("batch_norm sums", _deviation), ("batch_norm_backward sums", _gradient):
        yield name, _add_rows(term), (*4 * (numbers,), float32, numbers, int32, int32), _BLOCK
    yield "batch_norm", _normalise, (*4 * (numbers,), float32, numbers, int32), THREADS
    yield "batch_norm_backward", _combine, (*7 * (numbers,), float32, numbers, int32), THREADS


def _sums(term: Any, x: Array, g: Array | None = None, y: Array | None = None, mean: Array | None = None, slope: Any = 0) -> Array:
    """(2, channels): the sums of the two values of `term` at each element.

    Arguments that `term` does not use may be left out.
    """
    x, channels = flat(x), x.shape[-1]
    g, y, mean = (x if other is None else other for other in (g, y, mean))
    sums = _sums_of_blocks(term, channels, x, g, y, mean, slope)
    while len(sums) > 1:
        sums = _sums_of_blocks(_number, 2 * channels, sums, sums, sums, sums, 0)[:, 0]
    return sums.reshape(2, channels)


def _sums_of_blocks(term: Any, channels: int, x: Array, g: Array, y: Array, mean: Array, slope: Any) -> Array:
    """(blocks, 2, channels)"""
    rows = x.size // channels
    sums = empty((max(1, -(-rows // (_DEPTH * _STEPS))), 2, channels), x.dtype)
    blocks = len(sums) * -(-channels // _WIDTH)
    launch(_add_rows(term), blocks, _BLOCK, x, g, y, mean, x.dtype.type(slope), sums, rows, channels)
    return sums


@device
def _number(x, g, y, mean, slope, i, c):
    """The element, twice, because terms are pairs."""
    return x[i], x[i]


@device
def _deviation(x, g, y, mean, slope, i, c):
    deviation = x[i] - mean[c]
    return deviation, deviation * deviation


@device
def _gradient(x, g, y, mean, slope, i, c):
    """The terms of the gradients of beta and gamma.

    That of gamma is still to be divided by the standard deviation.
    """
    g_z = leaky(g[i], y[i], slope)
    return g_z, g_z * (x[i] - mean[c])


@functools.cache
def _add_rows(term):
    """sums[block, i, c] = the sum of value i of the term, 0 or 1, over the rows of a block."""

    def kernel(x, g, y, mean, slope, sums, rows, channels):
        firsts = cuda.shared.array(_BLOCK, x.dtype)
        seconds = cuda.shared.array(_BLOCK, x.dtype)
        t = uint32(cuda.threadIdx.x)
        column_blocks = uint32((channels + _WIDTH - 1) // _WIDTH)
        block = uint32(uint32(cuda.blockIdx.x) // column_blocks)
        c = uint32((cuda.blockIdx.x - block * column_blocks) * _WIDTH + t % uint32(_WIDTH))
        start, end = block * _DEPTH * _STEPS, (block + 1) * _DEPTH * _STEPS
        first, second = x.dtype.type(0), x.dtype.type(0)
        if c < uint32(channels):
            for row in range(int32(start + t // uint32(_WIDTH)), int32(min(end, rows)), int32(_DEPTH)):
                a, b = term(x, g, y, mean, slope, uint32(row * channels + c), c)
                first += a
                second += b
        firsts[t], seconds[t] = first, second
        half = uint32(_BLOCK // 2)
        while half >= uint32(_WIDTH):
            cuda.syncthreads()
            if t < half:
                firsts[t] += firsts[uint32(t + half)]
                seconds[t] += seconds[uint32(t + half)]
            half = uint32(half // uint32(2))
        if t < uint32(_WIDTH) and c < uint32(channels):
            sums[uint32(2 * block * channels + c)] = firsts[t]
            sums[uint32((2 * block + 1) * channels + c)] = seconds[t]

    return kernel


def _normalise(x, mean, scale, beta, slope, y, channels):
    i = uint32(cuda.grid(1))
    if i < y.size:
        c = uint32(i % uint32(channels))
        z = (x[i] - mean[c]) * scale[c] + beta[c]
        y[i] = leaky(z, z, slope)


def _combine(g, x, y, mean, scale, offset, factor, slope, g_x, channels):
    i = uint32(cuda.grid(1))
    if i < g_x.size:
        c = uint32(i % uint32(channels))
        g_z = leaky(g[i], y[i], slope)
        g_x[i] = scale[c] * g_z + offset[c] + factor[c] * (x[i] - mean[c])
