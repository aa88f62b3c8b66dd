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
from tinygen_kernels.cpu.panels import Panels, as_panels, copy, strip_count
from tinygen_kernels.cpu.parallel import launch, serial, threads
from tinygen_kernels.cpu.plan import FEW_CHANNELS, GatherPlan, Window, data_plan, forward_plan, weight_plan
from tinygen_kernels.cpu.simd import PIXELS, gather_tile, outer_tile, prefetch, tile_width
from tinygen_kernels.geometry import output_size

_NO_PADDING = (0, 0), (0, 0)
_ONE_PIXEL = (1, 1), (1, 1), _NO_PADDING, (1, 1)  # the window of a matrix product, which is a convolution of 1x1 images


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    kernel_size, channels, outputs = w.shape[:2], w.shape[2], w.shape[3]
    made = output_size(x.shape[1:3], kernel_size, stride, padding, dilation)
    if not len(x):
        return empty((0, *made, outputs), x.dtype)
    turned = _turned_padding(channels, outputs, kernel_size, stride, padding, dilation)
    if turned:
        return conv2d_data(x, _turned(w), bias, made, stride, turned, dilation)
    by_rows = _by_rows(channels, dilation)
    if by_rows:
        x, padding = _bordered(x, padding), _NO_PADDING
    window = kernel_size, stride, padding, dilation
    plan = forward_plan(len(x), x.shape[1:3], channels, outputs, strip_count(outputs, x.dtype), window, by_rows)
    taps = kernel_size[0] if by_rows else kernel_size[0] * kernel_size[1]
    length = w.size // (taps * outputs)
    panels = as_panels(w, taps, length, outputs, len(x) * made[0] * made[1])
    return _gathered(x, plan, panels, length, bias, (len(x), *made, outputs))


