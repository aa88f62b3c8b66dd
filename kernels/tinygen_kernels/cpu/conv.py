# mypy: allow-untyped-defs
"""Convolutions and matrix products.

A convolution is a table (`geometry.source_table`): output pixel i reads input pixel source[i, t] at tap t. Images are NHWC, so a
pixel is a run of neighbouring numbers, and

    conv2d          y[i]   = bias + sum over t of x[source[i, t]]  @ w[t]
    conv2d_data     x[j]   = bias + sum over t of g[inverse[j, t]] @ w[t].T
    conv2d_weight   dw[t]  = sum over i of x[source[i, t]].T @ g[i]

The first two are one loop over different tables, `_gather`; the third is `_outer`. Stride, padding, dilation and transposition
exist only in the tables, and the image is never unrolled into columns. A convolution travels through this file so:

1. The plan (`plan.py`) gives the table, cut into tiles and items of work. It is made once for each geometry.
2. `as_panels` lays the weights of each strip, a tile's width of outputs, in the very order in which the tile reads them.
3. `_gather` or `_outer` runs the register tile (`simd.py`) over the items, in parallel. Meanwhile the numbers needed next are on
   their way from memory: a tile keeps the processor so busy that waiting for them would take a third of the time.
4. A weight gradient sums over the whole batch, so its items leave partial sums, which `_sum_chunks` adds up in their order.

Images of few channels make runs too short for this. There conv2d and conv2d_weight read a whole kernel row as one run from
an image with its border drawn in, and conv2d_data writes whole windows of values and adds them where they overlap. Few outputs
would leave most of a tile's width idle; with stride 1 they become few channels, by turning the kernel around.
"""

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.panels import as_panels, copy, strip_count
from tinygen_kernels.cpu.parallel import helper, launch, threads
from tinygen_kernels.cpu.plan import FEW_CHANNELS, Window, by_rows, gather_plan, weight_plan
from tinygen_kernels.cpu.simd import PIXELS, gather_tile, outer_tile, prefetch, tile_width
from tinygen_kernels.geometry import output_size

_GROUP_SUMS = 1 << 15  # numbers of a partial sum that stay in the cache
_NO_PADDING = (0, 0), (0, 0)
_ONE_PIXEL = (1, 1), (1, 1), _NO_PADDING, (1, 1)  # the window of a matrix product, which is a convolution of 1x1 images


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    made = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    turned = _turned_padding(w.shape, stride, padding, dilation)
    if turned:
        return conv2d_data(x, _turned(w), bias, made, stride, turned, dilation)
    x, padding = _bordered(x, padding, dilation)
    return _gathered(x, w, bias, x.shape[1:3], (w.shape[:2], stride, padding, dilation), (len(x), *made, w.shape[3]))


