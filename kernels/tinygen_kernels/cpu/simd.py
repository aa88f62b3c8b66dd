# mypy: allow-untyped-defs
"""Register tiles: the innermost loops of the convolutions, written in vector instructions.

A core can start two vector multiply-adds per cycle, each on 16 float32 numbers (AVX-512), but it
reads only about two vectors per cycle. A plain loop `y[k] += x * w[k]` reads two vectors and writes
one for every multiply-add, so it spends its time moving data. Registers are the few numbers that a
core can access at no cost. So the results are kept in registers, and each loaded value is used for
many of them. Such a block of results is a *register tile*:

                      w[0:16]     w[16:32]           2 loaded vectors
        x0, 16 times  acc[0][0]   acc[0][1]
        x1, 16 times  acc[1][0]   acc[1][1]          each step adds x_i * w_j to all acc[i][j]
         ...             ...         ...
        x13           acc[13][0]  acc[13][1]         28 accumulators

AVX-512 has 32 vector registers: 14 x 2 for accumulators, 2 for w and 1 for x leave one free. A step
loads 16 values and does 28 multiply-adds. These are independent, so the processor never waits for
one to finish. AVX2 and SSE have 16 registers: 6 x 2 accumulators.

Numba's compiler does not keep such a block in registers by itself, so the instructions are written
out here, by means of `vector.py`.
"""

import itertools

from numba.core import cgutils
from numba.extending import register_jitable

from tinygen_kernels.cpu.vector import LINE_BYTES, REGISTERS, VECTOR_BYTES, int64, intrinsic

VECTORS = 2  # in each row of a tile
PIXELS = 14 if REGISTERS == 32 else 6  # rows of a `gather_tile`
# Rows of an `outer_tile`. A plan takes the number that wastes the least (`weight.weight_plan`).
ROWS = range(9, 15) if REGISTERS == 32 else range(4, 7)


@register_jitable
def tile_width(array):
    """The number of elements in a row of a tile. `array` is an array or a dtype."""
    return VECTORS * VECTOR_BYTES // array.itemsize


@intrinsic
def gather_tile(
    tile, images, images_start, table, row, length, zeros, w, w_start, w_row, bias, bias_start, slope, result, result_start, count
):
    """Compute PIXELS output pixels of a strip, then leaky_relu, and store the first `count` channels.

    table[row] is the header of the tile: the number of taps, then the offset of each pixel in the
    result. One row follows for each tap: the first row of the panel w to use, then the offset in the
    images that each pixel reads from. A negative offset reads from `zeros`. A read is `length`
    elements long. The rows of the panel are w_row apart. All offsets count elements from the given
    starts. `count` is what is left of the channels, which may be more than the width of a tile.
    slope[0] is that of leaky_relu; 1 means none.
    """
    builder = tile.builder
    images, w, bias, result = tile.at(images, images_start), tile.at(w, w_start), tile.at(bias, bias_start), tile.at(result, result_start)
    header = tile.at(table, builder.mul(row, int64(PIXELS + 1)))
    for narrow in tile.either(builder.icmp_signed("<=", count, int64(tile.lanes))):
        _gather_pixels(tile, range(1 if narrow else VECTORS), images, header, length, zeros, w, w_row, bias, slope, result, count)


