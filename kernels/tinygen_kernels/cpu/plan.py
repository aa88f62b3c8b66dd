"""How a convolution is cut into register tiles. A plan depends on shapes alone: it is made once and only read afterwards.

An image of the source table (`geometry.source_table`) serves the whole batch. Small images are taken several at a time, as one
*block*, so that tiles fill up; a large image is a block of its own and its pixels are cut into ranges. A range of a block fits
into the nearest cache.

With AVX-512, for example, 64 images 16x16x64 -> 128 with a 4x4 kernel and stride 2 have blocks of 7 images, whose 7*64 = 448 output
pixels are one range, cut into 2 pieces: 20 items in all, done once for each of the 4 strips of 32 outputs, tile after tile of 14
pixels. Their weight gradient has blocks of 2 images and 2 chunks of them, which leave partial sums.

The numbers below were found by measuring the layers of the benchmark on two cores with AVX-512.
"""

import functools
import itertools
from typing import NamedTuple

import numpy

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.simd import PIXELS, ROWS
from tinygen_kernels.geometry import inverse_table, source_table

FEW_CHANNELS = 11  # with fewer, taps are whole kernel rows
_GATHER_PIXELS = 1024  # output pixels of an item of work, at most
_GATHER_ITEMS = 64  # items of work, at least, if their tiles can still be full
_OUTER_PIXELS = 160  # output pixels whose x and g stay in the cache while all taps of a weight gradient pass over them
_CHUNKS = 64  # partial sums of a weight gradient
_CHUNK_PIXELS = 256  # output pixels that a partial sum is worth its memory for, and
_PARTIAL_SUMS = 1 << 19  # a bound on the numbers in all partial sums
_PLANS = 64  # kept, of each kind; that of a large image takes some MB

Window = tuple[Pair, Pair, Padding, Pair]  # kernel_size, stride, padding, dilation


class GatherPlan(NamedTuple):
    """The tiles of conv2d, or of conv2d_data, which is the same sum over the inverse table.

    table:  for each tile a header and a row for each tap, as `simd.gather_tile` reads them.
    items:  for each item of work the first image of a block, the first row of the table and the last + 1.
    pieces: how many items a range of a block is cut into, so that there are enough of them.
    taps:   of an output pixel.
    """

    table: Array
    items: Array
    pieces: int
    taps: int


class OuterPlan(NamedTuple):
    """The pairs of conv2d_weight: which pixels of x meet which pixels of g at each tap.

    pairs:   (place in x, place in g) of one range and tap after the other, in elements from the first image of a block.
    first:   where the pairs of each range and tap begin, and the end.
    block:   the images in a block. The last block may have fewer: their pairs come first, as many for each image.
    places:  where in x, from the place of a pair, each row of dw[tap] lies, tile by tile; the last one is repeated to fill its tile.
    chunks:  the number of partial sums, over consecutive ranges of all blocks.
    """

    pairs: Array
    first: Array
    block: int
    places: Array
    chunks: int


def by_rows(channels: int, dilation: Pair) -> bool:
    """Whether taps are whole kernel rows: kernel width * channels neighbouring numbers of a bordered image."""
    return channels < FEW_CHANNELS and dilation[1] == 1


