# mypy: allow-untyped-defs
"""Sums per channel (over all axes but the last), batch and group norm, and the deviation in a batch.

An array is treated as rows x channels, and a sum is a tree. A block is 32 channels wide and 8
threads deep, and sums 256 rows, or more if there are very many. A thread steps down its channel by 8
rows at a time, and adds up 32 rows before it adds these to what it has. Then the 8 partial sums of a
channel are added in shared memory: three times, half of the threads add the sums of the other half
to theirs. The sums of the blocks are rows again, which the last block sums in the same way. What is
computed from the sums of a channel is computed by the thread that has added up the last of them, its
`finish`.

The order is fixed, so the bits are the same every time. With n <= 256^2 rows, an element takes part in
at most 72 additions. The error of a sum is at most that many roundings of sum|x|, and about the
square root of that number if roundings are independent.

The 32 threads of a warp read 32 neighbouring channels of one row. These are in 4 sectors of memory
(5 if the row does not begin at the border of a sector), which is the minimum. With fewer than 32
channels, some threads are idle.
"""

import math
from typing import Any

import cupy
from numba import cuda, float32, int32, uint32

from tinygen_kernels import Array, Average, moments
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.elementwise import leaky, leaky_relu_backward
from tinygen_kernels.cuda.last_block import counters, is_last
from tinygen_kernels.cuda.launch import elementwise, empty, launch, listed, numbers

_WIDTH, _DEPTH = 32, 8  # threads per block, along the channels and along the rows
_BLOCK = _WIDTH * _DEPTH
_RUN = 32  # rows that a thread sums before it adds their sum to that of others
_MOST = 2048  # blocks along the rows


def column_sums(x: Array) -> Array:
    return _sums(_mean_of_rows, 1, x, count=1)[0] if x.size else cupy.zeros(x.shape[-1], x.dtype)


