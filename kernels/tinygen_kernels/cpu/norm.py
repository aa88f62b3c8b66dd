# mypy: allow-untyped-defs
"""Sums over all axes but the last, the channels, and batch norm with its leaky ReLU: one pass for the sums, one for the result.

Sums are double precision. Four rows are added up before they meet the sums, so that these are read and written a quarter as often,
and conversion costs nothing beside memory. Moments are of x minus its first row: a channel far from zero then loses nothing in
E[x^2] - E[x]^2, and a constant one has a variance of exactly 0.
"""

import math

import numpy
from numba import prange

from tinygen_kernels import Array
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import parallel, serial

_WIDTH = 64  # numbers in a row, about, at least
_CHUNK = 1 << 14  # numbers in an item of work, at least
_CHUNK_ROWS = 16  # rows of it, at least: it writes sums as long as two rows
_CHUNKS = 64  # items, at most


def column_sums(x: Array) -> Array:
    rows = _rows(x)
    sums = _partial_sums(rows)
    _moments(rows, numpy.zeros(rows.shape[1]), sums)
    return _of_channels(sums, x.shape[-1])[0].astype(x.dtype)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float) -> tuple[Array, Array, Array]:
    rows, channels = _rows(x), x.shape[-1]
    origin = rows[0, :channels].astype(numpy.float64)
    sums = _partial_sums(rows)
    _moments(rows, _along(rows, origin), sums)
    shift, squares = _of_channels(sums, channels) / (x.size // channels)
    mean = (origin + shift).astype(x.dtype)
    var = numpy.maximum(squares - shift**2, 0)
    scale = (gamma / numpy.sqrt(var + eps)).astype(x.dtype)
    y = empty(x.shape, x.dtype)
    of_channels = _along(rows, numpy.stack([mean, scale, beta]))
    _normalise(rows, of_channels, x.dtype.type(negative_slope), len(sums), _rows(y))
    return y, mean, var.astype(x.dtype)


def batch_norm_backward(
    g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float
) -> tuple[Array, Array, Array]:
    g_rows, x_rows, y_rows, count = _rows(g), _rows(x), _rows(y), x.size // x.shape[-1]
    slope = x.dtype.type(negative_slope)
    sums = _partial_sums(x_rows)
    _gradient_sums(g_rows, x_rows, y_rows, _along(x_rows, mean), slope, sums)
    g_beta, products = _of_channels(sums, x.shape[-1])
    inverse = 1 / numpy.sqrt(var.astype(numpy.float64) + eps)
    g_gamma = products * inverse
    # g_x = scale * (g_z - g_beta / count - normalised * g_gamma / count), as one multiply-add for each of g_z and x - mean
    scale = gamma * inverse
    constants = numpy.stack([mean, scale, -scale * g_beta / count, -scale * inverse * g_gamma / count]).astype(x.dtype)
    g_x = empty(x.shape, x.dtype)
    _gradient(g_rows, x_rows, y_rows, _along(x_rows, constants), slope, len(sums), _rows(g_x))
    return g_x, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def _rows(x: Array) -> Array:
    """x as a matrix whose rows hold all channels, several times where they are few: the innermost loops run along rows."""
    channels = x.shape[-1]
    repeats = math.gcd(x.size // channels, 1 << max(_WIDTH // channels, 1).bit_length() - 1)
    return flat(x).reshape(-1, repeats * channels)


def _along(rows: Array, of_channels: Array) -> Array:
    """Numbers of the channels (last axis), as often as the rows hold the channels."""
    return numpy.tile(of_channels, rows.shape[1] // of_channels.shape[-1])


def _partial_sums(rows: Array) -> Array:
    """Room for two sums for each item of work and place in a row."""
    return numpy.zeros((max(1, min(rows.size // _CHUNK, _CHUNKS, len(rows) // _CHUNK_ROWS)), 2, rows.shape[1]))


def _of_channels(sums: Array, channels: int) -> Array:
    """(2, channels)"""
    return sums.sum(axis=0).reshape(2, -1, channels).sum(axis=1)


@serial
def _powers(x, origin):
    value = numpy.float64(x) - origin
    return value, value * value


@serial
def _add_moments(x, origin, total, squares):
    fours = len(x) // 4 * 4
    for row in range(0, fours, 4):
        for c in range(x.shape[1]):
            (a, aa), (b, bb) = _powers(x[row, c], origin[c]), _powers(x[row + 1, c], origin[c])
            (d, dd), (e, ee) = _powers(x[row + 2, c], origin[c]), _powers(x[row + 3, c], origin[c])
            total[c] += (a + b) + (d + e)
            squares[c] += (aa + bb) + (dd + ee)
    for row in range(fours, len(x)):
        for c in range(x.shape[1]):
            a, aa = _powers(x[row, c], origin[c])
            total[c] += a
            squares[c] += aa


@parallel
def _moments(x, origin, sums):
    chunks = len(sums)
    for chunk in prange(chunks):
        here = slice(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks)
        _add_moments(x[here], origin, sums[chunk, 0], sums[chunk, 1])


@serial
def _normalise_rows(x, mean, scale, beta, slope, y):
    for row in range(len(x)):
        for c in range(x.shape[1]):
            z = (x[row, c] - mean[c]) * scale[c] + beta[c]
            y[row, c] = z if z > 0 else slope * z


@parallel
def _normalise(x, of_channels, slope, chunks, y):
    for chunk in prange(chunks):
        here = slice(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks)
        _normalise_rows(x[here], of_channels[0], of_channels[1], of_channels[2], slope, y[here])


@serial
def _products(g, x, y, mean, slope):
    g_z = numpy.float64(g if y > 0 else slope * g)
    return g_z, g_z * (x - mean)


@serial
def _add_gradients(g, x, y, mean, slope, total, products):
    fours = len(x) // 4 * 4
    for row in range(0, fours, 4):
        for c in range(x.shape[1]):
            a, ax = _products(g[row, c], x[row, c], y[row, c], mean[c], slope)
            b, bx = _products(g[row + 1, c], x[row + 1, c], y[row + 1, c], mean[c], slope)
            d, dx = _products(g[row + 2, c], x[row + 2, c], y[row + 2, c], mean[c], slope)
            e, ex = _products(g[row + 3, c], x[row + 3, c], y[row + 3, c], mean[c], slope)
            total[c] += (a + b) + (d + e)
            products[c] += (ax + bx) + (dx + ex)
    for row in range(fours, len(x)):
        for c in range(x.shape[1]):
            a, ax = _products(g[row, c], x[row, c], y[row, c], mean[c], slope)
            total[c] += a
            products[c] += ax


@parallel
def _gradient_sums(g, x, y, mean, slope, sums):
    chunks = len(sums)
    for chunk in prange(chunks):
        here = slice(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks)
        _add_gradients(g[here], x[here], y[here], mean, slope, sums[chunk, 0], sums[chunk, 1])


@serial
def _gradient_rows(g, x, y, constants, slope, g_x):
    mean, of_g, constant, of_x = constants[0], constants[1], constants[2], constants[3]
    for row in range(len(x)):
        for c in range(x.shape[1]):
            g_z = g[row, c] if y[row, c] > 0 else slope * g[row, c]
            g_x[row, c] = of_g[c] * g_z + constant[c] + of_x[c] * (x[row, c] - mean[c])


@parallel
def _gradient(g, x, y, constants, slope, chunks, g_x):
    for chunk in prange(chunks):
        here = slice(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks)
        _gradient_rows(g[here], x[here], y[here], constants, slope, g_x[here])
