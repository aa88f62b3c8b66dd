# mypy: allow-untyped-defs
"""Convolutions and matrix products.

A convolution is a table: output pixel i reads input pixel source[i, t] at tap t, which is one pixel
(a, b) of the kernel. Pixels and taps are counted row by row. So a 3x3 image and a 2x2 kernel, whose
output is 2x2, have a row for each of 4 output pixels, and a column for each of 4 taps:

>>> from tinygen_kernels.geometry import inverse_table, source_tables
>>> rows, columns = source_tables((3, 3), (2, 2), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1))
>>> source = (3 * rows[:, None, :, None] + columns[:, None]).reshape(4, 4)
>>> source
array([[0, 1, 3, 4],
       [1, 2, 4, 5],
       [3, 4, 6, 7],
       [4, 5, 7, 8]])

Read backwards, the table says which output pixel reads input pixel j at tap t. The pixel in the
middle is read by all four, each at another tap; the one in the corner is read once (-1 means by none):

>>> inverse = inverse_table(source, 9)
>>> inverse[4], inverse[0]
(array([3, 2, 1, 0]), array([ 0, -1, -1, -1]))

Images are NHWC, so the channels of a pixel are consecutive in memory, and

    conv2d          y[i]   = bias + sum over t of x[source[i, t]]  @ w[t]
    conv2d_data     x[j]   = bias + sum over t of y[inverse[j, t]] @ w[t].T
    conv2d_weight   w[t]   = sum over i of x[source[i, t]].T @ y[i]

Here w[t] is the matrix (input channels, output channels) of tap t, and pixel -1 is zeros. If y is
the gradient of the loss with respect to a convolution's output, the second sum, without a bias, is
the gradient with respect to its image; the same sum is the transposed convolution. The third is the
gradient with respect to the weights, which `weight.py` computes. The first two are one loop over
different tables, `_gather`: it reads `images`, which are x or y, and writes the `result`, which is
the other one. In this loop, stride, padding, dilation and transposition exist only in the tables.
No image is unrolled into a matrix with a row for each output pixel (im2col). `_gather` is the last
rung of a ladder of eight convolutions, each with one idea more than the one before (`python -m
tinygen.bench --ladder`, on one thread). Unlike rung 7, it reads images without zeros around them
(but for those of few channels, see below), leaves out taps where a whole tile would read zeros, and
seldom waits for memory.

An *item* is the work that a thread takes at a time. `launch` compiles a function by Numba, and calls
it in several threads with the number of each item. So a loop in such a function takes as long as in
C. The steps of a convolution are:

1. The plan (`plan.py`, which explains the words in full) divides the output channels into *strips*
   of neighbours, `tile_width` each, and the output pixels into *ranges* of about a thousand pixels:
   some rows of an image, or several small images. The results of a range in one strip are divided
   into *tiles* of up to PIXELS pixels. A tile fits in the *registers* of a core, the few numbers that
   the core accesses at no cost. Some tiles of a range in one strip are an item. The plan is
   computed once for the shapes, stride, padding and dilation of a convolution.
2. `as_panels` stores the weights in the order in which tiles read them: a *panel* for each strip.
3. `_gather` computes an item, tile after tile (`simd.py`), and a leaky ReLU while the results are
   in registers. Each tile also *prefetches* what is needed next, which means that it asks for it and
   does not wait. Without that, a third of the time would be spent waiting for memory.

A 1x1 convolution of stride 1, without padding, is the product of a matrix of all pixels with w, and
`matmul` of `products.py` is such a convolution. `_product` computes it. It needs no ranges: each
tile reads the rows after those of the tile before.

With fewer than FEW_CHANNELS input channels, a pixel is too short to be read by itself. Then conv2d
reads a whole kernel row at once, and conv2d_weight reads all pixels under the kernel, from an image
with a border of zeros. conv2d_data computes the *footprint* of each pixel of y, which is what this
pixel adds to x and is as large as the kernel, and adds the footprints where they overlap. If w has
few output channels instead, and the stride is 1, w is rotated by 180 degrees and its channels
change places: conv2d becomes conv2d_data, and the other way round, and in conv2d_weight x and y
change places.

With many channels, Winograd's algorithm needs as little as a quarter of the multiplications, for
kernels of 3x3 with stride 1 and of 4x4 with stride 2. `winograd_matrices.py` explains it.
`winograd.py` says for which shapes it pays, and `winograd_weight.py` computes conv2d_weight by it.

`tinygen_kernels.Kernels` says what the public functions are given and what they return.
"""

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu import winograd, winograd_weight
from tinygen_kernels.cpu.elementwise import leaky_relu
from tinygen_kernels.cpu.memory import contiguous, empty, flat
from tinygen_kernels.cpu.panels import add, as_panels, copy, strip_count
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import FEW_CHANNELS, Window, by_rows, gather_plan, product_table
from tinygen_kernels.cpu.simd import PIXELS, gather_tile, prefetch, tile_width
from tinygen_kernels.cpu.weight import weight_gradient
from tinygen_kernels.geometry import output_size

