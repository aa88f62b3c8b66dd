# mypy: allow-untyped-defs
"""The transforms of `winograd_matrices.py` in vector instructions.

The intrinsics are those of the convolution and of its adjoint, `winograd_weight.py`. Each is
written for all of ALGORITHMS, and `number` tells which one it is.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy
from numba.core import cgutils

from tinygen_kernels.cpu.simd import VECTORS
from tinygen_kernels.cpu.vector import int64, intrinsic
from tinygen_kernels.cpu.winograd_matrices import ALGORITHMS, F

_HALVES = numpy.array([[0.5, 0.5], [0.5, -0.5]])  # times two rows that are alike: the even part and the odd one
_RESULTS = 18  # vectors of one group: more would not fit into 32 registers, and fewer would have pixels loaded more often


@intrinsic
def kernel_tile(tile, w, start, row_step, column_step, number, planes, planes_start, plane):
    """G g G^T of the kernels from one input channel to as many output channels as a tile has.

    In w, neighbouring taps of a column are row_step elements apart, and those of a row column_step.
    The planes are `plane` elements apart.
    """
    w, builder = tile.at(w, start), tile.builder
    for f in _each(tile, number):
        taps = _square(builder, f.taps, row_step, column_step)
        kernels = [[[tile.load(tile.at(w, index), j) for index in row] for row in taps] for j in range(VECTORS)]
        _store(tile, [_both_ways(tile, f.G, kernel) for kernel in kernels], tile.at(planes, planes_start), plane)


@intrinsic
def patch_tile(tile, image, row, column, step, height, width, channels, zeros, number, planes, planes_start, plane):
    """B^T d B of the patch whose first pixel is (row, column), for all channels.

    Neighbouring pixels of a patch are `step` pixels apart in the image. Outside it are zeros.
    `zeros` is as long as a row of the image, and is read in the place of rows outside.
    """
    for f in _each(tile, number):
        load = _pixels(tile, image, f.size, row, column, step, height, width, channels, zeros)
        _to_planes(tile, f.B_T, load, channels, tile.at(planes, planes_start), plane)


@intrinsic
def result_tile(tile, planes, planes_start, plane, number, bias, slope, image, row, column, step, height, width, outputs):
    """A^T m A of a tile, then bias and leaky ReLU, stored from (row, column) of the image on.

    Neighbouring pixels of a tile are `step` pixels apart in the image. Those outside it are stored
    in the first plane, whose numbers have been read by then.
    """
    source, builder = tile.at(planes, planes_start), tile.builder
    slope = builder.load(slope)
    for f in _each(tile, number):
        rows = _lines(tile, row, f.tile, step, height, builder.mul(width, outputs))
        columns = _lines(tile, column, f.tile, step, width, outputs)
        pixels = [
            [builder.select(builder.and_(down, across), tile.at(image, builder.add(top, left)), source) for across, left in columns]
            for down, top in rows
        ]
        with _vectors(tile, outputs) as (channel, _):
            added = tile.load(tile.at(bias, channel), 0)
            for i, values in enumerate(_both_ways(tile, f.A_T, _load(tile, f, tile.at(source, channel), plane))):
                for j, value in enumerate(values):
                    tile.store(tile.leaky(builder.fadd(value, added), slope), tile.at(pixels[i][j], channel), 0)


@intrinsic
def spread_tile(tile, image, row, column, height, width, channels, first, count, zeros, number, planes, planes_start, plane):
    """A y A^T of the tile whose first pixel is (row, column), for `count` channels from `first` on.

    Outside the image are zeros, as in `patch_tile`.
    """
    for f in _each(tile, number):
        load = _pixels(tile, tile.at(image, first), f.tile, row, column, int64(1), height, width, channels, zeros)
        _to_planes(tile, _transposed(f.A_T), load, count, tile.at(planes, planes_start), plane)


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
    """Yields each F; what is appended then runs for the one of this number."""
    for i, f in enumerate(ALGORITHMS):
        with tile.builder.if_then(tile.builder.icmp_signed("==", number, int64(i))):
            yield f


def _both_ways(tile, matrix, rows):
    """matrix @ rows @ transposed matrix"""
    columns = [_product(tile, matrix, column) for column in zip(*rows, strict=True)]
    return [_product(tile, matrix, row) for row in zip(*columns, strict=True)]


def _product(tile, matrix, values):
    """The product of a matrix with a column of vectors.

    Two neighbouring rows are *alike* if they differ in some signs only, as those of the points a and
    -a do. Their results are the sum and the difference of an even and an odd part. Of two columns that
    are alike, the sum and the difference of their values are multiplied. Either takes half as many
    multiplications.
    """
    matrix, values = numpy.array(matrix), list(values)
    for j in _alike(matrix.T):
        values[j : j + 2] = _sum_and_difference(tile, *values[j : j + 2])
        matrix[:, j : j + 2] = matrix[:, j : j + 2] @ _HALVES
    pairs = _alike(matrix)
    for i in pairs:
        matrix[i : i + 2] = _HALVES @ matrix[i : i + 2]
    results = [_weighted_sum(tile, row, values) for row in matrix]
    for i in pairs:
        results[i : i + 2] = _sum_and_difference(tile, *results[i : i + 2])
    return results


def _alike(rows):
    """The numbers i for which rows i and i + 1 are alike: of equal sizes, with some equal signs and some unequal ones."""
    return [i for i, (a, b) in enumerate(itertools.pairwise(rows)) if (abs(a) == abs(b)).all() and (a * b).min() < 0 < (a * b).max()]


def _sum_and_difference(tile, a, b):
    return tile.builder.fadd(a, b), tile.builder.fsub(a, b)


def _weighted_sum(tile, factors, values):
    """Values with the same factor, up to its sign, are added before they are multiplied. 1 costs nothing, and -1 a change of sign."""
    builder, total = tile.builder, None
    for size in sorted({*abs(factors)} - {0}, key=lambda size: size != 1):
        first, *others = numpy.nonzero(abs(factors) == size)[0]
        part, factor = values[first], factors[first]
        for i in others:
            part = builder.fadd(part, values[i]) if factors[i] == factor else builder.fsub(part, values[i])
        if total is None:
            total = part if factor == 1 else builder.fmul(part, tile.constant(factor))
        else:
            total = tile.fused(part, tile.constant(factor), total)
    return total


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _vectors(tile, count):
    return cgutils.for_range_slice(tile.builder, int64(0), count, int64(tile.lanes), int64)


def _square(builder, side, row_step, column_step):
    """i * row_step + j * column_step for i, j < side."""
    return [[builder.add(builder.mul(row_step, int64(i)), builder.mul(column_step, int64(j))) for j in range(side)] for i in range(side)]


def _lines(tile, first, side, step, count, pitch):
    """For each of `side` lines of pixels, from number `first` on: whether its number is below `count`, and where it begins."""
    builder = tile.builder
    numbers = [builder.add(first, builder.mul(step, int64(i))) for i in range(side)]
    # Without a sign, a negative number is a large one.
    return [(builder.icmp_unsigned("<", number, count), builder.mul(number, pitch)) for number in numbers]


def _pixels(tile, image, side, row, column, step, height, width, channels, zeros):
    """A function (i, j, channel) that loads a vector of one of side x side pixels from (row, column) on, or zeros outside the image.

    Rows outside are read from `zeros`. Columns outside are masked, and the first one is read.
    """
    builder = tile.builder
    rows = _lines(tile, row, side, step, height, builder.mul(width, channels))
    columns = _lines(tile, column, side, step, width, channels)
    starts = [builder.select(inside, tile.at(image, start), zeros) for inside, start in rows]
    offsets = [builder.select(inside, start, int64(0)) for inside, start in columns]
    masks = [tile.lanes_if(inside) for inside, _ in columns]

    def load(i, j, channel):
        value = tile.load(tile.at(starts[i], builder.add(offsets[j], channel)), 0)
        return builder.select(masks[j], value, tile.zeros)

    return load


def _to_planes(tile, matrix, load, channels, target, plane):
    """The transform of a square of pixels, for all channels.

    The product of the matrix with the columns is computed in groups of rows, because not all results
    fit into the registers. To load pixels again for each group costs less than to store results.
    """
    matrix = numpy.array(matrix)
    with _vectors(tile, channels) as (channel, _):
        for rows in _groups(matrix):
            read = numpy.nonzero(matrix[rows].any(axis=0))[0]
            columns = [_product(tile, matrix[rows][:, read], [load(i, j, channel) for i in read]) for j in range(matrix.shape[1])]
            values = [_product(tile, matrix, row) for row in zip(*columns, strict=True)]
            _store(tile, [values], tile.at(target, channel), plane, first=rows[0] * len(matrix))


def _groups(matrix):
    """The rows of a matrix in groups, whose products with all columns are about _RESULTS vectors. Rows that are alike stay together."""
    groups, alike = [[0]], _alike(matrix)
    for i in range(1, len(matrix)):
        rows = len(groups[-1]) + (2 if i in alike else 1)
        if i - 1 in alike or rows * matrix.shape[1] <= _RESULTS:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _store(tile, squares, target, plane, first=0):
    """Store squares of vectors, which are neighbours in their planes, from plane number `first` on."""
    for number, vectors in enumerate(zip(*(itertools.chain(*square) for square in squares), strict=True), first):
        to = tile.at(target, tile.builder.mul(plane, int64(number)))
        # At once, or the lines of the other planes would push this one out of the cache between two
        # of its vectors.
        for j, vector in enumerate(vectors):
            tile.store(vector, to, j)


def _load(tile, f, source, plane):
    planes = _square(tile.builder, f.size, tile.builder.mul(plane, int64(f.size)), plane)
    return [[tile.load(tile.at(source, index), 0) for index in row] for row in planes]