def conv2d_data(g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    kernel_size, channels, outputs = w.shape[:2], w.shape[2], w.shape[3]
    if not len(g):
        return empty((0, *size, channels), g.dtype)
    if _by_rows(channels, dilation):
        return _overlapped(g, w, bias, size, stride, padding, dilation)
    turned = _turned_padding(channels, outputs, kernel_size, stride, padding, dilation)
    if turned:
        return conv2d(g, _turned(w), bias, stride, turned, dilation)
    window = kernel_size, stride, padding, dilation
    plan = data_plan(len(g), tuple(size), channels, outputs, strip_count(channels, g.dtype), window)
    panels = as_panels(w, kernel_size[0] * kernel_size[1], outputs, channels, len(g) * size[0] * size[1], transposed=True)
    return _gathered(g, plan, panels, outputs, bias, (len(g), *size, channels))


def conv2d_weight(x: Array, g: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    channels, outputs = x.shape[3], g.shape[3]
    if not len(x):
        return numpy.zeros((*size, channels, outputs), x.dtype)
    turned = _turned_padding(channels, outputs, size, stride, padding, dilation)
    if turned:
        return numpy.ascontiguousarray(_turned(conv2d_weight(g, x, size, stride, turned, dilation)))
    by_rows = _by_rows(channels, dilation)
    if by_rows:
        x, padding = _bordered(x, padding), _NO_PADDING
    return _weight(x, g, (size, stride, padding, dilation), by_rows).reshape(*size, channels, outputs)


def matmul(a: Array, b: Array) -> Array:
    """A product is a 1x1 convolution over a batch of single pixels; with a transposed, it is the weight gradient of one.

    Pixels and weights are read along rows, so a transposed matrix must be rearranged, unless something smaller can be in its place:
    for a long a, the partial sums of a weight gradient; for a large b, the other two, since a @ b = (b.T @ a.T).T.
    """
    (rows, length), columns = a.shape, b.shape[1]
    if not a.size or not b.size:
        return numpy.zeros((rows, columns), a.dtype)
    if _transposed(a) and length > columns:
        x, g = a.T[:, None, None, :], b[:, None, None, :]
        return _weight(x, g, _ONE_PIXEL, by_rows=False).reshape(rows, columns)
    if _transposed(b) and a.size + rows * columns < b.size:
        return numpy.ascontiguousarray(matmul(b.T, numpy.ascontiguousarray(a).T).T)
    plan = forward_plan(rows, (1, 1), length, columns, strip_count(columns, a.dtype), _ONE_PIXEL, False)
    panels = as_panels(b.T if _transposed(b) else b, 1, length, columns, rows, _transposed(b))
    return _gathered(a, plan, panels, length, None, (rows, columns))


def _transposed(matrix: Array) -> bool:
    return matrix.flags.f_contiguous and not matrix.flags.c_contiguous


def _by_rows(channels: int, dilation: Pair) -> bool:
    return channels < FEW_CHANNELS and dilation[1] == 1


def _turned_padding(channels: int, outputs: int, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Padding | None:
    """The padding of the convolution with the kernel turned around that does the same work, where the work is less, else None.

    With stride 1, a transposed convolution is a convolution with the kernel turned by half a turn, its inputs and outputs swapped
    and the border that is missing to full overlap. So few outputs can be had by the methods for few channels.
    """
    if stride != (1, 1) or channels < FEW_CHANNELS or not _by_rows(outputs, dilation):
        return None
    rows, columns = (kernel_size[0] - 1) * dilation[0], (kernel_size[1] - 1) * dilation[1]
    (top, bottom), (left, right) = padding
    if max(top, bottom) > rows or max(left, right) > columns:
        return None
    return (rows - top, rows - bottom), (columns - left, columns - right)


def _turned(w: Array) -> Array:
    return w[::-1, ::-1].swapaxes(2, 3)


def _bordered(x: Array, padding: Padding) -> Array:
    """The images with their borders of zeros drawn in, so that whole kernel rows can be read from them."""
    if padding == _NO_PADDING:
        return x
    images, height, width, channels = x.shape
    (top, bottom), (left, right) = padding
    bordered = empty((images, top + height + bottom, left + width + right, channels), x.dtype)
    launch(_border, images, flat(x).reshape(images, height, -1), top, left * channels, bordered.reshape(images, top + height + bottom, -1))
    return bordered


def _gathered(x: Array, plan: GatherPlan, panels: Panels, length: int, bias: Array | None, shape: tuple[int, ...]) -> Array:
    """The output, of the given shape, whose pixels read `length` numbers of x at each tap."""
    images, outputs = shape[0], shape[-1]
    y = empty(shape, x.dtype)
    zeros = numpy.zeros(max(length, outputs), x.dtype)
    start = zeros if bias is None else flat(bias)
    width = tile_width(x.dtype)
    work = len(plan.items) // 3 * strip_count(outputs, x.dtype)
    launch(_gather, work, flat(x), x.size // images, *plan, length, zeros, *panels, width, start, y.reshape(-1), y.size // images, outputs)
    return y


def _weight(x: Array, g: Array, window: Window, by_rows: bool) -> Array:
    """The weight gradient, (taps, rows of a tap, outputs)."""
    (kernel_height, kernel_width), channels, outputs = window[0], x.shape[3], g.shape[3]
    taps = 1 if by_rows else kernel_height * kernel_width
    plan = weight_plan(len(x), x.shape[1:3], channels, outputs, window, by_rows)
    width = tile_width(x.dtype)
    sums = empty((plan.chunks, strip_count(outputs, x.dtype), taps, plan.places.size // plan.rows, plan.rows, width), x.dtype)
    strips, tiles = sums.shape[1], taps * sums.shape[3]
    groups = max(plan.groups, min(-(-2 * threads() // plan.chunks), strips * tiles))
    # Items with a part of the strips each read all of x, items with a part of the tiles all of g: what is smaller is read by all.
    cuts = (min(groups, strips), 1) if strips * width > tiles * plan.rows else (1, min(groups, tiles))
    launch(_outer, plan.chunks * cuts[0] * cuts[1], flat(x), flat(g), len(x), *plan[:4], *cuts, outputs, sums)
    dw = empty((taps, kernel_height * kernel_width * channels // taps, outputs), x.dtype)
    launch(_sum_chunks, dw.size // outputs, sums, dw)
    return dw


def _overlapped(g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """conv2d_data for few channels: one product makes the window of values that each pixel of g stands for; they are added up."""
    images, height, width, outputs = g.shape
    kernel_size, channels = w.shape[:2], w.shape[2]
    windows = matmul(flat(g).reshape(-1, outputs), flat(w).reshape(-1, outputs).T)
    (top, bottom), (left, right) = padding
    rows, columns = top + size[0] + bottom, left + size[1] + right
    bordered = empty((images, rows, columns, channels), g.dtype)
    bordered.reshape(images, rows, -1)[:] = 0 if bias is None else numpy.tile(bias, columns)
    launch(_add_windows, images, windows.reshape(-1), height, width, *kernel_size, *stride, dilation[0], bordered)
    return numpy.ascontiguousarray(bordered[:, top : top + size[0], left : left + size[1]])


def _border(n, x, top, left, bordered):
    """Copy the rows of each image of x into the middle of an image of zeros."""
    (_, height, length), columns = x.shape, bordered.shape[2]
    source, target = x[n].reshape(-1), bordered[n].reshape(-1)
    target[:] = 0
    for i in range(height):
        start = (top + i) * columns + left
        copy(source[i * length : (i + 1) * length], target[start : start + length])


def _gather(work, x, x_image, table, items, pieces, length, zeros, w, w_row, w_strip, width, bias, y, y_image, outputs):
    strips = (outputs + width - 1) // width
    item = 3 * (work // strips)
    strip = work % strips
    first = strip * width
    x_start = items[item] * x_image
    y_start = items[item] * y_image + first
    row = items[item + 1]
    # Each tile asks for its share of the part of x that is needed a range of pixels later.
    x_next = (work // strips + pieces) * x.size // (items.size // 3)
    x_share = x_image * outputs * PIXELS // y_image + 1
    while row < items[item + 2]:
        prefetch(x, x_next, x_next + x_share)
        x_next += x_share
        gather_tile(x, x_start, table, row, length, zeros, w, strip * w_strip, w_row, bias, first, y, y_start, outputs - first)
        row += 1 + table[row * (PIXELS + 1)]


def _outer(item, x, g, images, pairs, first, block, places, strip_cuts, tile_cuts, outputs, sums):
    chunks, strips, taps, tiles, rows, width = sums.shape
    ranges = (first.size - 1) // taps
    parts = (images + block - 1) // block * ranges
    flat_sums = sums.reshape(-1)
    size = rows * width
    chunk, group = item // (strip_cuts * tile_cuts), item % (strip_cuts * tile_cuts)
    left, right = group // tile_cuts * strips // strip_cuts, (group // tile_cuts + 1) * strips // strip_cuts
    low, high = group % tile_cuts * taps * tiles // tile_cuts, (group % tile_cuts + 1) * taps * tiles // tile_cuts
    for strip in range(left, right):
        start = (chunk * strips + strip) * taps * tiles
        flat_sums[(start + low) * size : (start + high) * size] = 0
    turns = parts * (right - left) * (high - low)
    x_share = x.size // turns + 1
    g_share = g.size // turns + 1 if right - left == strips else 0
    for part in range(chunk * parts // chunks, (chunk + 1) * parts // chunks):
        image = part // ranges * block
        share = min(block, images - image)
        x_start = image * (x.size // images)
        g_start = image * (g.size // images)
        # While the tiles work on this range of pixels, each of them asks for its share of the next one.
        x_next = (part + 1) * x.size // parts
        g_next = (part + 1) * g.size // parts
        for strip in range(left, right):
            column = strip * width
            for tile in range(low, high):
                prefetch(x, x_next, x_next + x_share)
                prefetch(g, g_next, g_next + g_share)
                x_next += x_share
                g_next += g_share
                entry = part % ranges * taps + tile // tiles
                pair = first[entry]
                count = (first[entry + 1] - pair) * share // block
                row = tile % tiles * rows
                total = ((chunk * strips + strip) * taps * tiles + tile) * size
                outer_tile(x, x_start, places, row, rows, g, g_start + column, pairs, pair, count, outputs - column, flat_sums, total)


@serial
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
