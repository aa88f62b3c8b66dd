# mypy: allow-untyped-defs
"""The weight gradient with fewer multiplications: the adjoint of `winograd.py`, which explains the words.

There y = A^T [(G g G^T) * (B^T d B)] A is linear in the kernel g. Its adjoint takes the gradient of
a tile y, 2x2 numbers, to that of the kernel:

    G^T [(A y A^T) * (B^T d B)] G

The sum over all tiles can be taken before the outer transform. So with the pixels of y as 16 planes
(tiles, K), each plane of the sum is the transpose of a plane (tiles, C) of the inputs times one of
them:

    images (N, H, W, C)     ->  16 planes (tiles, C)   B^T d B
    y (N, H', W', K)        ->  16 planes (tiles, K)   A y A^T
    products, summed            16 planes (C, K)       S
    gradient (3, 3, C, K)   <-  G^T S G

On an AVX2 processor (Zen 3) it takes 0.5 to 0.8 of the direct kernel's time. As there (`weight.py`),
partial sums let threads work without waiting for each other. Their number depends on shapes alone,
and they are added in the same order.

A kernel of 3x3 needs 16 numbers for each pair of channels in a sum, where the direct one has 9. So
layers of more channels have fewer partial sums. With less than four, the direct kernel is taken.
"""

import numpy
from numba.core import cgutils

from tinygen_kernels import Array, Padding
from tinygen_kernels.cpu import winograd
from tinygen_kernels.cpu.atomic import add_atomically
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import Window
from tinygen_kernels.cpu.simd import VECTORS, outer_rows
from tinygen_kernels.cpu.team import threads
from tinygen_kernels.cpu.vector import LINE_BYTES, REGISTERS, int64, intrinsic
from tinygen_kernels.cpu.winograd import WIDTH, both_ways, patch_tile, place, to_planes

_TILES = 48  # of a block
_ROWS = 11 if REGISTERS == 32 else 6  # of a register tile: 64, 96 and 128 channels leave few of the last one unused
_SUMS = 16  # the most partial sums,
_SUM_TILES = 128  # one for every so many tiles,
_SUMS_SIZE = 1 << 22  # but never more than so many elements in all of them
_LEAST_SUMS = 4  # see above


def pays(x: Array, y: Array, window: Window) -> bool:
    """Whether `weight_gradient` is the faster way."""
    return winograd.pays(x, window, y.shape) and _sum_count(x, y) >= _LEAST_SUMS


