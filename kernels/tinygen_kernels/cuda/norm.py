# mypy: allow-untyped-defs
"""Sums per channel (over all axes but the last), and batch norm with its leaky ReLU.

An array is treated as rows x channels, and a sum is a tree. A block is 32 channels wide and 8
threads deep, and sums 256 rows. A thread steps down its channel by 8 rows at a time. Then the 8
partial sums of a channel are added in shared memory: three times, half of the threads add the sums
of the other half to theirs. The results of the blocks are rows again, 256 times fewer, and the same
kernel sums these until one row is left. What is computed from the sums of a channel is computed by
the thread that has added up the last of them, its `finish`.

The order is fixed, so the bits are the same every time. With n rows, an element takes part in about
35 log256(n) additions. The error of a sum is at most that many roundings of sum|x|, and about the
square root of that number if roundings are independent.

The 32 threads of a warp read 32 neighbouring channels of one row. These are in 4 sectors of memory
(5 if the row does not begin at the border of a sector), which is the minimum. With fewer than 32
channels, some threads are idle.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import cupy
from numba import cuda, float32, int32, uint32

from tinygen_kernels import Array, Average, moments
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.elementwise import leaky
from tinygen_kernels.cuda.launch import THREADS, elementwise, empty, launch

_WIDTH, _DEPTH = 32, 8  # threads per block, along the channels and along the rows
_BLOCK = _WIDTH * _DEPTH
_STEPS = 32  # rows that a thread sums


def column_sums(x: Array) -> Array:
    return _sums(_number, _keep, x)[0] if x.size else cupy.zeros(x.shape[-1], x.dtype)


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    """Both sums come from one pass over x: of the deviations from a rough mean, and of their squares.

    The rough mean is that of at most 256 rows, evenly spread. The mean is corrected by the mean of
    the deviations, and the variance by its square. Let m' be the mean of r of the n rows. Then
    (m - m')^2 is at most n/r times the variance, whatever the rows are, since those r rows deviate
    from m by m' - m on average. So the variance has at most 1 + n/r times the rounding error of a
    sum, and where the r rows are like the others, 1 + 1/r times.
    """
    channels, slope = x.shape[-1], x.dtype.type(negative_slope)
    rough_mean = _sums(_number, _mean, x, apart=-(-x.size // (channels * _DEPTH * _STEPS)))[0]
    statistics = _sums(_deviation, _statistics, x, rough_mean, gamma, eps=eps)
    if over_all:
        mean, var = moments.of_all(statistics[0], statistics[1], over_all)
        statistics = cupy.stack([mean, var, gamma / cupy.sqrt(var + eps)]).astype(x.dtype)
    y = empty(x.shape, x.dtype)
    elementwise(_normalise, x.size, x, statistics, beta, slope, y, channels)
    return y, statistics[0], statistics[1]


def batch_norm_backward(
    g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    channels, slope = x.shape[-1], x.dtype.type(negative_slope)
    gradients = _sums(_gradient, _gradients, x, mean, gamma, var, g, y, slope=slope, eps=eps)
    g_gamma, g_beta = gradients[0], gradients[1]
    if over_all:
        all_g, all_products = moments.sums_of_all(g_beta, g_gamma, over_all)
        factor = -gradients[2] / (x.size // channels)
        gradients = cupy.stack([g_gamma, g_beta, gradients[2], factor * all_g, factor * all_products / cupy.sqrt(var + eps)])
    g_x = empty(x.shape, x.dtype)
    elementwise(_combine, x.size, g, x, y, mean, gradients, slope, g_x, channels)
    return g_x, g_gamma, g_beta


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each kernel, to compile it without a GPU."""
    numbers = float32[::1]
    sums = {"column_sums": (_number, _keep), "batch_norm mean": (_number, _mean), "sums of sums": (_pair, _keep)}
    for name, term, finish in ("batch_norm", _deviation, _statistics), ("batch_norm_backward", _gradient, _gradients):
        sums |= {f"{name} sums": (term, _keep), f"{name} constants": (_pair, finish), f"{name} at once": (term, finish)}
    for name, functions in sums.items():
        yield name, _add_rows(*functions), (*6 * (numbers,), *3 * (float32,), numbers, *3 * (int32,)), _BLOCK
    yield "batch_norm", _normalise, (*3 * (numbers,), float32, numbers, int32), THREADS
    yield "batch_norm_backward", _combine, (*5 * (numbers,), float32, numbers, int32), THREADS


def _sums(term: Any, finish: Any, x: Array, *others: Array, slope: Any = 0, eps: float = 0.0, apart: int = 1) -> Array:
    """(numbers of finish, channels): what it makes of the sums of the terms, over every apart-th row.

    The others are mean, gamma, var, g and y. Those behind the last one that is used may be left out.
    """
    number, channels = x.dtype.type, x.shape[-1]
    others = (*others, *[x] * (5 - len(others)))
    rows = -(-x.size // (channels * apart))
    count, pitch = number(rows), channels * apart
    while True:
        blocks = max(1, -(-rows // (_DEPTH * _STEPS)))
        own = finish if blocks == 1 else _keep
        results = empty((blocks * _NUMBERS[own], channels), x.dtype)
        threads = number(slope), number(eps), count, results, rows, channels, pitch
        launch(_add_rows(term, own), blocks * -(-channels // _WIDTH), _BLOCK, x, *others, *threads)
        if blocks == 1:
            return results
        term, x, rows, pitch = _pair, results, blocks, 2 * channels


@device
def _number(x, mean, g, y, slope, i, c, channels):
    """The element, twice, because terms are pairs."""
    return x[i], x[i]


@device
def _pair(x, mean, g, y, slope, i, c, channels):
    """The two sums of a block."""
    return x[i], x[uint32(i + uint32(channels))]


@device
def _deviation(x, mean, g, y, slope, i, c, channels):
    deviation = x[i] - mean[c]
    return deviation, deviation * deviation


@device
def _gradient(x, mean, g, y, slope, i, c, channels):
    """The terms of the gradients of beta and gamma.

    That of gamma is still to be divided by the standard deviation.
    """
    g_z = leaky(g[i], y[i], slope)
    return g_z, g_z * (x[i] - mean[c])


@device
def _keep(first, second, mean, gamma, var, eps, count, c):
    return first, second


@device
def _mean(first, second, mean, gamma, var, eps, count, c):
    return (first / count,)


@device
def _statistics(first, second, mean, gamma, var, eps, count, c):
    """The mean, the variance, and the factor by which a deviation is normalised."""
    shift = first / count
    variance = abs(second / count - shift * shift)  # rounding may have made it less than 0
    return mean[c] + shift, variance, gamma[c] / math.sqrt(variance + eps)


@device
def _gradients(first, second, mean, gamma, var, eps, count, c):
    """The gradients of gamma and beta, then scale, offset and factor in that of x:

    g_x = scale * (g_z - g_beta / count - normalised * g_gamma / count), computed as
    scale * g_z + offset + factor * (x - mean)
    """
    deviation = math.sqrt(var[c] + eps)
    scale, g_gamma = gamma[c] / deviation, second / deviation
    return g_gamma, first, scale, -scale * first / count, -scale / deviation * g_gamma / count


_NUMBERS = {_keep: 2, _mean: 1, _statistics: 3, _gradients: 5}  # for each channel


@functools.cache
def _add_rows(term, finish):
    """Sum the terms of the rows of each block, which begin `pitch` elements apart."""
    numbers = _NUMBERS[finish]

    def kernel(x, mean, gamma, var, g, y, slope, eps, count, results, rows, channels, pitch):
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
                a, b = term(x, mean, g, y, slope, uint32(row * pitch + c), c, channels)
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
            found = finish(firsts[t], seconds[t], mean, gamma, var, eps, count, c)
            for i in range(numbers):
                results[uint32((block * numbers + i) * channels + c)] = found[i]

    return kernel


def _normalise(x, statistics, beta, slope, y, channels):
    i = uint32(cuda.grid(1))
    if i < y.size:
        c = uint32(i % uint32(channels))
        z = (x[i] - statistics[c]) * statistics[uint32(2 * channels + c)] + beta[c]
        y[i] = leaky(z, z, slope)


def _combine(g, x, y, mean, gradients, slope, g_x, channels):
    i = uint32(cuda.grid(1))
    if i < g_x.size:
        c = uint32(i % uint32(channels))
        scale, offset = gradients[uint32(2 * channels + c)], gradients[uint32(3 * channels + c)]
        g_x[i] = scale * leaky(g[i], y[i], slope) + offset + gradients[uint32(4 * channels + c)] * (x[i] - mean[c])
