"""How a convolution is divided into register tiles.

A plan depends on shapes alone. It is computed once and only read afterwards. The words:

    tile    results that fit in registers (`simd.py`): some output pixels of one strip, or some rows
            of a weight gradient in one strip
    strip   consecutive output channels, as many as a tile is wide
    panel   the weights of one strip, in the order in which its tiles read them (`panels.py`)
    block   the images that are planned together: several small ones, so that tiles fill up, or one
    range   consecutive output pixels of a block, whose data stay in the first-level cache
    item    what one thread computes before it takes the next (`parallel.launch`). For the outputs:
            some tiles of one range in one strip. For a weight gradient: some tiles of one chunk
    chunk   consecutive ranges whose weight gradients are added to the same partial sum

With AVX-512, for example, take 64 images 16x16x64 -> 128 with a 4x4 kernel and stride 2. A block is
7 images, whose 7*64 = 448 output pixels are one range, and a range has 2 items in each strip. That
makes 20 items in each of the 4 strips of 32 output channels, in tiles of 14 pixels. The weight
gradient has blocks of 2 images and 2 chunks.

The constants below were found by measuring the layers of the benchmark on two cores with AVX-512.
"""

import functools
import itertools
from typing import NamedTuple

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.simd import PIXELS, ROWS
from tinygen_kernels.geometry import inverse_table, source_table

FEW_CHANNELS = 11  # with fewer, a tap is a whole kernel row
_GATHER_PIXELS = 1024  # the most output pixels of a range, for the outputs
_GATHER_ITEMS = 64  # the least number of items, if tiles can still be full
_OUTER_PIXELS = 160  # the most output pixels of a range, for a weight gradient
_CHUNKS = 64  # the most partial sums of a weight gradient,
_CHUNK_PIXELS = 256  # one for every so many output pixels,
_PARTIAL_SUMS = 1 << 19  # but never more than so many elements in all of them
_PLANS = 64  # the most plans of each kind that are kept; that of a large image takes some MB

Window = tuple[Pair, Pair, Padding, Pair]  # kernel_size, stride, padding, dilation


class GatherPlan(NamedTuple):
    """The tiles of conv2d, or of conv2d_data, which is the same sum over the inverse table.

    table: for each tile a header and a row for each tap, as `simd.gather_tile` reads them.
    items: for each item the first image of its block, and its first row of the table and its end.
    range_items: the number of items in a range.
    taps: the number of taps of an output pixel.
    """

    table: Array
    items: Array
    range_items: int
    taps: int


class OuterPlan(NamedTuple):
    """The pairs of conv2d_weight: which pixels of x meet which pixels of y at each tap.

    pairs:   (position in x, position in y), ordered by range and tap, in elements from the first
             image of a block.
    first:   the index of the first pair of each range and tap, and the number of pairs at the end.
    block:   the number of images in a block. The last block may have fewer: it uses the first pairs
             of its range, equally many for each image.
    offsets: offset in x of each row of dw[tap], relative to the pair's position, grouped into
             tiles; the last row is repeated until its tile is full.
    chunks:  the number of chunks.
    """

    pairs: Array
    first: Array
    block: int
    offsets: Array
    chunks: int


def by_rows(channels: int, dilation: Pair) -> bool:
    """Whether a tap is a whole kernel row: kernel width * channels consecutive elements.

    This needs images with a border of zeros.
    """
    return channels < FEW_CHANNELS and dilation[1] == 1


