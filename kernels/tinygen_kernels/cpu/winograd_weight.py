# mypy: allow-untyped-defs
"""The weight gradient with fewer multiplications: the backward pass of `winograd.py`, which explains the words.

There y = A^T [(G g G^T) * (B^T d B)] A is linear in the kernel g. Its transpose takes the gradient
of a tile y to that of the kernel:

    G^T [(A y A^T) * (B^T d B)] G

The sum over all tiles can be taken before the outer transform. So with planes (tiles, C) of x and
(tiles, K) of y, each plane of the sum is S = X^T Y. For F(2x2, 3x3):

    images (N, H, W, C)     ->  16 planes (tiles, C)   B^T d B
    y (N, H', W', K)        ->  16 planes (tiles, K)   A y A^T
    products, summed            16 planes (C, K)       S
    gradient (3, 3, C, K)   <-  G^T S G

An *item* is what one thread takes at a time: S of one phase and of a *slice* of the output
channels. A wide slice shares the transform of a patch among more outputs, and the S of a narrow one
stays near the core. With few items, there are also partial sums, each over consecutive tiles, so that
threads work without waiting for each other. The number of items depends on shapes alone, and
partial sums are added in the same order. If there are fewer than four items, the direct kernel is
taken, which divides its work more finely. Otherwise F(4x4, 3x3) takes 0.4 to 0.8 of its time, and
F(4x4, 2x2) 0.6 to 0.9 (Zen 4).
"""

import functools
import math

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu import winograd
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.panels import add
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import Window
from tinygen_kernels.cpu.simd import outer_tile, prefetch
from tinygen_kernels.cpu.team import threads
from tinygen_kernels.cpu.vector import LINE_BYTES, REGISTERS
from tinygen_kernels.cpu.winograd import TILE_SIDES, WIDTH, place, tiles_along, to_prefetch
from tinygen_kernels.cpu.winograd_matrices import ALGORITHMS, F
from tinygen_kernels.cpu.winograd_tiles import gradient_tile, patch_tile, spread_tile

_PATCH_SIDES = tuple(f.size for f in ALGORITHMS)
_TILES = 64  # of a block, at most
_ROWS = 11 if REGISTERS == 32 else 6  # of a register tile: 64, 96 and 128 channels leave few of the last one unused
_SLICES = 128, 64  # the most output channels of a slice, and the most if that gives too few items
_ITEMS = 8  # about as many
_LEAST_ITEMS = 4  # see above
# Of several partial sums, each has at least so many tiles, and all have no more elements than this.
_SUM_TILES, _SUMS_SIZE = 128, 1 << 22