def _gather_pixels(tile, vectors, images, header, length, zeros, w, w_row, bias, slope, result, count):
    builder, pixels = tile.builder, range(PIXELS)
    targets = [tile.at(result, tile.integer(header, i + 1)) for i in pixels]
    total = tile.accumulators(PIXELS, len(vectors))
    for j in vectors:
        start = tile.load(bias, j, tile.mask(count, j))
        for i in pixels:
            builder.store(start, total[i][j])
            tile.prefetch(tile.at(targets[i], j * tile.lanes), to_write=True)
    with cgutils.for_range(builder, tile.integer(header, 0)) as taps:
        tap = tile.at(header, builder.mul(builder.add(taps.index, int64(1)), int64(PIXELS + 1)))
        panel = tile.at(w, builder.mul(tile.integer(tap, 0), w_row))
        sources = []
        for i in pixels:
            offset = tile.integer(tap, i + 1)
            sources.append(builder.select(builder.icmp_signed("<", offset, int64(0)), zeros, tile.at(images, offset)))
        with cgutils.for_range(builder, length) as channels:
            weights = tile.at(panel, builder.mul(channels.index, w_row))
            loaded = [tile.load(weights, j) for j in vectors]
            for i in pixels:
                tile.multiply_add(total[i], tile.splat(sources[i], channels.index), loaded)
    slope = builder.load(slope)  # only now, because all registers were in use
    with builder.if_then(builder.fcmp_unordered("!=", slope, slope.type(1.0))):
        for i, j in itertools.product(pixels, vectors):
            builder.store(tile.leaky(builder.load(total[i][j]), slope), total[i][j])
    for j in vectors:  # a masked store takes 12 cycles on AMD's AVX2 processors, and a plain one takes 1
        for whole in tile.either(builder.icmp_signed(">=", count, int64((j + 1) * tile.lanes))):
            for i in pixels:
                tile.store(builder.load(total[i][j]), targets[i], j, None if whole else tile.mask(count, j))


@intrinsic
def outer_tile(tile, x, x_start, offsets, first, rows, y, y_start, pairs, pair, pair_count, count, total, total_start, total_row):
    """total[i, :count] += sum over pairs (p, q) of x[p + offsets[first + i]] * y[q : q + count].

    i runs over `rows`, which is one of ROWS. The rows of `total` are total_row apart, and whole
    vectors. `pair_count` pairs are read from pairs[2*pair:]. p, q and the offsets count elements from
    the starts.
    """
    x, y, total = tile.at(x, x_start), tile.at(y, y_start), tile.at(total, total_start)
    offsets, pairs = tile.at(offsets, first), tile.at(pairs, tile.builder.mul(pair, int64(2)))
    for height in ROWS:
        with tile.builder.if_then(tile.builder.icmp_signed("==", rows, int64(height))):
            for whole in tile.either(tile.builder.icmp_signed(">=", count, int64(VECTORS * tile.lanes))):
                if whole:
                    _outer_rows(tile, range(height), [None] * VECTORS, x, offsets, y, pairs, pair_count, total, total_row)
                    continue
                for narrow in tile.either(tile.builder.icmp_signed("<=", count, int64(tile.lanes))):
                    masks = [tile.mask(count, j) for j in range(1 if narrow else VECTORS)]
                    _outer_rows(tile, range(height), masks, x, offsets, y, pairs, pair_count, total, total_row)


def _outer_rows(tile, rows, masks, x, offsets, y, pairs, pair_count, total, total_row):
    builder, vectors = tile.builder, range(len(masks))
    row_starts = [tile.at(x, tile.integer(offsets, i)) for i in rows]
    totals = [tile.at(total, builder.mul(total_row, int64(i))) for i in rows]
    sums = tile.accumulators(len(rows), len(masks))
    # The totals are added at the end. Loaded here, each multiply-add would wait for its total.
    for i, j in itertools.product(rows, vectors):
        builder.store(tile.zeros, sums[i][j])
        tile.prefetch(tile.at(totals[i], j * tile.lanes), to_write=True)
    with cgutils.for_range(builder, pair_count) as loop:
        pair = tile.at(pairs, builder.mul(loop.index, int64(2)))
        position, y_row = tile.integer(pair, 0), tile.at(y, tile.integer(pair, 1))
        loaded = [tile.load(y_row, j, masks[j]) for j in vectors]
        for i in rows:
            tile.multiply_add(sums[i], tile.splat(row_starts[i], position), loaded)
            tile.keep_order(sums[i])
    for i, j in itertools.product(rows, vectors):
        tile.store(builder.fadd(tile.load(totals[i], j), builder.load(sums[i][j])), totals[i], j)


@intrinsic
def prefetch(tile, array, start, stop):
    """Ask for the cache lines of elements start..stop, which need not exist."""
    with cgutils.for_range_slice(tile.builder, start, stop, int64(LINE_BYTES // tile.bytes), int64) as (index, _):
        tile.prefetch(tile.at(array, index), to_write=False)
