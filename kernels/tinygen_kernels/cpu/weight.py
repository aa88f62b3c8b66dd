# mypy: allow-untyped-defs
"""Weight gradients: w[t] = sum over i of x[source[i, t]].T @ y[i].

`plan.py` explains the words. For each tap, a plan lists *pairs*: a pixel of x and the pixel of y
that it meets. A tile (`simd.outer_tile`) is some rows of w[t], and adds the products of all pairs of
a range to them. The pixels of the range are then still in the first-level cache for the next tile.

The sum over i is divided into *partial sums*, each over consecutive ranges, so that threads need not
wait for each other. They are added at the end, always in the same order.

The first-level cache can hold only a few of the lines whose addresses differ by a multiple of a
large power of two, as those of the same channels of neighbouring pixels often do. Such pixels are
copied first, a line further apart. Without that, layers of 64 channels took 1.4 times as long.
"""

import numpy

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.panels import copy, strip_count
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import Plan, Window, by_rows, indices, kept
from tinygen_kernels.cpu.ranges import of_images, ranges
from tinygen_kernels.cpu.simd import ROWS, outer_tile, prefetch, tile_width
from tinygen_kernels.cpu.team import threads
from tinygen_kernels.cpu.vector import LINE_BYTES, REGISTERS
from tinygen_kernels.geometry import source_tables

_PIXELS = 96 if REGISTERS == 32 else 72  # of a range, about
_SUMS = 64  # the most partial sums,
_SUM_PIXELS = 1024  # one for every so many output pixels,
_SUMS_SIZE = 1 << 19  # of no more than so many elements together, unless there is only one
_ITEM_SIZE = 1 << 16  # elements of a partial sum that stay in the cache
# Pixels of x, and those of y, are copied if they are a multiple of so many lines apart. Where the
# whole kernel is one tap, as in a product, fewer tiles read a pixel. There, copies of x took up to
# 1.6 times as long, but with pixels 64 lines apart up to 2.4 times as long without them. Copies of
# y took up to 1.16 times as long.
_APART, _APART_IN_ONE_TAP = (4, 4), (64, 8)


