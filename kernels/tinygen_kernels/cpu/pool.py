# mypy: allow-untyped-defs
"""Pooling. An item is an image n.

The processor fetches memory ahead only where a loop reads one address after the other. Pooling
reads several rows of an image at once, so it asks for the next ones itself. That halves the time
for images that do not fit into the cache.
"""

import math
from typing import Any

import numpy
from numba.core import cgutils

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.simd import prefetch
from tinygen_kernels.cpu.vector import Writer, int64, intrinsic
from tinygen_kernels.geometry import pooled_size

_VECTORS = 4  # whose maximum is found together, so that none waits for the one before
_FEW = 32  # terms, which single precision sums with a relative error of 5e-7


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    shape = (len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3])
    y, indices = empty(shape, x.dtype), empty(shape, numpy.int32)
    launch(_maximum, len(x), flat(x).reshape(x.shape), *kernel_size, *stride, padding[0][0], padding[1][0], y, indices)
    return y, indices


def max_pool2d_gather(x: Array, indices: Array) -> Array:
    y = empty(indices.shape, x.dtype)
    launch(_read, len(x), flat(x).reshape(x.shape), flat(indices).reshape(y.shape), y)
    return y


def max_pool2d_scatter(g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    x = empty((len(g), *size, g.shape[3]), g.dtype)
    launch(_add, len(g), flat(g).reshape(g.shape), flat(indices).reshape(g.shape), kernel_size[0], stride[0], padding[0][0], x)
    return x


def avg_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = (len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3])
    y = empty(shape, _sum_type(x.dtype, kernel_size))
    launch(_average, len(x), flat(x).reshape(x.shape), y, *kernel_size, *stride, padding[0][0], padding[1][0], False)
    return y.astype(x.dtype, copy=False)


def avg_pool2d_data(g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    # A pixel is in at most this many windows along each axis.
    windows = -(-kernel_size[0] // stride[0]), -(-kernel_size[1] // stride[1])
    x = empty((len(g), *size, g.shape[3]), _sum_type(g.dtype, windows))
    launch(_average, len(x), x, flat(g).reshape(g.shape), *kernel_size, *stride, padding[0][0], padding[1][0], True)
    return x.astype(g.dtype, copy=False)


def _sum_type(dtype: Any, terms: Pair) -> Any:
    """The dtype of a sum of so many terms.

    In single precision, the relative error of a sum of 1,000 equal terms is 1e-5.
    """
    return numpy.float64 if math.prod(terms) > _FEW else dtype


@helper
def _inside(i, kernel_size, stride, before, size):
    """The first row (or column) of window i inside the image, and the one behind the last."""
    start = i * stride - before
    return max(start, 0), min(start + kernel_size, size)


@helper
def _below(n, x, y):
    """What the second row of windows needs of image n: where it begins, and the share of a window.

    Both count elements. Each window asks for the next share.
    """
    share = x[n].size // (y.shape[1] * y.shape[2]) + 1
    return n * x[n].size + y.shape[2] * share, share


def _maximum(n, x, kernel_height, kernel_width, row_stride, column_stride, top, left, y, indices):
    _, height, width, channels = x.shape
    ahead, share = _below(n, x, y)
    for i in range(y.shape[1]):
        first_row, last_row = _inside(i, kernel_height, row_stride, top, height)
        for j in range(y.shape[2]):
            first_column, last_column = _inside(j, kernel_width, column_stride, left, width)
            prefetch(x, ahead, ahead + share)
            ahead += share
            _window_maximum(x[n], first_row, last_row, first_column, last_column, width, channels, y[n, i, j], indices[n, i, j])


@intrinsic
def _window_maximum(vector, x, first_row, last_row, first_column, last_column, width, channels, y, indices):
    """The maximum of each channel over the pixels of a window, and the first pixel that has it."""
    builder, integer = vector.builder, Writer(vector.builder, indices, vector.lanes)
    for channel, masks in vector.parts(channels, _VECTORS):
        largest, index = vector.accumulators(1, len(masks))[0], integer.accumulators(1, len(masks))[0]
        first = integer.splat_of(builder.add(builder.mul(first_row, width), first_column))
        for j in range(len(masks)):
            builder.store(vector.vector([-math.inf] * vector.lanes), largest[j])
            builder.store(first, index[j])  # stays if all values are -inf
        rows = cgutils.for_range_slice(builder, first_row, last_row, int64(1), int64)
        columns = cgutils.for_range_slice(builder, first_column, last_column, int64(1), int64)
        with rows as (row, _), columns as (column, _):
            pixel = builder.add(builder.mul(row, width), column)
            values, here = vector.at(x, builder.add(builder.mul(pixel, channels), channel)), integer.splat_of(pixel)
            for j, mask in enumerate(masks):
                value, before = vector.load(values, j, mask), builder.load(largest[j])
                # A NaN counts as larger than any number.
                larger = builder.and_(builder.fcmp_unordered(">", value, before), builder.fcmp_ordered("ord", before, before))
                builder.store(builder.select(larger, value, before), largest[j])
                builder.store(builder.select(larger, here, builder.load(index[j])), index[j])
        for j, mask in enumerate(masks):
            vector.store(builder.load(largest[j]), vector.at(y, channel), j, mask)
            integer.store(builder.load(index[j]), vector.at(indices, channel), j, mask)


def _read(n, x, indices, y):
    pixels = x[n].reshape(-1, x.shape[3])
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            for c in range(y.shape[3]):
                y[n, i, j, c] = pixels[indices[n, i, j, c], c]


def _add(n, g, indices, kernel_height, row_stride, top, x):
    channels = x.shape[3]
    pixels, zeros = x[n].reshape(-1, channels), 0  # `zeros` is the first row that is not yet zero
    ahead, share = _below(n, x, g)
    for i in range(g.shape[1]):
        _, last_row = _inside(i, kernel_height, row_stride, top, x.shape[1])
        x[n, zeros:last_row] = 0
        zeros = last_row
        for j in range(g.shape[2]):
            prefetch(x, ahead, ahead + share)
            ahead += share
            for c in range(channels):
                pixels[indices[n, i, j, c], c] += g[n, i, j, c]
    x[n, zeros:] = 0


def _average(n, x, y, kernel_height, kernel_width, row_stride, column_stride, top, left, back):
    """Add the share of each pixel of x to y or, if `back`, that of each pixel of y to x."""
    _, height, width, channels = x.shape
    if back:
        x[n] = 0
    else:
        y[n] = 0
    for i in range(y.shape[1]):
        first_row, last_row = _inside(i, kernel_height, row_stride, top, height)
        for j in range(y.shape[2]):
            first_column, last_column = _inside(j, kernel_width, column_stride, left, width)
            share = x.dtype.type(1 / ((last_row - first_row) * (last_column - first_column)))
            for row in range(first_row, last_row):
                for column in range(first_column, last_column):
                    if back:
                        for c in range(channels):
                            x[n, row, column, c] += share * y[n, i, j, c]
                    else:
                        for c in range(channels):
                            y[n, i, j, c] += share * x[n, row, column, c]
