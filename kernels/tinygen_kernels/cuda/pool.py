# mypy: allow-untyped-defs
"""Pooling, with one thread for each element of the result.

Neighbouring threads have neighbouring channels of a pixel. Forward, a thread loops over the pixels
of its window; backward, over the windows that contain its pixel. It sums in a fixed order and
writes one element that no other thread writes. So no atomic operations are needed, and the bits are
always the same. Both loops run over a rectangle. Along one axis this is

    the pixels of window i    i*stride + start <= pixel < i*stride + start + taps
                              and 0 <= pixel < size
    the windows of a pixel    pixel - start - taps < i*stride <= pixel - start
                              and 0 <= i < grid

with the names of `operands.Axis`; -start is the padding before the image.
"""

import math
from typing import NamedTuple

import numpy
from numba import cuda, int32, uint32

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.launch import THREADS, elementwise, empty, launch, listed, numbers, type_of
from tinygen_kernels.cuda.operands import Axis
from tinygen_kernels.cuda.products import sliding, stacked
from tinygen_kernels.geometry import pooled_size


class Pooling(NamedTuple):
    """The geometry. It is an argument of the kernels, so that one compilation serves all shapes.

    Along an axis, `size` counts the pixels of the image, `taps` those of a window, and `grid` the
    windows, which are the pixels of the pooled image.
    """

    rows: Axis
    columns: Axis
    channels: int


_geometry = type_of(Pooling(*stacked(1, 1), 1))


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    shape = len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3]
    y, indices = empty(shape, x.dtype), empty(shape, numpy.int32)
    if y.size:
        launch(_max_pool2d, -(-y.size // THREADS), THREADS, x, _pooling(x.shape, kernel_size, stride, padding), y, indices)
    return y, indices


def max_pool2d_gather(x: Array, indices: Array) -> Array:
    return _max_pool2d_gather(indices.shape, x, indices, x.shape[1] * x.shape[2], indices.shape[1] * indices.shape[2], x.shape[3])


def max_pool2d_scatter(g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(g), *size, g.shape[3]
    return _max_pool2d_scatter(shape, g, indices, _pooling(shape, kernel_size, stride, padding))


def avg_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3]
    return _avg_pool2d(shape, x, _pooling(x.shape, kernel_size, stride, padding))


def avg_pool2d_data(g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(g), *size, g.shape[3]
    return _avg_pool2d_data(shape, g, _pooling(shape, kernel_size, stride, padding))


def _pooling(image: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Padding) -> Pooling:
    return Pooling(*sliding(image[1:3], kernel_size, stride, padding, (1, 1)), image[3])


@device
def _place(i, rows, columns, channels):
    """The image, row, column and channel of element i of images of this shape."""
    pixel = uint32(i // uint32(channels))
    line = uint32(pixel // uint32(columns))
    image = uint32(line // uint32(rows))
    return int32(image), int32(line - image * uint32(rows)), int32(pixel - line * uint32(columns)), int32(i - pixel * uint32(channels))


@device
def _element(image, row, column, channel, rows, columns, channels):
    """The inverse of _place."""
    return uint32(((image * rows + row) * columns + column) * channels + channel)


@device
def _pixels(window, axis):
    """The first pixel of a window inside the image, and the one behind the last."""
    start = int32(window * axis.stride + axis.start)
    return int32(max(start, int32(0))), int32(min(start + axis.taps, axis.size))


@device
def _windows(pixel, axis):
    """The first window that contains a pixel, and the one behind the last."""
    padded = int32(pixel - axis.start)
    first = int32(uint32(max(padded - axis.taps + axis.stride, int32(0))) // uint32(axis.stride))
    return first, int32(min(uint32(padded) // uint32(axis.stride) + uint32(1), uint32(axis.grid)))


@listed(numbers, _geometry, numbers, int32[::1])
def _max_pool2d(x, s, y, indices):
    i = uint32(cuda.grid(1))
    if i < y.size:
        image, own_row, own_column, channel = _place(i, s.rows.grid, s.columns.grid, s.channels)
        top, bottom = _pixels(own_row, s.rows)
        left, right = _pixels(own_column, s.columns)
        best, best_index = x.dtype.type(-math.inf), int32(top * s.columns.size + left)
        for row in range(top, bottom):
            for column in range(left, right):
                value = x[_element(image, row, column, channel, s.rows.size, s.columns.size, s.channels)]
                # A NaN counts as larger than any number.
                if value > best or (value != value and best == best):
                    best, best_index = value, int32(row * s.columns.size + column)
        y[i] = best
        indices[i] = best_index


@elementwise(numbers, int32[::1], int32, int32, int32)
def _max_pool2d_gather(i, x, indices, pixels, output, channels):
    place = uint32(i // uint32(channels))
    image = uint32(place // uint32(output))
    return x[uint32((image * pixels + indices[i]) * channels + (i - place * channels))]


@elementwise(numbers, int32[::1], _geometry)
def _max_pool2d_scatter(i, g, indices, s):
    image, own_row, own_column, channel = _place(i, s.rows.size, s.columns.size, s.channels)
    top, bottom = _windows(own_row, s.rows)
    left, right = _windows(own_column, s.columns)
    own_index = int32(i // uint32(s.channels) - uint32(image * s.rows.size * s.columns.size))
    total = g.dtype.type(0)
    for row in range(top, bottom):
        for column in range(left, right):
            window = _element(image, row, column, channel, s.rows.grid, s.columns.grid, s.channels)
            if indices[window] == own_index:
                total += g[window]
    return total


@elementwise(numbers, _geometry)
def _avg_pool2d(i, x, s):
    image, own_row, own_column, channel = _place(i, s.rows.grid, s.columns.grid, s.channels)
    top, bottom = _pixels(own_row, s.rows)
    left, right = _pixels(own_column, s.columns)
    total = x.dtype.type(0)
    for row in range(top, bottom):
        for column in range(left, right):
            total += x[_element(image, row, column, channel, s.rows.size, s.columns.size, s.channels)]
    return total / x.dtype.type(int32((bottom - top) * (right - left)))


@elementwise(numbers, _geometry)
def _avg_pool2d_data(i, g, s):
    image, own_row, own_column, channel = _place(i, s.rows.size, s.columns.size, s.channels)
    top, bottom = _windows(own_row, s.rows)
    left, right = _windows(own_column, s.columns)
    total = g.dtype.type(0)
    for row in range(top, bottom):
        first_row, last_row = _pixels(row, s.rows)
        for column in range(left, right):
            first_column, last_column = _pixels(column, s.columns)
            pixels = g.dtype.type(int32((last_row - first_row) * (last_column - first_column)))
            total += g[_element(image, row, column, channel, s.rows.grid, s.columns.grid, s.channels)] / pixels
    return total
