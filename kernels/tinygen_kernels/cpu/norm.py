# mypy: allow-untyped-defs
"""Batch norm with its leaky ReLU, in two passes over the images each way: one for the sums, one for the result.

Sums are double precision, which costs nothing here because memory is slower, and they are of x minus its first row: a channel far
from zero then loses nothing in E[x^2] - E[x]^2, and a constant one has a variance of exactly 0.
"""

import numpy
from numba import prange

from tinygen_kernels import Array
from tinygen_kernels.cpu.parallel import empty, flat, parallel, serial

_CHUNK = 1 << 14  # numbers in an item of work, at least
_CHUNKS = 64  # items, at most


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float) -> tuple[Array, Array, Array]:
    rows = _rows(x)
    sums = _partial_sums(rows)
    _moments(rows, sums)
    shift, squares = sums.sum(axis=0) / len(rows)
    mean = (rows[0] + shift).astype(x.dtype)
    var = numpy.maximum(squares - shift**2, 0)
    y = empty(x.shape, x.dtype)
    scale = (gamma / numpy.sqrt(var + eps)).astype(x.dtype)
    _normalise(rows, mean, scale, flat(beta), x.dtype.type(negative_slope), _rows(y))
    return y, mean, var.astype(x.dtype)


def batch_norm_backward(
    g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float
) -> tuple[Array, Array, Array]:
    g_rows, x_rows, y_rows = _rows(g), _rows(x), _rows(y)
    slope = x.dtype.type(negative_slope)
    sums = _partial_sums(x_rows)
    _gradient_sums(g_rows, x_rows, y_rows, flat(mean), slope, sums)
    g_beta, products = sums.sum(axis=0)
    inverse = 1 / numpy.sqrt(var.astype(numpy.float64) + eps)
    g_gamma = products * inverse
    # g_x = scale * (g_z - g_beta / count - normalised * g_gamma / count), as one multiply-add for each of g_z and x - mean
    scale = gamma * inverse
    constants = numpy.stack([scale, -scale * g_beta / len(x_rows), -scale * inverse * g_gamma / len(x_rows)]).astype(x.dtype)
    g_x = empty(x.shape, x.dtype)
    _gradient(g_rows, x_rows, y_rows, flat(mean), slope, constants, _rows(g_x))
    return g_x, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def _rows(x: Array) -> Array:
    return flat(x).reshape(-1, x.shape[-1])


def _partial_sums(rows: Array) -> Array:
    """Room for two sums for each channel and item of work."""
    return numpy.zeros((max(1, min(rows.size // _CHUNK, _CHUNKS, len(rows))), 2, rows.shape[1]))


@serial
def _add_moments(rows, origin, total, squares):
    for row in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            value = numpy.float64(rows[row, c]) - origin[c]
            total[c] += value
            squares[c] += value * value


@parallel
def _moments(x, sums):
    chunks = sums.shape[0]
    for chunk in prange(chunks):
        rows = x[chunk * x.shape[0] // chunks : (chunk + 1) * x.shape[0] // chunks]
        _add_moments(rows, x[0], sums[chunk, 0], sums[chunk, 1])


@serial
def _normalise_rows(x, mean, scale, beta, slope, y):
    for row in range(x.shape[0]):
        for c in range(x.shape[1]):
            z = (x[row, c] - mean[c]) * scale[c] + beta[c]
            y[row, c] = z if z > 0 else slope * z


@parallel
def _normalise(x, mean, scale, beta, slope, y):
    chunks = max(1, min(x.size // _CHUNK, _CHUNKS))
    for chunk in prange(chunks):
        low = chunk * x.shape[0] // chunks
        high = (chunk + 1) * x.shape[0] // chunks
        _normalise_rows(x[low:high], mean, scale, beta, slope, y[low:high])


@serial
def _add_gradients(g, x, y, mean, slope, total, products):
    for row in range(x.shape[0]):
        for c in range(x.shape[1]):
            g_z = numpy.float64(g[row, c] if y[row, c] > 0 else slope * g[row, c])
            total[c] += g_z
            products[c] += g_z * (x[row, c] - mean[c])


@parallel
def _gradient_sums(g, x, y, mean, slope, sums):
    chunks = sums.shape[0]
    for chunk in prange(chunks):
        low = chunk * x.shape[0] // chunks
        high = (chunk + 1) * x.shape[0] // chunks
        _add_gradients(g[low:high], x[low:high], y[low:high], mean, slope, sums[chunk, 0], sums[chunk, 1])


@serial
def _gradient_rows(g, x, y, mean, slope, constants, g_x):
    of_g, constant, of_x = constants[0], constants[1], constants[2]
    for row in range(x.shape[0]):
        for c in range(x.shape[1]):
            g_z = g[row, c] if y[row, c] > 0 else slope * g[row, c]
            g_x[row, c] = of_g[c] * g_z + constant[c] + of_x[c] * (x[row, c] - mean[c])


@parallel
def _gradient(g, x, y, mean, slope, constants, g_x):
    chunks = max(1, min(x.size // _CHUNK, _CHUNKS))
    for chunk in prange(chunks):
        low = chunk * x.shape[0] // chunks
        high = (chunk + 1) * x.shape[0] // chunks
        _gradient_rows(g[low:high], x[low:high], y[low:high], mean, slope, constants, g_x[low:high])
