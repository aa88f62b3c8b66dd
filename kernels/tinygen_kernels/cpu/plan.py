"""How a convolution is divided into register tiles.

A plan depends on shapes alone. It is computed once and only read afterwards. The words:

    tile    results that fit in registers (`simd.py`): some output pixels of one strip, or some rows
            of a weight gradient in one strip
    strip   consecutive output channels, as many as a tile is wide
    panel   the weights of one strip, in the order in which its tiles read them (`panels.py`)
    block   the images that are planned together: several small ones, so that tiles fill up, or one
    range   output pixels of a block that are computed one after another, and share the cache
    kind    of ranges: those that read an image in the same way, from different places (`ranges.py`)
    item    what one thread computes before it takes the next (`parallel.launch`). For the outputs:
            some tiles of one range, in one strip; the plan lists them once for all strips. For a
            weight gradient: some tiles of one partial sum, which adds up consecutive ranges
            (`weight.py`)

With AVX-512, for example, take 64 images 16x16x64 -> 128 with a 3x3 kernel and stride 2. A block is
7 images, whose 7*64 = 448 output pixels are one range, and a range has 2 items in each strip. That
makes 20 items in each of the 4 strips of 32 output channels, in tiles of 14 pixels. The weight
gradient has blocks of 1 image and 4 partial sums. With AVX2 a block is 6 images, and a range has 1
item in each of the 8 strips of 16 output channels, in tiles of 6 pixels.

The convolutions of `winograd.py` need no plan. Their blocks are consecutive squares of 2x2 or 4x4
pixels, which Winograd's algorithm calls tiles, too.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.ranges import of_images, ranges
from tinygen_kernels.cpu.simd import PIXELS
from tinygen_kernels.geometry import inverse_table, source_tables

# These numbers were found by measuring the layers of the benchmark with AVX-512 and AVX2.
FEW_CHANNELS = 11  # with fewer, conv2d reads a whole kernel row at once
_PIXELS = 1024  # of a range, about
_ITEMS = 64  # the least number of items; of a small convolution, some have no tiles
_KEPT_BYTES = 32 << 20  # of all plans together

Window = tuple[Pair, Pair, Padding, Pair]  # kernel_size, stride, padding, dilation
Plan = tuple[Any, ...]

_plans: dict[tuple[Any, ...], Plan] = {}  # by function and arguments, the one used last at the end
_one_at_a_time = threading.Lock()


def kept(make: Callable[..., Plan]) -> Callable[..., Plan]:
    """Keep the plans that were used last, as many as fit into _KEPT_BYTES."""

    @functools.wraps(make)
    def plan(*arguments: Any) -> Plan:
        with _one_at_a_time:
            known = _plans.pop((make, *arguments), None)
            plan = _plans[make, *arguments] = known or make(*arguments)
            while not known and len(_plans) > 1 and kept_bytes() > _KEPT_BYTES:
                del _plans[next(iter(_plans))]
        return plan

    return plan


def kept_bytes() -> int:
    return sum(part.nbytes for plan in _plans.values() for part in plan if isinstance(part, numpy.ndarray))


def by_rows(channels: int, dilation: Pair) -> bool:
    """Whether conv2d has a whole kernel row as one tap, kernel width * channels consecutive elements,
    and conv2d_weight the whole kernel.

    This needs images with a border of zeros.
    """
    return channels < FEW_CHANNELS and dilation[1] == 1


@functools.lru_cache
def product_table(length: int, outputs: int) -> Array:
    """The tiles of any matrix product, of 1 row, of 2, and so on to PIXELS, as in the table of `gather_plan`.

    `length` and `outputs` are the elements of a row that is read, and of one of the result.
    """
    table = numpy.zeros((PIXELS, 2, PIXELS + 1), numpy.int32)
    table[:, 0, 0] = 1
    table[:, :, 1:] = numpy.minimum(numpy.arange(PIXELS), numpy.arange(PIXELS)[:, None])[:, None]
    table[:, :, 1:] *= numpy.array([outputs, length])[:, None]
    return table.reshape(-1, PIXELS + 1)


@kept
def gather_plan(images: int, size: Pair, channels: int, outputs: int, strips: int, window: Window, data: bool) -> Plan:
    """The plan of conv2d for images of this size or, if `data`, of conv2d_data back to this size.

    The latter is the same sum over the inverse table. `channels` are those that are read, `outputs`
    those of the result. Each item of the plan is computed once for each strip. Returns

    table: for each tile a header and a row for each tap, as `simd.gather_tile` reads them.
    items: for each item its start in the result and in the images, its first row of the table, and
           the row where it ends.
    range_items: the number of items in a range.
    taps: the number of taps of an output pixel.
    """
    (rows, columns), read, length = source_tables(size, *window), size, channels
    if data:
        read = len(rows), len(columns)
        rows, columns = inverse_table(rows, size[0]), inverse_table(columns, size[1])
    elif by_rows(channels, window[3]):
        columns, length = columns[:, :1], window[0][1] * channels
    pixels, sizes = len(rows) * len(columns), (len(rows) * len(columns) * outputs, read[0] * read[1] * channels)
    kinds, kind, starts = ranges(rows, columns, read[1], _PIXELS, outputs, channels)
    block = _block(images, pixels, strips)
    range_items = -(-_ITEMS // (-(-images // block) * strips * len(kind)))
    tables, items, end = [], [], 0
    for first, last in (0, images - images % block), (images - images % block, images):
        if first == last:
            continue
        bounds = []  # of the items of each kind, as rows of the table
        for each in kinds:
            table, headers = _tile_rows(of_images(each, min(block, last - first), *sizes), length)
            bounds.append(end + numpy.append(headers, len(table))[numpy.arange(range_items + 1) * len(headers) // range_items])
            tables.append(table)
            end += len(table)
        image, of_kind = numpy.arange(first, last, block)[:, None, None], numpy.array(bounds)[kind]
        parts = image * sizes[0] + starts[:, :1], image * sizes[1] + starts[:, 1:], of_kind[:, :-1], of_kind[:, 1:]
        items.append(numpy.stack(numpy.broadcast_arrays(*parts), axis=-1).reshape(-1, 4))
    return indices(numpy.concatenate(tables)), numpy.concatenate(items), range_items, rows.shape[1] * columns.shape[1]


def _block(images: int, pixels: int, strips: int) -> int:
    """The number of images in a block.

    Of the numbers from `most` down to just above its half, the one with the fewest tiles for the
    whole batch; of equals, the largest. `most` leaves eight blocks to share, or fills a tile.
    """
    shared, full = max(images // 8, images * strips // _ITEMS), -(-PIXELS // pixels)
    most = max(1, min(_PIXELS // pixels, max(shared, full)))

    def tiles(images: int) -> int:
        return -(-images * pixels // PIXELS)

    return min(range(most, most // 2, -1), key=lambda block: images // block * tiles(block) + tiles(images % block))


def _tile_rows(kind: Array, length: int) -> tuple[Array, Array]:
    """The rows of the table for the pixels of a kind of ranges, and the indices of the headers.

    Pixels that use the same taps share tiles, and a tile skips the taps that none of its pixels
    uses. So borders, and the zeros between the pixels of a transposed convolution, cost almost
    nothing.
    """
    order = numpy.lexsort(kind.T >= 0)
    # The last pixel is repeated until the last tile is full.
    tiles = kind[numpy.pad(order, (0, -order.size % PIXELS), "edge")].reshape(-1, PIXELS, kind.shape[1])
    used = (tiles >= 0).any(axis=1)  # the result itself is always used
    tile, tap = numpy.nonzero(used)
    table = numpy.column_stack([(tap - 1) * length, tiles[tile, :, tap]])
    headers = numpy.nonzero(tap == 0)[0]
    table[headers, 0] = used.sum(axis=1) - 1
    return table, headers


def indices(table: Array) -> Array:
    """The table as 32-bit integers, for half the memory."""
    if table.max(initial=0) >= 2**31:
        raise ValueError(f"an image of {table.max()} or more numbers is too large: positions in it are 32-bit integers")
    return numpy.ascontiguousarray(table, numpy.int32)
