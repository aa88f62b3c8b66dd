# mypy: allow-untyped-defs
"""Pooling, with one thread for each element of the result.

Neighbouring threads have neighbouring channels of a pixel. Forward, a thread loops over the pixels
of its window; backward, over the windows that contain its pixel. It sums in a fixed order and
writes one element that no other thread writes. So no atomic operations are needed, and the bits are
always the same. Both loops run over a rectangle. Along one axis this is

    the pixels of window i    i*stride - before <= pixel < i*stride - before + kernel_size
                              and 0 <= pixel < size
    the windows of a pixel    pixel + before - kernel_size < i*stride <= pixel + before
                              and 0 <= i < output
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy
from numba import cuda, float32, int32, types, uint32

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.launch import THREADS, Elementwise, empty, launch
from tinygen_kernels.geometry import pooled_size


class Pooling(NamedTuple):
    """The geometry. It is an argument of the kernels, so that one compilation serves all shapes."""

    height: int  # of the image
    width: int
    rows: int  # of the pooled image
    columns: int
    channels: int
    kernel_height: int
    kernel_width: int
    row_stride: int
    column_stride: int
    top: int  # padding
    left: int


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    shape = len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3]
    y, indices = empty(shape, x.dtype), empty(shape, numpy.int32)
    if y.size:
        launch(_maximum, -(-y.size // THREADS), THREADS, x, _pooling(x.shape, shape, kernel_size, stride, padding), y, indices)
    return y, indices


def max_pool2d_gather(x: Array, indices: Array) -> Array:
    pooled = indices.shape
    return _read(pooled, x, indices, x.shape[1] * x.shape[2], pooled[1] * pooled[2], pooled[3])


def max_pool2d_scatter(g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(g), *size, g.shape[3]
    return _add_chosen(shape, g, indices, _pooling(shape, g.shape, kernel_size, stride, padding))


def avg_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(x), *pooled_size(x.shape[1:3], kernel_size, stride, padding), x.shape[3]
    return _mean(shape, x, _pooling(x.shape, shape, kernel_size, stride, padding))


def avg_pool2d_data(g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    shape = len(g), *size, g.shape[3]
    return _add_shares(shape, g, _pooling(shape, g.shape, kernel_size, stride, padding))


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each kernel, to compile it without a GPU."""
    numbers, indices = float32[::1], int32[::1]
    pooling = types.NamedUniTuple(int32, len(Pooling._fields), Pooling)
    yield "max_pool2d", _maximum, (numbers, pooling, numbers, indices), THREADS
    yield "max_pool2d_gather", *_read.compiled(numbers, indices, int32, int32, int32)
    yield "max_pool2d_scatter", *_add_chosen.compiled(numbers, indices, pooling)
    yield "avg_pool2d", *_mean.compiled(numbers, pooling)
    yield "avg_pool2d_data", *_add_shares.compiled(numbers, pooling)


def _pooling(image: tuple[int, ...], pooled: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Padding) -> Pooling:
    return Pooling._make((*image[1:3], *pooled[1:], *kernel_size, *stride, padding[0][0], padding[1][0]))


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
def _pixels(place, kernel_size, stride, before, size):
    """The first pixel of a window inside the image, and the one behind the last."""
    start = int32(place * stride - before)
    return int32(max(start, int32(0))), int32(min(start + kernel_size, size))


@device
def _windows(pixel, kernel_size, stride, before, output):
    """The first window that contains a pixel, and the one behind the last."""
    padded = int32(pixel + before)
    first = int32(uint32(max(padded - kernel_size + stride, int32(0))) // uint32(stride))
    return first, int32(min(uint32(padded) // uint32(stride) + uint32(1), uint32(output)))


@device
def _window_of_pixels(i, s):
    """The window of element i of the pooled images.

    Returns the image, the channel, and the rows top..bottom and columns left..right of pixels.
    """
    image, row, column, channel = _place(i, s.rows, s.columns, s.channels)
    top, bottom = _pixels(row, s.kernel_height, s.row_stride, s.top, s.height)
    left, right = _pixels(column, s.kernel_width, s.column_stride, s.left, s.width)
    return image, channel, top, bottom, left, right


@device
def _windows_of_pixel(i, s):
    """The windows that contain element i of the images.

    Returns the image, the channel, and the rows top..bottom and columns left..right of windows.
    """
    image, row, column, channel = _place(i, s.height, s.width, s.channels)
    top, bottom = _windows(row, s.kernel_height, s.row_stride, s.top, s.rows)
    left, right = _windows(column, s.kernel_width, s.column_stride, s.left, s.columns)
    return image, channel, top, bottom, left, right


def _maximum(x, s, y, indices):
    i = uint32(cuda.grid(1))
    if i < y.size:
        image, channel, top, bottom, left, right = _window_of_pixels(i, s)
        best, best_index = x.dtype.type(-math.inf), int32(top * s.width + left)
        for row in range(top, bottom):
            for column in range(left, right):
                value = x[_element(image, row, column, channel, s.height, s.width, s.channels)]
                # A NaN counts as larger than any number.
                if value > best or (value != value and best == best):
                    best, best_index = value, int32(row * s.width + column)
        y[i] = best
        indices[i] = best_index


@Elementwise
def _read(i, x, indices, pixels, output, channels):
    place = uint32(i // uint32(channels))
    image = uint32(place // uint32(output))
    return x[uint32((image * pixels + indices[i]) * channels + (i - place * channels))]


@Elementwise
def _add_chosen(i, g, indices, s):
    image, channel, top, bottom, left, right = _windows_of_pixel(i, s)
    own_index = int32(i // uint32(s.channels) - uint32(image * s.height * s.width))
    total = g.dtype.type(0)
    for row in range(top, bottom):
        for column in range(left, right):
            window = _element(image, row, column, channel, s.rows, s.columns, s.channels)
            if indices[window] == own_index:
                total += g[window]
    return total


@Elementwise
def _mean(i, x, s):
    image, channel, top, bottom, left, right = _window_of_pixels(i, s)
    total = x.dtype.type(0)
    for row in range(top, bottom):
        for column in range(left, right):
            total += x[_element(image, row, column, channel, s.height, s.width, s.channels)]
    return total / x.dtype.type(int32((bottom - top) * (right - left)))


@Elementwise
def _add_shares(i, g, s):
    image, channel, top, bottom, left, right = _windows_of_pixel(i, s)
    total = g.dtype.type(0)
    for row in range(top, bottom):
        first_row, last_row = _pixels(row, s.kernel_height, s.row_stride, s.top, s.height)
        for column in range(left, right):
            first_column, last_column = _pixels(column, s.kernel_width, s.column_stride, s.left, s.width)
            pixels = g.dtype.type(int32((last_row - first_row) * (last_column - first_column)))
            total += g[_element(image, row, column, channel, s.rows, s.columns, s.channels)] / pixels
    return total