_PRODUCT_SIZE = 1 << 14  # the most elements that an item of a product reads, unless it is a single tile
_PRODUCT_ITEMS = 64  # a product has about this many items or more, if it has as many tiles
_NO_PADDING = (0, 0), (0, 0)
ONE_PIXEL = (1, 1), (1, 1), _NO_PADDING, (1, 1)  # kernel_size, stride, padding and dilation of a matrix product


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0) -> Array:
    output = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    rotated = _rotated_padding(w.shape, stride, padding, dilation)
    if rotated:
        return conv2d_data(x, _rotated(w), bias, output, stride, rotated, dilation, negative_slope)
    x, padding = _bordered(x, padding, dilation)
    shape = len(x), *output, w.shape[3]
    return gathered(x, w, bias, (w.shape[:2], stride, padding, dilation), shape, negative_slope)


def conv2d_data(
    y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0
) -> Array:
    if by_rows(w.shape[2], dilation):
        x = _overlapped(y, w, bias, size, stride, padding, dilation)
        return x if negative_slope == 1 else leaky_relu(x, negative_slope)
    rotated = _rotated_padding(w.shape, stride, padding, dilation)
    if rotated and all(size):  # conv2d cannot give an image without pixels
        return conv2d(y, _rotated(w), bias, stride, rotated, dilation, negative_slope)
    shape = len(y), *size, w.shape[2]
    return gathered(y, w, bias, (w.shape[:2], stride, padding, dilation), shape, negative_slope, data=True)