@functools.lru_cache(_PLANS)
def gather_plan(images: int, size: Pair, channels: int, outputs: int, strips: int, window: Window, data: bool) -> GatherPlan:
    """For conv2d of images of this size, or for conv2d_data back to it; `channels` are read and `outputs` are made.

    Each strip of outputs, a tile's width, is an item of work of its own.
    """
    source, read, length = source_table(size, *window), size[0] * size[1], channels
    if data:
        source, read = inverse_table(source, read), len(source)
    elif by_rows(channels, window[3]):
        source, length = source[:, :: window[0][1]], window[0][1] * channels
    pixels = len(source)
    shared, full = max(images // 8, images * strips // _GATHER_ITEMS), -(-PIXELS // pixels)
    most = max(1, min(_GATHER_PIXELS // pixels, max(shared, full)))
    block = min(range(most, most // 2, -1), key=lambda block: images // block * _tiles(block, pixels) + _tiles(images % block, pixels))
    pieces = -(-_GATHER_ITEMS // (-(-images // block) * strips * max(1, round(block * pixels / _GATHER_PIXELS))))
    tables, items, rows = [], [], 0
    for first, last in (0, images - images % block), (images - images % block, images):
        if first == last:
            continue
        step = min(block, last - first)
        repeated = _repeated(source, step, read, channels)
        cuts: list[int] = []
        for low, high in itertools.pairwise(_ranges(step * pixels, _GATHER_PIXELS)):
            table, headers = _tile_rows(repeated, low, high, length, outputs)
            tables.append(table)
            shares = min(pieces, len(headers))
            cuts += list(rows + headers[numpy.arange(shares) * len(headers) // shares])
            rows += len(table)
        items += [(image, *piece) for image in range(first, last, step) for piece in itertools.pairwise([*cuts, rows])]
    return GatherPlan(_indices(numpy.concatenate(tables)), _indices(numpy.array(items)), pieces, source.shape[1])


@functools.lru_cache(_PLANS)
def weight_plan(images: int, size: Pair, channels: int, outputs: int, window: Window) -> OuterPlan:
    source = source_table(size, *window)
    places: Array = numpy.arange(channels)
    (height, width), dilation = window[0], window[3]
    if by_rows(channels, dilation):  # one tap, the first pixel of the window, from which each number of the window has its fixed distance
        source = source[:, :1]
        places = (numpy.arange(height)[:, None] * dilation[0] * size[1] * channels + numpy.arange(width * channels)).ravel()
    rows = min(reversed(ROWS), key=lambda rows: -(-places.size // rows) * rows)
    places = numpy.pad(places, (0, -places.size % rows), "edge").reshape(-1, rows)
    block = max(1, min(_OUTER_PIXELS // len(source), images // 4))
    table = _repeated(source, block, size[0] * size[1], channels)
    lists = []
    for low, high in itertools.pairwise(_ranges(block * len(source), _OUTER_PIXELS)):
        for tap in range(table.shape[1]):
            pixels = low + numpy.nonzero(table[low:high, tap] >= 0)[0]
            lists.append(numpy.column_stack([table[pixels, tap], pixels * outputs]))
    first = numpy.append(0, numpy.cumsum([len(pairs) for pairs in lists]))
    most = max(1, min(_CHUNKS, images * len(source) // _CHUNK_PIXELS, _PARTIAL_SUMS // (table.shape[1] * places.size * outputs)))
    chunks = 1 << most.bit_length() - 1  # a power of two, as many batch sizes and numbers of threads are
    return OuterPlan(_indices(numpy.concatenate(lists)), _indices(first), block, _indices(places), chunks)


def _tile_rows(source: Array, low: int, high: int, length: int, outputs: int) -> tuple[Array, Array]:
    """The rows of the table for the pixels low..high, and which of them are headers.

    Pixels that use the same taps share tiles, so that a tile can skip the taps that it has no use for: borders, and the holes of
    a transposed convolution, cost next to nothing.
    """
    order = low + numpy.lexsort(source[low:high].T >= 0)
    tiles = numpy.pad(order, (0, -order.size % PIXELS), "edge").reshape(-1, PIXELS)  # a short tile repeats its last pixel
    used = (source[tiles] >= 0).any(axis=1)
    tile, tap = numpy.nonzero(used)
    headers = numpy.column_stack([used.sum(axis=1), tiles * outputs])
    taps = numpy.column_stack([tap * length, source[tiles[tile], tap[:, None]]])
    first = numpy.searchsorted(tile, numpy.arange(len(tiles)))
    return numpy.insert(taps, first, headers, axis=0), first + numpy.arange(len(tiles))


def _repeated(source: Array, images: int, pixels: int, channels: int) -> Array:
    """The table for consecutive images of so many pixels, in elements instead of pixels."""
    image = numpy.arange(images)[:, None, None] * pixels
    return numpy.where(source >= 0, (source + image) * channels, -1).reshape(-1, source.shape[1])


def _tiles(images: int, pixels: int) -> int:
    return -(-images * pixels // PIXELS)


def _ranges(pixels: int, most: int) -> Array:
    """The bounds of nearly equal ranges of about `most` pixels."""
    ranges = max(1, round(pixels / most))
    return numpy.arange(ranges + 1) * pixels // ranges


def _indices(table: Array) -> Array:
    """As 32-bit integers, which halve the memory. They count elements within one block, never within the batch."""
    if table.max(initial=0) >= 2**31:
        raise ValueError(f"an image of {table.max()} or more numbers is too large: places in it are 32-bit integers")
    return numpy.ascontiguousarray(table, numpy.int32)
