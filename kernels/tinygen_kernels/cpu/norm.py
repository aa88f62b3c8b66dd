# mypy: allow-untyped-defs
"""Sums per channel (over all axes but the last), the gradient of a bias, norms, and the deviation in a batch.

Batch norm takes one pass for the sums and one for the result. Sums are in double precision. Four
rows are added together before they are added to the sums. So the sums are read and written a
quarter as often, and the conversion to double costs no time next to the memory accesses. The
moments are those of x minus its first row: then E[x^2] - E[x]^2 loses no digits in a channel far
from zero, and the variance of a channel of equal values is exactly 0.
"""

import math
from typing import Any

import numpy

from tinygen_kernels import Array, Average, moments
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.elementwise import leaky
from tinygen_kernels.cpu.memory import empty, flat, zeroed
from tinygen_kernels.cpu.parallel import launch

_WIDTH = 64  # about the least number of elements in a row
_ITEM = 1 << 14  # the least number of elements in an item
_ITEM_ROWS = 16  # the least number of rows in an item, because it writes sums as long as two rows
_ITEMS = 64  # the most items


def column_sums(x: Array) -> Array:
    if not x.size:
        return zeroed(x.shape[-1], x.dtype)
    rows = _rows(x)
    return _sums(None, x.shape[-1], rows, numpy.zeros(rows.shape[1]))[0, 0].astype(x.dtype)


def bias_leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> tuple[Array, Array]:
    """One pass over memory for both, where two would take half as long again."""
    g_z = empty(g.shape, g.dtype)
    if not g.size:
        return g_z, zeroed(g.shape[-1], g.dtype)
    rows = _rows(g)
    of_items = empty((_items(rows), 1, rows.shape[1]), numpy.float64)
    launch(_scale_and_add, len(of_items), rows, _rows(y), g.dtype.type(negative_slope), _rows(g_z), of_items)
    return g_z, _added(of_items, 1, g.shape[-1])[0, 0].astype(g.dtype)


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    rows = _rows(x)
    (exact,), (var,) = _moments(None, x.shape[-1], rows)
    exact, var = moments.of_all(exact, var, over_all)
    mean = exact.astype(x.dtype)
    scale = (gamma / numpy.sqrt(var + eps)).astype(x.dtype)
    y = empty(x.shape, x.dtype)
    launch(_normalise, _items(rows), rows, _constants(rows, 1, mean, scale, beta), x.dtype.type(negative_slope), _items(rows), _rows(y))
    return y, mean, var.astype(x.dtype)


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
    rows, gradient, count = _rows(x), (_rows(g), _rows(y), x.dtype.type(negative_slope)), x.size // x.shape[-1]
    g_beta, products = _sums(None, x.shape[-1], rows, _along(rows, mean), *gradient)[:, 0]
    inverse = 1 / numpy.sqrt(var.astype(numpy.float64) + eps)
    g_gamma = products * inverse
    all_g, all_products = moments.sums_of_all(g_beta, g_gamma, over_all)
    # g_x = scale * (g_z - all_g / count - normalised * all_products / count), computed as
    # scale * g_z + offset + factor * (x - mean)
    scale = gamma * inverse
    constants = _constants(rows, 1, mean, scale, -scale * all_g / count, -scale * inverse * all_products / count)
    g_x = empty(x.shape, x.dtype)
    launch(_gradient, _items(rows), rows, constants, *gradient, _items(rows), _rows(g_x))
    return g_x, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    rows, examples, channels = _rows(x, len(x)), len(x), x.shape[-1]
    mean, var = moments.of_groups(*_moments(examples, channels, rows), groups)
    scale = gamma / numpy.sqrt(var + eps)
    y = empty(x.shape, x.dtype)
    launch(_normalise, examples, rows, _constants(rows, examples, mean, scale, beta), x.dtype.type(1), examples, y.reshape(rows.shape))
    return y, mean.astype(x.dtype), var.astype(x.dtype)