def conv2d_data(y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    if by_rows(w.shape[2], dilation):
        return _overlapped(y, w, bias, size, stride, padding, dilation)
    turned = _turned_padding(w.shape, stride, padding, dilation)
    if turned and all(size):  # no convolution gives an image without pixels
        return conv2d(y, _turned(w), bias, stride, turned, dilation)
    return _gathered(y, w, bias, (size[0], size[1]), (w.shape[:2], stride, padding, dilation), (len(y), *size, w.shape[2]), data=True)


def conv2d_weight(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    shape = *size, x.shape[3], y.shape[3]
    turned = _turned_padding(shape, stride, padding, dilation)
    if turned:
        return numpy.ascontiguousarray(_turned(conv2d_weight(y, x, size, stride, turned, dilation)))
    x, padding = _bordered(x, padding, dilation)
    return _weight(x, y, (size, stride, padding, dilation)).reshape(shape)


def matmul(a: Array, b: Array) -> Array:
    """A product is a 1x1 convolution over a batch of single pixels; with b transposed, the transposed one; with a, the weight gradient.

    Pixels and weights are read along rows, so a transposed matrix must be rearranged, unless something smaller can be in its place:
    for a long a, the partial sums of a weight gradient; for a large b, the other two, since a @ b = (b.T @ a.T).T.
    """
    (rows, length), columns = a.shape, b.shape[1]
    if _transposed(a) and length > columns:
        return _weight(a.T[:, None, None, :], b[:, None, None, :], _ONE_PIXEL).reshape(rows, columns)
    if _transposed(b) and a.size + rows * columns < b.size:
        return numpy.ascontiguousarray(matmul(b.T, numpy.ascontiguousarray(a).T).T)
    w = b.T if _transposed(b) else b
    return _gathered(a, w, None, (1, 1), _ONE_PIXEL, (rows, columns), data=_transposed(b))


def _transposed(matrix: Array) -> bool:
    return matrix.flags.f_contiguous and not matrix.flags.c_contiguous


def _turned_padding(shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair) -> Padding | None:
    """The padding of the convolution that does the same work with the kernel, of this shape, turned around, where the work is less.

    With stride 1, a transposed convolution is a convolution with the kernel turned by half a turn, its inputs and outputs swapped
    and the border that is missing to full overlap. So few outputs can be had by the methods for few channels.
    """
    kernel_height, kernel_width, channels, outputs = shape
    if stride != (1, 1) or channels < FEW_CHANNELS or not by_rows(outputs, dilation):
        return None
    rows, columns = (kernel_height - 1) * dilation[0], (kernel_width - 1) * dilation[1]
    (top, bottom), (left, right) = padding
    if max(top, bottom) > rows or max(left, right) > columns:
        return None
    return (rows - top, rows - bottom), (columns - left, columns - right)


def _turned(w: Array) -> Array:
    return w[::-1, ::-1].swapaxes(2, 3)


def _bordered(x: Array, padding: Padding, dilation: Pair) -> tuple[Array, Padding]:
    """The images and their padding; of few channels, with their borders of zeros drawn in, so that whole kernel rows can be read."""
    images, height, width, channels = x.shape
    if padding == _NO_PADDING or not by_rows(channels, dilation):
        return x, padding
    (top, bottom), (left, right) = padding
    bordered = empty((images, top + height + bottom, left + width + right, channels), x.dtype)
    launch(_border, images, flat(x).reshape(images, height, width * channels), top, left, bordered)
    return bordered, _NO_PADDING


def _gathered(x: Array, w: Array, bias: Array | None, size: Pair, window: Window, shape: tuple[int, ...], data: bool = False) -> Array:
    """The output, of this shape, of the convolution of images of this size or, if data is True, of its transpose."""
    images, outputs = shape[0], shape[-1]
    strips = strip_count(outputs, x.dtype)
    y = empty(shape, x.dtype)
    if not x.size or not y.size:
        y[...] = 0 if bias is None else bias
        return y
    plan = gather_plan(images, size, x.shape[-1], outputs, strips, window, data)
    length = w.size // (plan.taps * outputs)
    zeros = numpy.zeros(max(length, outputs), x.dtype)
    panels = as_panels(w, plan.taps, outputs, y.size // outputs, data)
    start = zeros[:outputs] if bias is None else flat(bias)
    launch(_gather, len(plan.items) * strips, flat(x).reshape(images, -1), *plan[:3], length, zeros, *panels, start, y.reshape(images, -1))
    return y


def _weight(x: Array, g: Array, window: Window) -> Array:
    """The weight gradient, (taps, rows of a tap, outputs)."""
    (kernel_height, kernel_width), channels, outputs = window[0], x.shape[3], g.shape[3]
    taps = 1 if by_rows(channels, window[3]) else kernel_height * kernel_width
    dw = empty((taps, kernel_height * kernel_width * channels // taps, outputs), x.dtype)
    if not x.size or not g.size:
        dw[...] = 0
        return dw
    plan = weight_plan(len(x), x.shape[1:3], channels, outputs, window)
    sums = empty((plan.chunks, strip_count(outputs, x.dtype), taps, *plan.places.shape, tile_width(x)), x.dtype)
    cuts = min(max(1, sums[0].size // _GROUP_SUMS, -(-2 * threads() // plan.chunks)), sums[0, ..., 0, 0].size)
    launch(_outer, plan.chunks * cuts, flat(x).reshape(len(x), -1), flat(g).reshape(len(g), -1, outputs), *plan[:4], cuts, sums)
    launch(_sum_chunks, dw.size // outputs, sums, dw)
    return dw


def _overlapped(g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """conv2d_data for few channels: one product makes the window of values that each pixel of g stands for; they are added up."""
    images, height, width, outputs = g.shape
    kernel_size, channels = w.shape[:2], w.shape[2]
    pixels, of_window = images * height * width, kernel_size[0] * kernel_size[1] * channels
    windows = matmul(flat(g).reshape(pixels, outputs), flat(w).reshape(of_window, outputs).T)
    (top, bottom), (left, right) = padding
    rows, columns = top + size[0] + bottom, left + size[1] + right
    bordered = empty((images, rows, columns, channels), g.dtype)
    bordered.reshape(images, rows, columns * channels)[:] = 0 if bias is None else numpy.tile(bias, columns)
    launch(_add_windows, images, windows.reshape(-1), height, width, *kernel_size, *stride, dilation[0], bordered)
    return numpy.ascontiguousarray(bordered[:, top : top + size[0], left : left + size[1]])


def _border(n, x, top, left, bordered):
    """Copy the rows of each image of x into the middle of an image of zeros."""
    _, rows, columns, channels = bordered.shape
    length, target = x.shape[2], bordered[n].reshape(rows, columns * channels)
    target[:] = 0
    for i in range(x.shape[1]):
        copy(x[n, i], target[top + i, left * channels : left * channels + length])


def _gather(work, x, table, items, pieces, length, zeros, w, w_row, w_strip, bias, y):
    width = tile_width(y)
    strips = (bias.size + width - 1) // width
    item, strip = work // strips, work % strips
    first = strip * width
    x_start, y_start, row = items[item, 0] * x.shape[1], items[item, 0] * y.shape[1] + first, items[item, 1]
    # Each tile asks for its share, an estimate, of what the same piece of the next range will read.
    x_next = (item + pieces) * x.size // len(items)
    x_share = x.shape[1] * bias.size * PIXELS // y.shape[1] + 1
    while row < items[item, 2]:
        prefetch(x, x_next, x_next + x_share)
        x_next += x_share
        gather_tile(x, x_start, table, row, length, zeros, w, strip * w_strip, w_row, bias, first, y, y_start, bias.size - first)
        row += 1 + table[row, 0]


def _outer(item, x, g, pairs, first, block, places, cuts, sums):
    """An item is a chunk of all ranges and a cut of all tiles: what its ranges contribute to its tiles of the chunk's partial sums."""
    chunks, _, taps, tiles, rows, width = sums.shape
    images, pixels, outputs = g.shape
    ranges = (first.size - 1) // taps
    parts = (images + block - 1) // block * ranges
    chunk, cut = item // cuts, item % cuts
    own = sums[chunk].reshape(-1, rows * width)
    low, high = cut * len(own) // cuts, (cut + 1) * len(own) // cuts
    own[low:high] = 0
    x_share, g_share = x.size // (parts * (high - low)) + 1, g.size // (parts * (high - low)) + 1
    for part in range(chunk * parts // chunks, (chunk + 1) * parts // chunks):
        image = part // ranges * block
        share = min(block, images - image)
        x_start, g_start = image * x.shape[1], image * pixels * outputs
        # While the tiles work on this range of pixels, each of them asks for its share of the next one.
        x_next = (part + 1) * x.size // parts
        g_next = (part + 1) * g.size // parts
        for number in range(low, high):
            strip, tile = number // (taps * tiles), number % (taps * tiles)
            prefetch(x, x_next, x_next + x_share)
            prefetch(g, g_next, g_next + g_share)
            x_next += x_share
            g_next += g_share
            entry = part % ranges * taps + tile // tiles
            pair = first[entry]
            count = (first[entry + 1] - pair) * share // block  # a block of several images is one range: as many pairs for each
            column, row = strip * width, tile % tiles * rows
            outer_tile(x, x_start, places, row, rows, g, g_start + column, pairs, pair, count, outputs - column, own, number * rows * width)


@helper
def _add(source, target):
    for i in range(target.size):
        target[i] += source[i]


def _sum_chunks(item, sums, dw):
    chunks, strips, _, _, rows, width = sums.shape
    tap, row = item // dw.shape[1], item % dw.shape[1]
    dw[tap, row] = 0
    for strip in range(strips):
        target = dw[tap, row, strip * width : (strip + 1) * width]
        for chunk in range(chunks):
            _add(sums[chunk, strip, tap, row // rows, row % rows], target)


def _add_windows(n, windows, height, width, kernel_height, kernel_width, row_stride, column_stride, dilation, images):
    """Add each window of kernel_height * kernel_width pixels to the image, where it belongs. They come row by row."""
    channels = images.shape[3]
    run = kernel_width * channels
    image = images[n].reshape(-1)
    for i in range(height):
        for a in range(kernel_height):
            row = (i * row_stride + a * dilation) * images.shape[2]
            for j in range(width):
                source = (((n * height + i) * width + j) * kernel_height + a) * run
                target = (row + j * column_stride) * channels
                _add(windows[source : source + run], image[target : target + run])
