# mypy: allow-untyped-defs
"""The transforms of `winograd_matrices.py` in vector instructions.

The intrinsics are those of the convolution and of its adjoint, `winograd_weight.py`. Each is
written for all of ALGORITHMS, and `number` tells which one it is.
"""

from collections.abc import Iterator
from typing import Any

from numba.core import cgutils

from tinygen_kernels.cpu.simd import VECTORS
from tinygen_kernels.cpu.vector import int64, intrinsic
from tinygen_kernels.cpu.winograd_matrices import ALGORITHMS, F


@intrinsic
def kernel_tile(tile, w, start, row_step, column_step, number, planes, planes_start, plane):
    """G g G^T of the kernels from one input channel to as many output channels as a tile has.

    In w, neighbouring taps of a column are row_step elements apart, and those of a row column_step.
    The planes are `plane` elements apart.
    """
    w, builder = tile.at(w, start), tile.builder
    for f in _each(tile, number):
        taps = _square(builder, f.taps, row_step, column_step)
        for j in range(VECTORS):
            values = [[tile.load(tile.at(w, index), j) for index in row] for row in taps]
            _store(tile, _both_ways(tile, f.G, values), tile.at(planes, planes_start), plane, j)


@intrinsic
def patch_tile(tile, image, row, column, step, height, width, channels, zeros, number, planes, planes_start, plane):
    """B^T d B of the patch whose first pixel is (row, column), for all channels.

    Neighbouring pixels of a patch are `step` pixels apart in the image. Outside it are zeros.
    """
    for f in _each(tile, number):
        pixels = _pixels(tile, image, f.size, row, column, step, height, width, channels, zeros)
        _to_planes(tile, f.B_T, pixels, channels, tile.at(planes, planes_start), plane)


@intrinsic
def result_tile(tile, planes, planes_start, plane, number, bias, slope, image, row, column, step, height, width, outputs):
    """A^T m A of a tile, then bias and leaky ReLU, stored from (row, column) of the image on.

    Neighbouring pixels of a tile are `step` pixels apart in the image. Those outside it are stored
    in the first plane, whose numbers have been read by then.
    """
    source, builder = tile.at(planes, planes_start), tile.builder
    slope = builder.load(slope)
    for f in _each(tile, number):
        pixels = _pixels(tile, image, f.tile, row, column, step, height, width, outputs, source)
        with _vectors(tile, outputs) as (channel, _):
            added = tile.load(tile.at(bias, channel), 0)
            for i, values in enumerate(_both_ways(tile, f.A_T, _load(tile, f, tile.at(source, channel), plane))):
                for j, value in enumerate(values):
                    tile.store(tile.leaky(builder.fadd(value, added), slope), tile.at(pixels[i][j], channel), 0)


@intrinsic
def spread_tile(tile, image, row, column, height, width, channels, first, count, zeros, number, planes, planes_start, plane):
    """A y A^T of the tile whose first pixel is (row, column), for `count` channels from `first` on. Outside the image are zeros."""
    for f in _each(tile, number):
        pixels = _pixels(tile, image, f.tile, row, column, int64(1), height, width, channels, zeros)
        pixels = [[tile.at(pixel, first) for pixel in row_of_pixels] for row_of_pixels in pixels]
        _to_planes(tile, _transposed(f.A_T), pixels, count, tile.at(planes, planes_start), plane)


@intrinsic
def gradient_tile(tile, planes, planes_start, plane, number, w, start, row_step, column_step, outputs):
    """G^T S G for one input channel. `kernel_tile` explains the steps."""
    builder, source, target = tile.builder, tile.at(planes, planes_start), tile.at(w, start)
    for f in _each(tile, number):
        taps = _square(builder, f.taps, row_step, column_step)
        with _vectors(tile, outputs) as (k, _):
            values = _both_ways(tile, _transposed(f.G), _load(tile, f, tile.at(source, k), plane))
            for row, indices in zip(values, taps, strict=True):
                for value, index in zip(row, indices, strict=True):
                    tile.store(value, tile.at(target, builder.add(k, index)), 0)


def _each(tile: Any, number: Any) -> Iterator[F]:
    """Yields all F; what is appended then runs for the one of this number."""
    for i, f in enumerate(ALGORITHMS):
        with tile.builder.if_then(tile.builder.icmp_signed("==", number, int64(i))):
            yield f


def _both_ways(tile, matrix, rows):
    """matrix @ rows @ transposed matrix"""
    columns = [_product(tile, matrix, column) for column in zip(*rows, strict=True)]
    return [_product(tile, matrix, row) for row in zip(*columns, strict=True)]


def _product(tile, matrix, values):
    """The product of a matrix with a column of vectors. Factors 0, 1 and -1 cost no multiplication."""
    builder, results = tile.builder, []
    for row in matrix:
        total = None
        # Sums begin with a factor that costs nothing.
        for factor, value in sorted(zip(row, values, strict=True), key=lambda term: abs(term[0]) != 1):
            if factor == 0:
                continue
            if total is None:
                total = value if factor == 1 else builder.fmul(value, tile.constant(factor))
            elif abs(factor) == 1:
                total = builder.fadd(total, value) if factor == 1 else builder.fsub(total, value)
            else:
                total = tile.fused(value, tile.constant(factor), total)
        results.append(total)
    return results


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _vectors(tile, count):
    return cgutils.for_range_slice(tile.builder, int64(0), count, int64(tile.lanes), int64)


def _square(builder, side, row_step, column_step):
    """i * row_step + j * column_step for i, j < side."""
    return [[builder.add(builder.mul(row_step, int64(i)), builder.mul(column_step, int64(j))) for j in range(side)] for i in range(side)]


def _pixels(tile, image, side, row, column, step, height, width, channels, outside):
    """The addresses of side x side pixels from (row, column) on, or `outside` of those that the image lacks."""
    builder = tile.builder

    def pixel(i, j):
        y, x = builder.add(row, builder.mul(step, int64(i))), builder.add(column, builder.mul(step, int64(j)))
        # Without a sign, a negative number is a large one.
        inside = builder.and_(builder.icmp_unsigned("<", y, height), builder.icmp_unsigned("<", x, width))
        return builder.select(inside, tile.at(image, builder.mul(builder.add(builder.mul(y, width), x), channels)), outside)

    return [[pixel(i, j) for j in range(side)] for i in range(side)]


def _to_planes(tile, matrix, pixels, channels, target, plane):
    """The transform of a square of pixels, for all channels."""
    with _vectors(tile, channels) as (channel, _):
        values = [[tile.load(tile.at(pixel, channel), 0) for pixel in row] for row in pixels]
        _store(tile, _both_ways(tile, matrix, values), tile.at(target, channel), plane, 0)


def _store(tile, values, target, plane, vector):
    side = len(values)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            tile.store(value, tile.at(target, tile.builder.mul(plane, int64(side * i + j))), vector)


def _load(tile, f, source, plane):
    planes = _square(tile.builder, f.size, tile.builder.mul(plane, int64(f.size)), plane)
    return [[tile.load(tile.at(source, index), 0) for index in row] for row in planes]