def group_norm_backward(g: Array, x: Array, gamma: Array, mean: Array, var: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    rows, examples, channels = _rows(x, len(x)), len(x), x.shape[-1]
    gradient = _rows(g, len(x)), rows, x.dtype.type(1)
    g_sums, products = _sums(examples, channels, rows, _along(rows, mean), *gradient)
    inverse, count = 1 / numpy.sqrt(var.astype(numpy.float64) + eps), x.size // (examples * channels)
    constants, g_gamma, g_beta = moments.gradients_of_groups(g_sums, products, gamma, inverse, groups, count)
    g_x = empty(x.shape, x.dtype)
    launch(_gradient, examples, rows, _constants(rows, examples, mean, *constants), *gradient, examples, g_x.reshape(rows.shape))
    return g_x, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def minibatch_deviation(x: Array, eps: float, batches: int, over_all: Average | None = None) -> tuple[Array, Array, Array]:
    rows = flat(x).reshape(len(x) // batches, -1)  # an example of each batch, so that all batches are like one
    (mean,), (var,) = _moments(None, rows.shape[1], rows)
    mean, var = moments.of_all(mean, var, over_all)
    deviation = numpy.sqrt(var + eps).reshape(batches, *x.shape[1:])
    y = empty((*x.shape[:-1], x.shape[-1] + 1), x.dtype)
    launch(_append, len(x), _pixels(x), deviation.reshape(batches, -1).mean(axis=1).astype(x.dtype), _pixels(y))
    return y, mean.astype(x.dtype).reshape(deviation.shape), deviation.astype(x.dtype)


def minibatch_deviation_backward(g: Array, x: Array, mean: Array, deviation: Array, over_all: Average | None = None) -> Array:
    batches = len(mean)
    g_s = _pixels(g)[..., -1].reshape(len(x) // batches, batches, -1).sum(axis=(0, 2), dtype=numpy.float64)
    if over_all is not None:
        g_s = over_all(g_s)
    factors = (g_s * batches / x.size).astype(x.dtype)[:, None, None] / _pixels(deviation)
    g_x = empty(x.shape, x.dtype)
    launch(_deviation_gradient, len(x), _pixels(x), _pixels(mean), factors, _pixels(g), _pixels(g_x))
    return g_x


def _pixels(x: Array) -> Array:
    """(examples, pixels, channels)"""
    return flat(x).reshape(len(x), -1, x.shape[-1])


def _moments(examples: int | None, channels: int, rows: Array) -> tuple[Array, Array]:
    """Mean and variance over the pixels of each example, (examples, channels), or with None over all, (1, channels), float64."""
    origin = rows[:: len(rows) // (examples or 1), :channels].astype(numpy.float64)  # the first pixel of each
    sums = _sums(examples, channels, rows, _along(rows, origin))
    launch(_to_moments, len(origin), origin, rows.size // origin.size, sums)
    mean, var = sums
    return mean, var


def _rows(x: Array, parts: int = 1) -> Array:
    """x as a matrix whose rows are pixels or, if channels are few, several pixels each.

    The innermost loops run along rows, so rows must not be short. The number of pixels in a row is
    the largest power of two that divides the number of pixels in each part and keeps rows within
    _WIDTH.
    """
    channels = x.shape[-1]
    repeats = math.gcd(x.size // (parts * channels), 1 << max(_WIDTH // channels, 1).bit_length() - 1)
    return flat(x).reshape(-1, repeats * channels)


def _along(rows: Array, values: Array) -> Array:
    """One value for each channel (last axis), repeated for every pixel in a row."""
    repeats = rows.shape[1] // values.shape[-1]
    return numpy.tile(values, repeats) if repeats > 1 else flat(values).reshape(values.shape)


def _constants(rows: Array, examples: int, *values: Array) -> Array:
    """What a kernel reads for each element of a row, in each example or in all: (examples, len(values), length of a row)."""
    constants = empty((examples, len(values), values[0].shape[-1]), rows.dtype)
    for i, of_channels in enumerate(values):
        constants[:, i] = of_channels
    return _along(rows, constants)


def _items(rows: Array) -> int:
    """The number of items."""
    return max(1, min(rows.size // _ITEM, _ITEMS, len(rows) // _ITEM_ROWS))


def _sums(examples: int | None, channels: int, x: Array, origin: Array, *gradient: Any) -> Array:
    """The sums of both `_terms` over the pixels of each example, (2, examples, channels), or with None over all, (2, 1, channels)."""
    # Each example is one item, so that it has the same bits alone and among others.
    of_items, parts = empty((examples or _items(x), 2, x.shape[1]), numpy.float64), examples or 1
    launch(_add_rows, len(of_items), x, origin.reshape(parts, -1), *(gradient or (None, None, None)), of_items)
    return _added(of_items, parts, channels)


def _added(of_items: Array, parts: int, channels: int) -> Array:
    """The sums of each part, (number of sums, parts, channels), of those of the items, (items, number of sums, length of a row)."""
    sums = empty((of_items.shape[1], parts, channels), numpy.float64)
    launch(_add_items, parts, of_items, sums)
    return sums


@helper
def _terms(x, origin, g, y, slope, row, c):
    """Without g: x - origin and its square. With g: the terms of the gradients of beta and gamma.

    That of gamma is still to be divided by the standard deviation.
    """
    deviation = x[row, c] - origin[c]
    if g is None:
        return deviation, deviation * deviation
    g_z = numpy.float64(leaky(g[row, c], y[row, c], slope))
    return g_z, g_z * deviation


def _add_rows(item, x, origin, g, y, slope, sums):
    here = _rows_of_item(x, item, len(sums))
    x, origin, total, products = x[here], origin[item * len(origin) // len(sums)], sums[item, 0], sums[item, 1]
    total[:] = 0
    products[:] = 0
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


def _add_items(part, of_items, sums):
    """Add the sums of the items of a part, and in these, those of the pixels of a row."""
    items, kinds, length = of_items.shape
    parts, channels = sums.shape[1:]
    sums[:, part] = 0
    for item in range(part * items // parts, (part + 1) * items // parts):
        for i in range(kinds):
            for first in range(0, length, channels):
                for c in range(channels):
                    sums[i, part, c] += of_items[item, i, first + c]


def _to_moments(part, origin, count, sums):
    """Mean and variance in the place of the sums of x - origin and of its square."""
    for c in range(origin.shape[1]):
        shift = sums[0, part, c] / count
        sums[0, part, c] = origin[part, c] + shift
        sums[1, part, c] = max(sums[1, part, c] / count - shift * shift, 0.0)


def _scale_and_add(item, g, y, slope, g_z, sums):
    here = _rows_of_item(g, item, len(sums))
    g, y, g_z, total = g[here], y[here], g_z[here], sums[item, 0]
    total[:] = 0
    for first in range(0, len(g), 4):  # Numba makes vector instructions of two loops, but not of one that does both
        last = min(first + 4, len(g))
        for row in range(first, last):
            for c in range(g.shape[1]):
                g_z[row, c] = leaky(g[row, c], y[row, c], slope)
        if last == first + 4:
            for c in range(g.shape[1]):
                a, b, d, e = g_z[first, c], g_z[first + 1, c], g_z[first + 2, c], g_z[first + 3, c]
                total[c] += (numpy.float64(a) + numpy.float64(b)) + (numpy.float64(d) + numpy.float64(e))
        else:
            for row in range(first, last):
                for c in range(g.shape[1]):
                    total[c] += g_z[row, c]


def _normalise(item, x, constants, slope, items, y):
    here = _rows_of_item(x, item, items)
    x, y, constants = x[here], y[here], constants[item * len(constants) // items]
    mean, scale, beta = constants[0], constants[1], constants[2]
    for row in range(len(x)):
        for c in range(x.shape[1]):
            z = (x[row, c] - mean[c]) * scale[c] + beta[c]
            y[row, c] = leaky(z, z, slope)


def _gradient(item, x, constants, g, y, slope, items, g_x):
    here = _rows_of_item(x, item, items)
    x, g, y, g_x, constants = x[here], g[here], y[here], g_x[here], constants[item * len(constants) // items]
    mean, scale, offset, factor = constants[0], constants[1], constants[2], constants[3]
    for row in range(len(x)):
        for c in range(x.shape[1]):
            g_z = leaky(g[row, c], y[row, c], slope)
            g_x[row, c] = scale[c] * g_z + offset[c] + factor[c] * (x[row, c] - mean[c])


def _append(n, x, numbers, y):
    """Copy the pixels of example n, with a channel more that holds the number of its batch."""
    channels, number = x.shape[2], numbers[n % len(numbers)]
    for pixel in range(x.shape[1]):
        for c in range(channels):
            y[n, pixel, c] = x[n, pixel, c]
        y[n, pixel, channels] = number


def _deviation_gradient(n, x, means, factors, g, g_x):
    mean, factor = means[n % len(means)], factors[n % len(means)]
    for pixel in range(x.shape[1]):
        for c in range(x.shape[2]):
            g_x[n, pixel, c] = (x[n, pixel, c] - mean[pixel, c]) * factor[pixel, c] + g[n, pixel, c]


@helper
def _rows_of_item(x, item, items):
    """The rows of an item."""
    return slice(item * len(x) // items, (item + 1) * len(x) // items)