@functools.lru_cache(_PLANS)
def gather_plan(images: int, size: Pair, channels: int, outputs: int, strips: int, window: Window, data: bool) -> GatherPlan:
    """The plan of conv2d for images of this size or, if `data`, of conv2d_data back to this size.

    `channels` are those that are read, `outputs` those of the result. Each item of the plan is
    computed once for each strip.
    """
    source, read, length = source_table(size, *window), size[0] * size[1], channels
    if data:
        source, read = inverse_table(source, read), len(source)
    elif by_rows(channels, window[3]):
        source, length = source[:, :: window[0][1]], window[0][1] * channels
    pixels = len(source)
    shared, full = max(images // 8, images * strips // _GATHER_ITEMS), -(-PIXELS // pixels)
    most = max(1, min(_GATHER_PIXELS // pixels, max(shared, full)))
    # Of the block sizes from `most` down to half of it, the one with the fewest tiles for the whole
    # batch; of equals, the largest.
    block = min(range(most, most // 2, -1), key=lambda block: images // block * _tiles(block, pixels) + _tiles(images % block, pixels))
    range_items = -(-_GATHER_ITEMS // (-(-images // block) * strips * max(1, round(block * pixels / _GATHER_PIXELS))))
    tables, items, rows = [], [], 0
    for first, last in (0, images - images % block), (images - images % block, images):
        if first == last:
            continue
        step = min(block, last - first)
        repeated = _repeated(source, step, read, channels)
        starts: list[int] = []  # the first row of each item
        for low, high in itertools.pairwise(_ranges(step * pixels, _GATHER_PIXELS)):
            table, headers = _tile_rows(repeated, low, high, length, outputs)
            tables.append(table)
            count = min(range_items, len(headers))
            starts += list(rows + headers[numpy.arange(count) * len(headers) // count])
            rows += len(table)
        items += [(image, *bounds) for image in range(first, last, step) for bounds in itertools.pairwise([*starts, rows])]
    return GatherPlan(_indices(numpy.concatenate(tables)), _indices(numpy.array(items)), range_items, source.shape[1])


@functools.lru_cache(_PLANS)
def weight_plan(images: int, size: Pair, channels: int, outputs: int, window: Window) -> OuterPlan:
    source = source_table(size, *window)
    offsets: Array = numpy.arange(channels)
    (height, width), dilation = window[0], window[3]
    if by_rows(channels, dilation):
        # One tap, the first pixel of the window. Its other pixels are at fixed offsets from that.
        source = source[:, :1]
        offsets = (numpy.arange(height)[:, None] * dilation[0] * size[1] * channels + numpy.arange(width * channels)).ravel()
    rows = min(reversed(ROWS), key=lambda rows: -(-offsets.size // rows) * rows)
    offsets = numpy.pad(offsets, (0, -offsets.size % rows), "edge").reshape(-1, rows)
    block = max(1, min(_OUTER_PIXELS // len(source), images // 4))
    table = _repeated(source, block, size[0] * size[1], channels)
    lists = []
    for low, high in itertools.pairwise(_ranges(block * len(source), _OUTER_PIXELS)):
        for tap in range(table.shape[1]):
            pixels = low + numpy.nonzero(table[low:high, tap] >= 0)[0]
            lists.append(numpy.column_stack([table[pixels, tap], pixels * outputs]))
    first = numpy.append(0, numpy.cumsum([len(pairs) for pairs in lists]))
    most = max(1, min(_CHUNKS, images * len(source) // _CHUNK_PIXELS, _PARTIAL_SUMS // (table.shape[1] * offsets.size * outputs)))
    # A power of two, because many batch sizes and numbers of threads are powers of two.
    chunks = 1 << most.bit_length() - 1
    return OuterPlan(_indices(numpy.concatenate(lists)), _indices(first), block, _indices(offsets), chunks)


def _tile_rows(source: Array, low: int, high: int, length: int, outputs: int) -> tuple[Array, Array]:
    """The rows of the table for pixels low..high, and the indices of the headers among them.

    Pixels that use the same taps share tiles, and a tile skips the taps that none of its pixels
    uses. So borders, and the zeros between the pixels of a transposed convolution, cost almost
    nothing.
    """
    order = low + numpy.lexsort(source[low:high].T >= 0)
    # The last pixel is repeated until the last tile is full.
    tiles = numpy.pad(order, (0, -order.size % PIXELS), "edge").reshape(-1, PIXELS)
    used = (source[tiles] >= 0).any(axis=1)
    tile, tap = numpy.nonzero(used)
    headers = numpy.column_stack([used.sum(axis=1), tiles * outputs])
    taps = numpy.column_stack([tap * length, source[tiles[tile], tap[:, None]]])
    first = numpy.searchsorted(tile, numpy.arange(len(tiles)))
    return numpy.insert(taps, first, headers, axis=0), first + numpy.arange(len(tiles))


def _repeated(source: Array, images: int, pixels: int, channels: int) -> Array:
    """The source table for several consecutive images of `pixels` pixels, in elements."""
    image = numpy.arange(images)[:, None, None] * pixels
    return numpy.where(source >= 0, (source + image) * channels, -1).reshape(-1, source.shape[1])


def _tiles(images: int, pixels: int) -> int:
    return -(-images * pixels // PIXELS)


def _ranges(pixels: int, most: int) -> Array:
    """The bounds of nearly equal ranges of about `most` pixels."""
    ranges = max(1, round(pixels / most))
    return numpy.arange(ranges + 1) * pixels // ranges


def _indices(table: Array) -> Array:
    """The table as 32-bit integers, for half the memory. They count elements of one block."""
    if table.max(initial=0) >= 2**31:
        raise ValueError(f"an image of {table.max()} or more numbers is too large: positions in it are 32-bit integers")
    return numpy.ascontiguousarray(table, numpy.int32)