def bias_leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> tuple[Array, Array]:
    g_z = leaky_relu_backward(g, y, negative_slope)
    return g_z, column_sums(g_z)


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
    channels = x.shape[-1]
    rough_mean = _sums(_mean_of_rows, 1, x, apart=-(-x.size // (channels * _DEPTH * _RUN)))[0]
    statistics = _sums(_statistics_of_rows, 3, x, rough_mean, gamma, eps=eps)
    if over_all:
        mean, var = moments.of_all(statistics[0], statistics[1], over_all)
        statistics = cupy.stack([mean, var, gamma / cupy.sqrt(var + eps)]).astype(x.dtype)
    return _normalise(x.shape, x, statistics, beta, float(negative_slope), channels, x.size), statistics[0], statistics[1]


def batch_norm_backward(
    g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    channels = x.shape[-1]
    gradients = _sums(_gradients_of_rows, 5, x, mean, gamma, var, g, y, slope=negative_slope, eps=eps)
    g_gamma, g_beta = gradients[0], gradients[1]
    if over_all:
        all_g, all_products = moments.sums_of_all(g_beta, g_gamma, over_all)
        factor = -gradients[2] / (x.size // channels)
        gradients = cupy.stack([g_gamma, g_beta, gradients[2], factor * all_g, factor * all_products / cupy.sqrt(var + eps)])
    return _combine(x.shape, g, x, y, mean, gradients, float(negative_slope), channels, x.size), g_gamma, g_beta


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    """CuPy sums, since an example is a matrix of its own, and has few rows."""
    rows, channels = x.reshape(len(x), -1, x.shape[-1]), x.shape[-1]
    mean, var = moments.of_groups(rows.mean(axis=1), rows.var(axis=1), groups)
    statistics = cupy.stack([mean, var, gamma / cupy.sqrt(var + eps)])
    return _normalise(x.shape, x, statistics, beta, 1.0, channels, x.size // len(x)), mean, var


def group_norm_backward(g: Array, x: Array, gamma: Array, mean: Array, var: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    rows, g_rows = (a.reshape(len(x), -1, x.shape[-1]) for a in (x, g))
    sums = g_rows.sum(axis=1), (g_rows * (rows - mean[:, None])).sum(axis=1)
    constants, g_gamma, g_beta = moments.gradients_of_groups(*sums, gamma, 1 / cupy.sqrt(var + eps), groups, rows.shape[1])
    gradients = cupy.stack([mean, var, *constants])  # `_combine` reads the last three
    return _combine(x.shape, g, x, g, mean, gradients, 1.0, x.shape[-1], x.size // len(x)), g_gamma, g_beta


def minibatch_deviation(x: Array, eps: float, batches: int, over_all: Average | None = None) -> tuple[Array, Array, Array]:
    """The first example of a batch is the rough mean: examples are few. A row has an example of each batch."""
    rows = x.reshape(len(x) // batches, -1)
    statistics = _sums(_deviations_of_rows, 3, rows, rows[0], eps=eps)
    if over_all:
        mean, var = moments.of_all(statistics[0], statistics[1], over_all)
        statistics = cupy.stack([mean, var, cupy.sqrt(var + eps)]).astype(x.dtype)
    mean, _, deviation = statistics.reshape(3, batches, *x.shape[1:])
    s, shape = deviation.reshape(batches, -1).mean(axis=1), (*x.shape[:-1], x.shape[-1] + 1)
    return _minibatch_deviation(shape, x, s, x.shape[-1], math.prod(shape[1:])), mean, deviation


def minibatch_deviation_backward(g: Array, x: Array, mean: Array, deviation: Array, over_all: Average | None = None) -> Array:
    batches = len(mean)
    g_s = g[..., -1].reshape(len(x) // batches, batches, -1).sum(axis=(0, 2))
    if over_all:
        g_s = over_all(g_s)
    return _minibatch_deviation_backward(x.shape, g, g_s, x, mean, deviation, x.size / batches, x.shape[-1])


def _sums(kernel: Any, n: int, x: Array, *others: Array, slope: float = 0, eps: float = 0, apart: int = 1, count: int = 0) -> Array:
    """(n, channels): the n numbers that the kernel's `finish` makes of the sums of a channel, over every apart-th row.

    The others are mean, gamma, var, g and y. Those behind the last one that is used may be left out.
    The count is that of the rows, unless it is given.
    """
    number, channels = x.dtype.type, x.shape[-1]
    others = (*others, *[x] * (5 - len(others)))
    rows, across = -(-x.size // (channels * apart)), -(-channels // _WIDTH)
    own = max(_DEPTH * _RUN, -(-rows // _MOST))
    blocks = -(-rows // own)
    partial = empty(2 * channels * blocks if blocks > 1 else 0, x.dtype)
    results = empty((n, channels), x.dtype)
    values = number(slope), number(eps), number(count or rows)
    memory = partial, counters(across, blocks), results
    launch(kernel, blocks * across, _BLOCK, x, *others, *values, *memory, rows, own, channels, channels * apart)
    return results


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
def _mean(first, second, mean, gamma, var, eps, count, c):
    return (first / count,)


@device
def _deviations(first, second, rough_mean, gamma, var, eps, count, c):
    """The mean, the variance, which rounding may have made less than 0, and the deviation."""
    shift = first / count
    variance = abs(second / count - shift * shift)
    return rough_mean[c] + shift, variance, math.sqrt(variance + eps)


@device
def _statistics(first, second, rough_mean, gamma, var, eps, count, c):
    """The mean, the variance, and the factor by which a deviation is normalised."""
    mean, variance, deviation = _deviations(first, second, rough_mean, gamma, var, eps, count, c)
    return mean, variance, gamma[c] / deviation


@device
def _gradients(first, second, mean, gamma, var, eps, count, c):
    """The gradients of gamma and beta, then scale, offset and factor in that of x:

    g_x = scale * (g_z - g_beta / count - normalised * g_gamma / count), computed as
    scale * g_z + offset + factor * (x - mean)
    """
    deviation = math.sqrt(var[c] + eps)
    scale, g_gamma = gamma[c] / deviation, second / deviation
    return g_gamma, first, scale, -scale * first / count, -scale / deviation * g_gamma / count


def _sums_of_block(term):
    """Leave the sums of the terms of rows start, ..., end - 1 in the first 32 numbers of firsts and seconds."""

    @device
    def add(firsts, seconds, x, mean, g, y, slope, start, end, pitch, c, channels):
        t = uint32(cuda.threadIdx.x)
        first, second = x.dtype.type(0), x.dtype.type(0)
        if c < uint32(channels):
            for run in range(int32(start + t // uint32(_WIDTH)), int32(end), int32(_DEPTH * _RUN)):
                of_run, other_of_run = x.dtype.type(0), x.dtype.type(0)
                for row in range(int32(run), int32(min(run + _DEPTH * _RUN, end)), int32(_DEPTH)):
                    a, b = term(x, mean, g, y, slope, uint32(row * pitch + c), c, channels)
                    of_run += a
                    other_of_run += b
                first += of_run
                second += other_of_run
        firsts[t], seconds[t] = first, second
        half = uint32(_BLOCK // 2)
        while half >= uint32(_WIDTH):
            cuda.syncthreads()
            if t < half:
                firsts[t] += firsts[uint32(t + half)]
                seconds[t] += seconds[uint32(t + half)]
            half = uint32(half // uint32(2))

    return add


def _add_rows(name, term, finish):
    """The kernel that sums the terms of all rows, which begin `pitch` elements apart. A block has `own` of them."""
    add_terms, add_pairs = _sums_of_block(term), _sums_of_block(_pair)

    @listed(*6 * (numbers,), *3 * (float32,), numbers, uint32[::1], numbers, *4 * (int32,), name=f"{name} sums")
    def kernel(x, mean, gamma, var, g, y, slope, eps, count, partial, counters, results, rows, own, channels, pitch):
        firsts = cuda.shared.array(_BLOCK, x.dtype)
        seconds = cuda.shared.array(_BLOCK, x.dtype)
        t, across = uint32(cuda.threadIdx.x), uint32((channels + _WIDTH - 1) // _WIDTH)
        block = uint32(uint32(cuda.blockIdx.x) // across)
        group = uint32(cuda.blockIdx.x - block * across)
        c, blocks = uint32(group * _WIDTH + t % uint32(_WIDTH)), uint32(uint32(cuda.gridDim.x) // across)
        finishes = t < uint32(_WIDTH) and c < uint32(channels)
        start = int32(block * own)
        add_terms(firsts, seconds, x, mean, g, y, slope, start, int32(min(start + own, rows)), pitch, c, channels)
        if blocks > 1:
            if finishes:
                place = uint32(2 * block * channels + c)
                partial[place], partial[uint32(place + channels)] = firsts[t], seconds[t]
            if not is_last(counters, group, blocks):
                return
            add_pairs(firsts, seconds, partial, mean, g, y, slope, int32(0), int32(blocks), int32(2 * channels), c, channels)
        if finishes:
            found = finish(firsts[t], seconds[t], mean, gamma, var, eps, count, c)
            for i in range(len(found)):
                results[uint32(i * channels + c)] = found[i]

    return kernel


_mean_of_rows = _add_rows("column_sums", _number, _mean)
_statistics_of_rows = _add_rows("batch_norm", _deviation, _statistics)
_gradients_of_rows = _add_rows("batch_norm_backward", _gradient, _gradients)
_deviations_of_rows = _add_rows("minibatch_deviation", _deviation, _deviations)


@elementwise(numbers, numbers, numbers, float32, int32, int32)
def _normalise(i, x, statistics, beta, slope, channels, own):
    """The statistics are three for each channel of each part of `own` elements."""
    channel, all_channels = uint32(i % uint32(channels)), uint32(statistics.size // 3)
    c = uint32(i // uint32(own) * uint32(channels) + channel)
    z = (x[i] - statistics[c]) * statistics[uint32(2 * all_channels + c)] + beta[channel]
    return leaky(z, z, slope)


@elementwise(numbers, numbers, numbers, numbers, numbers, float32, int32, int32)
def _combine(i, g, x, y, mean, gradients, slope, channels, own):
    all_channels = uint32(mean.size)
    c = uint32(i // uint32(own) * uint32(channels) + i % uint32(channels))
    scale, offset = gradients[uint32(2 * all_channels + c)], gradients[uint32(3 * all_channels + c)]
    return scale * leaky(g[i], y[i], slope) + offset + gradients[uint32(4 * all_channels + c)] * (x[i] - mean[c])


@elementwise(numbers, numbers, int32, int32)
def _minibatch_deviation(i, x, last, channels, own):
    """x, and in one channel more the number of the batch. An example has `own` elements."""
    pixel = uint32(i // uint32(channels + 1))
    if i - pixel * uint32(channels + 1) == uint32(channels):
        return last[uint32(i // uint32(own) % uint32(last.size))]
    return x[uint32(i - pixel)]


@elementwise(numbers, numbers, numbers, numbers, numbers, float32, int32)
def _minibatch_deviation_backward(i, g, g_s, x, mean, deviation, size, channels):
    feature, features = uint32(i % uint32(mean.size)), uint32(uint32(mean.size) // uint32(g_s.size))
    of_batch = g_s[uint32(feature // features)] / size
    return g[uint32(i + i // uint32(channels))] + of_batch * (x[i] - mean[feature]) / deviation[feature]