def _parts(f: F, x: Array, y: Array, stride: int) -> tuple[int, int, int]:
    """The numbers of partial sums, of phases and of slices."""
    channels, outputs = x.shape[3], y.shape[3]
    phases, tiles = stride**2, winograd.tile_count(y.shape, f, 1)
    most = max(1, min(tiles // _SUM_TILES, _SUMS_SIZE // (phases * f.size**2 * channels * outputs)))
    for width in _SLICES:
        slices = outputs // math.gcd(outputs, width)
        parts = max(1, min(_ITEMS // (phases * slices), most))
        if parts * phases * slices >= _LEAST_ITEMS:
            break
    return parts, phases, slices


def choice(x: Array, y: Array, window: Window) -> F | None:
    """The algorithm that is the faster way; None if the direct one is."""
    f = winograd.choice(x, window, y.shape)
    return f if f and math.prod(_parts(f, x, y, window[1][0])) >= _LEAST_ITEMS else None


@functools.lru_cache(1024)
def _tables(channels: int, width: int) -> tuple[Array, Array]:
    """The offsets of channels in a row of a plane, and the pairs of rows, as `simd.outer_tile` reads them."""
    # The last channel is repeated until the last tile is full.
    offsets = numpy.minimum(numpy.arange(-(-channels // _ROWS) * _ROWS, dtype=numpy.int32), channels - 1)
    # Rows are a line further apart than their size, for the first-level cache.
    pitches = numpy.array([channels, width], numpy.int32) + numpy.int32(LINE_BYTES // 4)  # of float32
    return offsets, numpy.arange(_TILES, dtype=numpy.int32)[:, None] * pitches


def weight_gradient(f: F, x: Array, y: Array, window: Window) -> Array:
    """The gradient with respect to w, given x and the gradient y of the result."""
    channels, outputs, dtype, stride, number = x.shape[3], y.shape[3], x.dtype, window[1][0], ALGORITHMS.index(f)
    starts, first, steps = winograd.phases(window)
    parts = _parts(f, x, y, stride)
    width = outputs // parts[2]
    offsets, pairs = _tables(channels, width)
    workers = min(threads(), math.prod(parts))
    sums = empty((*parts, f.size**2, len(offsets), width), dtype)
    planes = [empty((workers, f.size**2, _TILES + 1, pitch), dtype) for pitch in pairs[1].tolist()]  # with a row to spare
    images = flat(x).reshape(x.shape), flat(y).reshape(y.shape)
    zeros = numpy.zeros(max(x.shape[2] * channels, y.shape[2] * outputs), dtype)  # a row of pixels outside the image
    launch(_sum, math.prod(parts), *images, starts, stride, number, zeros, offsets, pairs, *planes, sums)
    w = empty((*window[0], channels, outputs), dtype)
    launch(_finish, len(starts) * parts[2] * channels, sums, first, *steps, number, w)
    return w


@helper
def _prefetch_square(images, n, row, column, step, side, first, count):
    """Ask for `count` channels of side x side pixels, from (row, column) of image n on, which are `step` pixels apart."""
    _, height, width, channels = images.shape
    for i in range(side):
        for j in range(side):
            start = ((n * height + row + i * step) * width + column + j * step) * channels + first
            prefetch(images, start, start + count)


def _sum(item, thread, x, y, starts, stride, number, zeros, offsets, pairs, patches, spreads, sums):
    """Compute an item in the planes of this thread. `_tables` returns offsets and pairs."""
    (_, height, width, channels), (count, rows, columns, outputs) = x.shape, y.shape
    (parts, phases, slices), length, side = sums.shape[:3], sums.shape[5], TILE_SIDES[number]
    down, across, strips = tiles_along(rows, side), tiles_along(columns, side), length // WIDTH
    patch_pitch, spread_pitch = patches.shape[3], spreads.shape[3]
    patch_plane, spread_plane = patches.shape[2] * patch_pitch, spreads.shape[2] * spread_pitch
    tiles, own_patches, own_spreads = count * down * across, patches[thread], spreads[thread]
    part, phase, piece = item // (phases * slices), item // slices % phases, item % slices
    start, end = part * tiles // parts, (part + 1) * tiles // parts
    blocks = (end - start + _TILES - 1) // _TILES
    total, top, left, first_output = sums[part, phase, piece], starts[phase, 0], starts[phase, 1], piece * length
    total[:] = 0
    for block in range(blocks):
        first = start + block * (end - start) // blocks
        used = start + (block + 1) * (end - start) // blocks - first
        for t in range(used):
            if phases > 1:
                n, i, j = place(first + t + 1, down, across)
                _prefetch_square(y, n, side * i, side * j, 1, side, first_output, length)
                row, column = stride * side * i + top, stride * side * j + left
                _prefetch_square(x, n, row, column, stride, _PATCH_SIDES[number], 0, channels)
            n, i, j = place(first + t, down, across)
            row, column, to = side * i, side * j, t * spread_pitch
            spread_tile(y[n], row, column, rows, columns, outputs, first_output, length, zeros, number, own_spreads, to, spread_plane)
            row, column, to = stride * row + top, stride * column + left, t * patch_pitch
            patch_tile(x[n], row, column, stride, height, width, channels, zeros, number, own_patches, to, patch_plane)
        # The products also prefetch the pixels of the next block. The channels of y outside of this slice
        # are those of another item. If the pixels are of one phase only, they are in many places, and each
        # tile prefetches those of the next one.
        calls = len(total) * strips * (offsets.size // _ROWS) if phases == 1 else 0
        x_next, x_share = to_prefetch(x, first + used, tiles, used, calls)
        y_next, y_share = to_prefetch(y, first + used, tiles, used, calls)
        for panel in range(len(total) * strips):
            plane, strip = panel // strips, panel % strips * WIDTH
            patch, spread, target = plane * patch_plane, plane * spread_plane + strip, plane * offsets.size * length + strip
            for low in range(0, offsets.size, _ROWS):
                to = target + low * length
                prefetch(x, x_next, x_next + x_share)
                prefetch(y, y_next, y_next + y_share)
                x_next, y_next = x_next + x_share, y_next + y_share
                outer_tile(own_patches, patch, offsets, low, _ROWS, own_spreads, spread, pairs, 0, used, WIDTH, total, to, length)


def _finish(item, sums, first, row_step, column_step, number, w):
    """Add the partial sums to the first one, then G^T S G, for one input channel of a slice of one phase."""
    parts, _, slices, planes, rows, width = sums.shape
    channels, outputs = w.shape[2:]
    phase, piece, channel, tap = item // (channels * slices), item // channels % slices, item % channels, channels * outputs
    for part in range(1, parts):
        for plane in range(planes):
            add(sums[part, phase, piece, plane, channel], sums[0, phase, piece, plane, channel])
    source = (item // channels * planes * rows + channel) * width
    target = first[phase] * tap + channel * outputs + piece * width
    gradient_tile(sums, source, rows * width, number, w, target, row_step * tap, column_step * tap, width)
