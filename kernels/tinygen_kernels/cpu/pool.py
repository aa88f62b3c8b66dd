# mypy: allow-untyped-defs
"""Pooling. An item is an image n; the innermost loop runs over the channels of a pixel."""

import math
from typing import Any

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import helper, launch
from tinygen_kernels.geometry import pooled_size

_FEW = 32  # terms, which single precision sums with a relative error of 5e-7


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    shape = (len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3])
    y, indices = empty(shape, x.dtype), empty(shape, numpy.int32)
    launch(_maximum, len(x), flat(x).reshape(x.shape), *kernel_size, *stride, padding[0][0], padding[1][0], y, indices)
    return y, indices


def max_pool2d_gather(x: Array, indices: Array) -> Array:
    y = empty(indices.shape, x.dtype)
    launch(_read, len(x), _pixels(x), _pixels(indices), _pixels(y))
    return y


def max_pool2d_scatter(g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    x = empty((len(g), *size, g.shape[3]), g.dtype)
    launch(_add, len(g), _pixels(g), _pixels(indices), _pixels(x))
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


def _pixels(images: Array) -> Array:
    """(images, pixels, channels)"""
    count, height, width, channels = images.shape
    return flat(images).reshape(count, height * width, channels)


@helper
def _inside(i, kernel_size, stride, before, size):
    """The first row (or column) of window i inside the image, and the one behind the last."""
    start = i * stride - before
    return max(start, 0), min(start + kernel_size, size)


def _maximum(n, x, kernel_height, kernel_width, row_stride, column_stride, top, left, y, indices):
    _, height, width, channels = x.shape
    y[n] = -numpy.inf
    for i in range(y.shape[1]):
        first_row, last_row = _inside(i, kernel_height, row_stride, top, height)
        for j in range(y.shape[2]):  # these indices stay if all values are -inf
            indices[n, i, j] = numpy.int32(first_row * width + max(j * column_stride - left, 0))
        for row in range(first_row, last_row):
            for tap in range(kernel_width):
                for j in range(y.shape[2]):
                    column = j * column_stride + tap - left
                    if 0 <= column < width:
                        index = numpy.int32(row * width + column)
                        for c in range(channels):
                            value, largest = x[n, row, column, c], y[n, i, j, c]
                            # A NaN counts as larger than any number.
                            larger = (value > largest) | ((value != value) & (largest == largest))
                            y[n, i, j, c] = value if larger else largest
                            indices[n, i, j, c] = index if larger else indices[n, i, j, c]


def _read(n, x, indices, y):
    for i in range(y.shape[1]):
        for c in range(y.shape[2]):
            y[n, i, c] = x[n, indices[n, i, c], c]


def _add(n, g, indices, x):
    x[n] = 0
    for i in range(g.shape[1]):
        for c in range(g.shape[2]):
            x[n, indices[n, i, c], c] += g[n, i, c]


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