def _sum_count(x: Array, y: Array) -> int:
    """The number of partial sums."""
    return min(_SUMS, winograd.tile_count(y.shape) // _SUM_TILES, _SUMS_SIZE // (16 * x.shape[3] * y.shape[3]))


def weight_gradient(x: Array, y: Array, padding: Padding) -> Array:
    """The gradient with respect to w (3, 3, C, K), given x and the gradient y of the result."""
    channels, outputs, dtype = x.shape[3], y.shape[3], x.dtype
    # The last row is repeated until the last tile is full.
    offsets = numpy.minimum(numpy.arange(-(-channels // _ROWS) * _ROWS, dtype=numpy.int32), channels - 1)
    # Rows are a line further apart than their size, for the first-level cache; so are planes.
    pitches = numpy.array([channels, outputs]) + LINE_BYTES // x.itemsize
    pairs = numpy.arange(_TILES, dtype=numpy.int32)[:, None] * pitches.astype(numpy.int32)
    sums = empty((max(1, _sum_count(x, y)), 16, len(offsets), outputs), dtype)
    workers = min(threads(), len(sums))
    planes = [empty((workers, 16, _TILES + 1, int(pitch)), dtype) for pitch in pitches]
    images, zeros = (flat(x).reshape(x.shape), flat(y).reshape(y.shape)), numpy.zeros(max(channels, outputs), dtype)
    (top, _), (left, _) = padding
    launch(_sum, workers, *images, top, left, zeros, offsets, pairs, numpy.zeros(1, numpy.int64), *planes, sums)
    w = empty((3, 3, channels, outputs), dtype)
    launch(_finish, channels, sums.sum(axis=0, out=empty(sums.shape[1:], dtype)), w)
    return w


def _sum(worker, x, y, top, left, zeros, offsets, pairs, taken, patches, spreads, sums):
    """Compute partial sums until all are taken, in planes that no other worker uses.

    `taken` is the number of sums that are taken. `simd.outer_tile` explains offsets and pairs.
    """
    (_, height, width, channels), (count, rows, columns, outputs) = x.shape, y.shape
    down, across, strips = (rows + 1) // 2, (columns + 1) // 2, outputs // WIDTH
    patch_pitch, spread_pitch = patches.shape[3], spreads.shape[3]
    patch_plane, spread_plane = patches.shape[2] * patch_pitch, spreads.shape[2] * spread_pitch
    own_patches, own_spreads, blocks = patches[worker], spreads[worker], (count * down * across + _TILES - 1) // _TILES
    number = add_atomically(taken, 0, 1)
    while number < len(sums):
        total = sums[number]
        total[:] = 0
        for block in range(number * blocks // len(sums), (number + 1) * blocks // len(sums)):
            first = block * _TILES
            used = min(_TILES, count * down * across - first)
            for t in range(used):
                n, row, column = place(first + t, down, across)
                patch_tile(x[n], row - top, column - left, height, width, channels, zeros, own_patches, t * patch_pitch, patch_plane)
                spread_tile(y[n], row, column, rows, columns, outputs, zeros, own_spreads, t * spread_pitch, spread_plane)
            for panel in range(16 * strips):
                plane, strip = panel // strips, panel % strips * WIDTH
                patch, spread, target = plane * patch_plane, plane * spread_plane + strip, plane * offsets.size * outputs + strip
                for low in range(0, offsets.size, _ROWS):
                    to = target + low * outputs
                    full_tile(own_patches, patch, offsets, low, own_spreads, spread, pairs, used, total, to, outputs)
        number = add_atomically(taken, 0, 1)


def _finish(channel, total, w):
    """G^T S G for an input channel."""
    outputs = w.shape[3]
    gradient_tile(total, channel * outputs, total.shape[1] * outputs, w, channel * outputs, w.shape[2] * outputs, outputs)


@intrinsic
def spread_tile(tile, image, row, column, height, width, channels, zeros, planes, planes_start, plane):
    """A y A^T of the tile whose first pixel is (row, column), for all channels. Outside the image are zeros."""
    to_planes(_spread, tile, 2, image, row, column, height, width, channels, zeros, tile.at(planes, planes_start), plane)


@intrinsic
def full_tile(tile, x, x_start, offsets, first, y, y_start, pairs, pair_count, total, total_start, total_row):
    """`simd.outer_tile` of _ROWS rows and a whole strip."""
    x, y, total, offsets = tile.at(x, x_start), tile.at(y, y_start), tile.at(total, total_start), tile.at(offsets, first)
    outer_rows(tile, range(_ROWS), [None] * VECTORS, x, offsets, y, pairs, pair_count, total, total_row)


@intrinsic
def gradient_tile(tile, planes, planes_start, plane, w, w_start, tap, outputs):
    """G^T S G for one input channel. The planes are `plane` elements apart, and the taps `tap`."""
    builder, source, target = tile.builder, tile.at(planes, planes_start), tile.at(w, w_start)
    with cgutils.for_range_slice(builder, int64(0), outputs, int64(tile.lanes), int64) as (k, _):
        at = [[builder.add(k, builder.mul(plane, int64(4 * a + b))) for b in range(4)] for a in range(4)]
        values = both_ways(_gather, tile, [[tile.load(tile.at(source, index), 0) for index in row] for row in at])
        for a in range(3):
            for b in range(3):
                tile.store(values[a][b], tile.at(target, builder.add(k, builder.mul(tap, int64(3 * a + b)))), 0)


def _spread(tile, y):
    """A y"""
    b = tile.builder
    return y[0], b.fadd(y[0], y[1]), b.fsub(y[0], y[1]), b.fsub(tile.zeros, y[1])


def _gather(tile, s):
    """G^T s"""
    b, half = tile.builder, tile.vector([0.5] * tile.lanes)
    middle = b.fmul(b.fadd(s[1], s[2]), half)
    return b.fadd(s[0], middle), b.fmul(b.fsub(s[1], s[2]), half), b.fadd(middle, s[3])