def weight_gradient(x: Array, y: Array, window: Window) -> Array:
    """w, (taps, rows of a tap, outputs)."""
    (height, width), channels, outputs = window[0], x.shape[3], y.shape[3]
    whole_rows = by_rows(channels, window[3])
    taps = 1 if whole_rows else height * width
    w = empty((taps, height * width * channels // taps, outputs), x.dtype)
    if not x.size or not y.size:
        w[...] = 0
        return w
    x_apart, y_apart = _APART if taps > 1 else _APART_IN_ONE_TAP
    x_pitch = 0 if whole_rows else _pitch(channels * window[1][1], channels, x.itemsize, x_apart)
    pitches = x_pitch, _pitch(outputs, outputs, x.itemsize, y_apart)
    plan = weight_plan(x.shape[1:3], channels, outputs, window, pitches)
    tiles, rows = plan[-1].shape
    most = max(1, min(_SUMS, y.size // outputs // _SUM_PIXELS, _SUMS_SIZE // w.size))
    # A power of two, because many batch sizes and numbers of threads are powers of two.
    sums = empty((1 << most.bit_length() - 1, taps * tiles, rows, strip_count(outputs, x.dtype) * tile_width(x)), x.dtype)
    sum_items = min(max(1, sums[0].size // _ITEM_SIZE, -(-threads() // len(sums))), taps * tiles)
    images = flat(x).reshape(len(x), -1, channels), flat(y).reshape(len(y), -1, outputs)
    launch(_outer, len(sums) * sum_items, *images, *plan, *pitches, sum_items, sums)
    return sums.reshape(len(sums), taps, tiles * rows, -1)[:, :, : w.shape[1], :outputs].sum(axis=0, out=w)


def _pitch(step: int, length: int, itemsize: int, apart: int) -> int:
    """How far apart pixels of this length are copied; 0 if, with this step, they stay where they are."""
    return length + LINE_BYTES // itemsize if step * itemsize % (apart * LINE_BYTES) == 0 else 0


@kept
def weight_plan(size: Pair, channels: int, outputs: int, window: Window, pitches: Pair) -> Plan:
    """The plan for images of this size, however many. All positions count elements. Returns

    pairs:   (position in x, position in y), ordered by kind and tap, from the start of a range or,
             if pixels are copied, of the copies.
    first:   the index of the first pair of each kind and tap, and the number of pairs at the end.
    starts:  for each range of a block its start in y and in x, and its kind.
    copied:  for each kind the positions of the pixels of x to copy, then of those of y.
    bounds:  the index in `copied` of each kind's first pixel of x and of y, and the end.
    block:   the number of images in a block. The last block may have fewer. It uses the first pairs
             and copies the first pixels, equally many for each image.
    offsets: the position in x of each row of w[tap], relative to the pair's, grouped into tiles;
             the last row is repeated until its tile is full.
    """
    rows, columns = source_tables(size, *window)
    (height, width), dilation = window[0], window[3]
    offsets: Array = numpy.arange(channels)
    if by_rows(channels, dilation):
        # One tap, the first pixel of the window. Its other pixels are at fixed offsets from that.
        rows, columns = rows[:, :1], columns[:, :1]
        offsets = (numpy.arange(height)[:, None] * dilation[0] * size[1] * channels + numpy.arange(width * channels)).ravel()
    # A tile's loads of y take about as long as one more row.
    tile = min(reversed(ROWS), key=lambda rows: -(-offsets.size // rows) * (rows + 1))
    offsets = numpy.pad(offsets, (0, -offsets.size % tile), "edge").reshape(-1, tile)
    kinds, kind, starts = ranges(rows, columns, size[1], _PIXELS, outputs, channels)
    pixels = len(rows) * len(columns)
    block = max(1, _PIXELS // pixels)
    pairs, copied = [], []
    for each in kinds:
        places = of_images(each, block, pixels * outputs, size[0] * size[1] * channels)
        x, copied_x = _copies(places[:, 1:], pitches[0])
        y, copied_y = _copies(places[:, 0], pitches[1])
        copied += [copied_x, copied_y]
        inside = places[:, 1:] >= 0
        pairs += [numpy.column_stack([x[used, tap], y[used]]) for tap, used in enumerate(inside.T)]
    first, bounds = (numpy.append(0, numpy.cumsum([len(part) for part in parts])) for parts in (pairs, copied))
    tables = numpy.concatenate(pairs), first, numpy.column_stack([starts, kind]), numpy.concatenate(copied), bounds
    return *map(indices, tables), block, indices(offsets)


def _copies(places: Array, pitch: int) -> tuple[Array, Array]:
    """Where the copies of the pixels at these places are, and the places of all pixels to copy."""
    if not pitch:
        return places, numpy.zeros(0, int)
    used = numpy.unique(places[places >= 0])
    return numpy.searchsorted(used, places) * pitch, used


def _outer(item, x, y, pairs, first, starts, copied, bounds, block, offsets, x_pitch, y_pitch, sum_items, sums):
    """Compute some tiles of a partial sum, which is divided into `sum_items` items."""
    count, all_tiles, rows, columns = sums.shape
    tiles, width = len(offsets), tile_width(sums)
    ranges = (len(x) + block - 1) // block * len(starts)
    number, part = item // sum_items, item % sum_items
    low, high = part * all_tiles // sum_items, (part + 1) * all_tiles // sum_items
    own, taps = sums[number], all_tiles // tiles
    own[low:high] = 0
    shares = ranges * (high - low) * (columns // width)
    x_share, y_share = x.size // shares + 1, y.size // shares + 1
    # The tiles of an item read these channels of x, but if it has several taps, all of them.
    x_from, x_to = (low * rows, min(high * rows, x.shape[2])) if taps == 1 else (0, x.shape[2])
    x_copies, y_copies = numpy.empty(len(copied) * x_pitch, x.dtype), numpy.empty(len(copied) * y_pitch, x.dtype)
    for index in range(number * ranges // count, (number + 1) * ranges // count):
        image, place = index // len(starts) * block, index % len(starts)
        present, kind = min(block, len(x) - image), starts[place, 2]
        x_pixels, y_pixels = copied[bounds[2 * kind] : bounds[2 * kind + 1]], copied[bounds[2 * kind + 1] : bounds[2 * kind + 2]]
        x_place, y_place = image * x[0].size + starts[place, 1], image * y[0].size + starts[place, 0]
        x_read, x_start = _copied(x, x_place, x_pixels[: len(x_pixels) * present // block], x_from, x_to, x_copies, x_pitch)
        y_read, y_start = _copied(y, y_place, y_pixels[: len(y_pixels) * present // block], 0, y.shape[2], y_copies, y_pitch)
        # While the tiles work on this range, each of them prefetches its share of the next range.
        x_next, y_next = (index + 1) * x.size // ranges, (index + 1) * y.size // ranges
        # A division for each tile would delay its first load, and a tile takes only some hundred cycles.
        for column in range(0, columns, width):
            for tap in range(low // tiles, (high - 1) // tiles + 1):
                pair = first[kind * taps + tap]
                pair_count, left = (first[kind * taps + tap + 1] - pair) * present // block, y.shape[2] - column
                for tile in range(max(low, tap * tiles), min(high, (tap + 1) * tiles)):
                    prefetch(x, x_next, x_next + x_share)
                    prefetch(y, y_next, y_next + y_share)
                    x_next += x_share
                    y_next += y_share
                    row, total = (tile - tap * tiles) * rows, tile * rows * columns + column
                    outer_tile(
                        x_read, x_start, offsets, row, rows, y_read, y_start + column, pairs, pair, pair_count, left, own, total, columns
                    )


@helper
def _copied(images, start, pixels, low, high, copies, pitch):
    """Copies of these channels of the pixels, and where they start; if pitch is 0, the images themselves, and start."""
    elements = images.reshape(-1)
    if pitch == 0:
        return elements, start
    for k in range(len(pixels)):
        copy(elements[start + pixels[k] + low : start + pixels[k] + high], copies[k * pitch + low : k * pitch + high])
    return copies, 0
