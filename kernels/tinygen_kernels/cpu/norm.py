# mypy: allow-untyped-defs
"""Sums over all axes but the last, the channels, and batch norm with its leaky ReLU: one pass for the sums, one for the result.

Sums are double precision. Four rows are added up before they meet the sums, so that these are read and written a quarter as often,
and conversion costs nothing beside memory. Moments are of x minus its first row: a channel far from zero then loses nothing in
E[x^2] - E[x]^2, and a constant one has a variance of exactly 0.
"""

import math
from typing import Any

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.elementwise import leaky
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import helper, launch

_WIDTH = 64  # numbers in a row, about, at least
_CHUNK = 1 << 14  # numbers in an item of work, at least
_CHUNK_ROWS = 16  # rows of it, at least: it writes sums as long as two rows
_CHUNKS = 64  # items, at most


def column_sums(x: Array) -> Array:
    if not x.size:
        return numpy.zeros(x.shape[-1], x.dtype)
    rows = _rows(x)
    return _sums(x.shape[-1], rows, numpy.zeros(rows.shape[1]))[0].astype(x.dtype)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float) -> tuple[Array, Array, Array]:
    rows, channels = _rows(x), x.shape[-1]
    origin = rows[0, :channels].astype(numpy.float64)
    shift, squares = _sums(channels, rows, _along(rows, origin)) / (x.size // channels)
    mean = (origin + shift).astype(x.dtype)
    var = numpy.maximum(squares - shift**2, 0)
    scale = (gamma / numpy.sqrt(var + eps)).astype(x.dtype)
    y = empty(x.shape, x.dtype)
    constants = _along(rows, numpy.stack([mean, scale, beta]))
    launch(_normalise, _chunks(rows), rows, constants, x.dtype.type(negative_slope), _chunks(rows), _rows(y))
    return y, mean, var.astype(x.dtype)


def batch_norm_backward(
    g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float
) -> tuple[Array, Array, Array]:
    rows, of_y, count = _rows(x), (_rows(g), _rows(y), x.dtype.type(negative_slope)), x.size // x.shape[-1]
    g_beta, products = _sums(x.shape[-1], rows, _along(rows, mean), *of_y)
    inverse = 1 / numpy.sqrt(var.astype(numpy.float64) + eps)
    g_gamma = products * inverse
    # g_x = scale * (g_z - g_beta / count - normalised * g_gamma / count), as one multiply-add for each of g_z and x - mean
    scale = gamma * inverse
    constants = numpy.stack([mean, scale, -scale * g_beta / count, -scale * inverse * g_gamma / count]).astype(x.dtype)
    g_x = empty(x.shape, x.dtype)
    launch(_gradient, _chunks(rows), rows, _along(rows, constants), *of_y, _chunks(rows), _rows(g_x))
    return g_x, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def _rows(x: Array) -> Array:
    """x as a matrix whose rows hold all channels, several times where they are few: the innermost loops run along rows.

    As many times as the largest power of two that divides the number of pixels and makes rows of no more than _WIDTH.
    """
    channels = x.shape[-1]
    repeats = math.gcd(x.size // channels, 1 << max(_WIDTH // channels, 1).bit_length() - 1)
    return flat(x).reshape(-1, repeats * channels)


def _along(rows: Array, of_channels: Array) -> Array:
    """Numbers of the channels (last axis), as often as the rows hold the channels."""
    return numpy.tile(of_channels, rows.shape[1] // of_channels.shape[-1])


def _chunks(rows: Array) -> int:
    """The number of items of work."""
    return max(1, min(rows.size // _CHUNK, _CHUNKS, len(rows) // _CHUNK_ROWS))


def _sums(channels: int, x: Array, origin: Array, g: Array | None = None, y: Array | None = None, slope: Any = None) -> Array:
    """(2, channels), of float64: the sums of both `_terms` of all numbers."""
    sums = numpy.zeros((_chunks(x), 2, x.shape[1]))
    launch(_add_rows, len(sums), x, origin, g, y, slope, sums)
    return sums.sum(axis=0).reshape(2, -1, channels).sum(axis=1)


@helper
def _terms(x, origin, g, y, slope, row, c):
    """The deviation and its square; or, given g, the gradient to beta and, but for the deviation that x is divided by, to gamma."""
    deviation = x[row, c] - origin[c]
    if g is None:
        return deviation, deviation * deviation
    g_z = numpy.float64(leaky(g[row, c], y[row, c], slope))
    return g_z, g_z * deviation


def _add_rows(chunk, x, origin, g, y, slope, sums):
    here = _chunk(x, chunk, len(sums))
    x, total, products = x[here], sums[chunk, 0], sums[chunk, 1]
    if g is not None:
        g, y = g[here], y[here]
    fours = len(x) // 4 * 4
    for row in range(0, fours, 4):
        for c in range(x.shape[1]):
            a, aa = _terms(x, origin, g, y, slope, row, c)
            b, bb = _terms(x, origin, g, y, slope, row + 1, c)
            d, dd = _terms(x, origin, g, y, slope, row + 2, c)
            e, ee = _terms(x, origin, g, y, slope, row + 3, c)
            total[c] += (a + b) + (d + e)
            products[c] += (aa + bb) + (dd + ee)
    for row in range(fours, len(x)):
        for c in range(x.shape[1]):
            a, aa = _terms(x, origin, g, y, slope, row, c)
            total[c] += a
            products[c] += aa


def _normalise(chunk, x, constants, slope, chunks, y):
    here = _chunk(x, chunk, chunks)
    x, y, mean, scale, beta = x[here], y[here], constants[0], constants[1], constants[2]
    for row in range(len(x)):
        for c in range(x.shape[1]):
            z = (x[row, c] - mean[c]) * scale[c] + beta[c]
            y[row, c] = leaky(z, z, slope)


def _gradient(chunk, x, constants, g, y, slope, chunks, g_x):
    here = _chunk(x, chunk, chunks)
    x, g, y, g_x = x[here], g[here], y[here], g_x[here]
    mean, of_g, constant, of_x = constants[0], constants[1], constants[2], constants[3]
    for row in range(len(x)):
        for c in range(x.shape[1]):
            g_z = leaky(g[row, c], y[row, c], slope)
            g_x[row, c] = of_g[c] * g_z + constant[c] + of_x[c] * (x[row, c] - mean[c])


@helper
def _chunk(x, chunk, chunks):
    """The rows of an item of work."""
    return slice(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks)