def conv2d_weight(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    shape = *size, x.shape[3], y.shape[3]
    rotated = _rotated_padding(shape, stride, padding, dilation)
    if rotated:
        return contiguous(_rotated(conv2d_weight(y, x, size, stride, rotated, dilation)))
    window = size, stride, padding, dilation
    algorithm = winograd_weight.choice(x, y, window)
    if algorithm:
        return winograd_weight.weight_gradient(algorithm, x, y, window)
    if (size, stride, padding) == ONE_PIXEL[:3]:
        # Each pixel becomes an image, so that a range has pixels of many images.
        x, y = (flat(a).reshape(len(a) * a.shape[1] * a.shape[2], 1, 1, a.shape[3]) for a in (x, y))
    x, padding = _bordered(x, padding, dilation)
    return weight_gradient(x, y, (size, stride, padding, dilation)).reshape(shape)


def _rotated_padding(shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair) -> Padding | None:
    """The padding of the convolution with the rotated kernel, or None if it is not faster or not possible.

    With stride 1, a transposed convolution is the convolution with the kernel rotated by 180
    degrees, its input and output channels swapped, and (kernel_size - 1) * dilation - padding as its
    padding, if that is not negative. So a convolution with few output channels becomes one with few
    input channels. `shape` is that of w.
    """
    kernel_height, kernel_width, channels, outputs = shape
    if stride != (1, 1) or channels < FEW_CHANNELS or not by_rows(outputs, dilation):
        return None
    rows, columns = (kernel_height - 1) * dilation[0], (kernel_width - 1) * dilation[1]
    (top, bottom), (left, right) = padding
    if max(top, bottom) > rows or max(left, right) > columns:
        return None
    return (rows - top, rows - bottom), (columns - left, columns - right)


def _rotated(w: Array) -> Array:
    return w[::-1, ::-1].swapaxes(2, 3)


def _bordered(x: Array, padding: Padding, dilation: Pair) -> tuple[Array, Padding]:
    """The images and their padding or, for few channels, images with a border of zeros and no padding.

    Then whole kernel rows can be read at once.
    """
    count, height, width, channels = x.shape
    if padding == _NO_PADDING or not by_rows(channels, dilation):
        return x, padding
    (top, bottom), (left, right) = padding
    bordered = empty((count, top + height + bottom, left + width + right, channels), x.dtype)
    launch(_border, count, flat(x).reshape(count, height, width * channels), top, left, bordered)
    return bordered, _NO_PADDING


def gathered(
    images: Array, w: Array, bias: Array | None, window: Window, shape: tuple[int, ...], slope: float = 1.0, data: bool = False
) -> Array:
    """conv2d of images or, if `data`, conv2d_data, then leaky ReLU, whose slope of 1 changes nothing.

    `shape` is that of the result. A window is (kernel_size, stride, padding, dilation).
    """
    outputs = shape[-1]
    strips = strip_count(outputs, images.dtype)
    result = empty(shape, images.dtype)
    if not images.size or not result.size:
        result[...] = 0 if bias is None else leaky_relu(bias, slope)
        return result
    algorithm = winograd.choice(images, window, shape, data)
    if algorithm:
        winograd.convolve(algorithm, images, w, bias, window, slope, data, result)
        return result
    is_product = window[:3] == ONE_PIXEL[:3]
    if is_product:
        taps, table, rows = 1, product_table(images.shape[-1], outputs), result.size // outputs
        tiles = max(1, min(_PRODUCT_SIZE // (PIXELS * images.shape[-1]), -(-rows * strips // (_PRODUCT_ITEMS * PIXELS))))
        items, plan = strips * -(-rows // (PIXELS * tiles)), [table, tiles]
    else:
        size = shape[1:3] if data else images.shape[1:3]
        *plan, taps = gather_plan(shape[0], size, images.shape[-1], outputs, strips, window, data)
        items = strips * len(plan[1])
    length = w.size // (taps * outputs)  # of what is read at a tap
    zeros = numpy.zeros(max(length, outputs), images.dtype)
    panels = as_panels(w, taps, outputs, result.size // outputs, data)
    bias, slopes = zeros[:outputs] if bias is None else flat(bias), numpy.array([slope], result.dtype)
    compute = _product if is_product else _gather
    launch(compute, items, flat(images), *plan, length, zeros, *panels, bias, slopes, result.reshape(-1))
    return result


def _overlapped(y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """conv2d_data for few channels.

    One matrix product computes the footprints of all pixels of y. Then they are added where they
    overlap.
    """
    count, height, width, _ = y.shape
    kernel_size, channels = w.shape[:2], w.shape[2]
    pixels, footprint = count * height * width, kernel_size[0] * kernel_size[1] * channels
    footprints = gathered(y, w, None, ONE_PIXEL, (pixels, footprint), data=True)
    x = empty((count, *size, channels), y.dtype)
    bias, corner = numpy.zeros(channels, y.dtype) if bias is None else flat(bias), (padding[0][0], padding[1][0])
    # Only the dilation of rows is given, because `by_rows` holds only where that of columns is 1.
    launch(_add_footprints, count, footprints.reshape(-1), bias, height, width, *kernel_size, *stride, dilation[0], *corner, x)
    return x


def _border(n, x, top, left, bordered):
    """Copy the rows of image n of x into an image of zeros."""
    _, rows, columns, channels = bordered.shape
    length, target = x.shape[2], bordered[n].reshape(rows, columns * channels)
    target[:] = 0
    for i in range(x.shape[1]):
        copy(x[n, i], target[top + i, left * channels : left * channels + length])


def _gather(item, images, table, items, range_items, length, zeros, w, w_row, w_strip, bias, slope, result):
    """Compute item // strips of the plan's `items` in strip item % strips.

    `gather_plan` explains the table, the items and range_items, `as_panels` explains w, w_row and
    w_strip, and `gather_tile` explains length, zeros, slope and count.
    """
    width = tile_width(result)
    strips = (bias.size + width - 1) // width
    number, strip = item // strips, item % strips
    channel, w_start, count = strip * width, strip * w_strip, bias.size - strip * width
    result_start, images_start, row, end = items[number, 0] + channel, items[number, 1], items[number, 2], items[number, 3]
    # Each tile prefetches its share, an estimate, of what the same item of the next range will
    # read, for all strips alike; `ahead` is where that begins.
    ahead = (number + range_items) * images.size // len(items)
    share = images.size * bias.size * PIXELS // result.size + 1
    while row < end:
        prefetch(images, ahead, ahead + share)
        ahead += share
        gather_tile(images, images_start, table, row, length, zeros, w, w_start, w_row, bias, channel, slope, result, result_start, count)
        row += 1 + table[row, 0]  # a header, which begins with the number of taps, and a row for each tap


def _product(item, images, table, item_tiles, length, zeros, w, w_row, w_strip, bias, slope, result):
    """Compute `item_tiles` tiles of a product, one below the other, in strip item % strips.

    `product_table` explains the table. The other parameters are those of `_gather`.
    """
    width, rows = tile_width(result), result.size // bias.size
    strips = (bias.size + width - 1) // width
    strip, item_rows = item % strips, item_tiles * PIXELS
    channel, w_start, count = strip * width, strip * w_strip, bias.size - strip * width
    start, share = item // strips * item_rows, PIXELS * length // strips + 1
    for row in range(start, min(start + item_rows, rows), PIXELS):
        # The tiles of these rows in all strips together prefetch what the next item in each strip reads.
        ahead = (row + item_rows) * length + strip * share
        prefetch(images, ahead, ahead + share)
        tile, result_start = 2 * (min(PIXELS, rows - row) - 1), row * bias.size + channel  # each tile has a header and one tap
        gather_tile(images, row * length, table, tile, length, zeros, w, w_start, w_row, bias, channel, slope, result, result_start, count)


def _add_footprints(n, footprints, bias, height, width, kernel_height, kernel_width, row_stride, column_stride, dilation, top, left, x):
    """Image n of x: the bias, plus the footprints of all height * width pixels of image n of y.

    A footprint has kernel_height * kernel_width pixels. What lies in the padding is left out.
    """
    _, rows, columns, channels = x.shape
    image = x[n].reshape(-1)
    for channel in range(channels):
        for pixel in range(rows * columns):
            image[pixel * channels + channel] = bias[channel]
    for i in range(height):
        for j in range(width):
            column = j * column_stride - left
            first = max(0, -column) * channels
            last = max(first, min(kernel_width, columns - column) * channels)
            # Neighbouring footprints overlap. With the loop over a outside of that over j, each
            # addition would wait until the one before has stored its sums.
            for a in range(kernel_height):
                row = i * row_stride + a * dilation - top
                if 0 <= row < rows:
                    source = (((n * height + i) * width + j) * kernel_height + a) * kernel_width * channels
                    target = (row * columns + column) * channels
                    add(footprints[source + first : source + last], image[target + first : target + last])
