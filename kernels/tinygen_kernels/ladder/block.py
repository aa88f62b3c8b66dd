# mypy: allow-untyped-defs
"""Rung 7, the idea: keep a block of results in registers.

A processor has 16 or 32 vector registers, and numbers in them cost nothing to reach. Six pixels
times two vectors of output channels are 12 registers of sums. They stay there through all taps and
channels and are stored once, at the end. A step loads two vectors of weights and one number of each
of the six pixels, and does 12 multiplications of vectors. With vectors of 8 that is 22 numbers for
96 multiplications, 0.23 for each, where rung 4 moves 2.25. On a Zen 3 the 8 loads take 4 cycles and
the 12 multiplications 6, so loads are no longer the limit; and 12 sums, 2 vectors of weights and a
pixel take 15 of 16 registers. BLAS does this too, but im2col has to write and read all the windows
first.

The compiler would not do that by itself, so `cpu/vector.py` writes the instructions. `_block` and
`step` are Python that runs once, while `_blocks` is compiled. Each call there writes one instruction,
and a Python loop writes it several times; `for_range` writes a loop that the processor runs. `splat`
copies one number into all lanes of a vector. The accumulators are local variables, which LLVM, the
compiler behind Numba, puts into registers.

What is still missing for a tile that serves all layers? Here weights are copied, with zeros until
they fill two vectors, and the image was copied to get its border of zeros. The tile has a table of
the pixels that each output pixel reads, and taps that meet nothing but the border are not in it.
Larger blocks fit where AVX-512 has 32 registers. And the block waits for memory. The tile stores
the weights in the order in which they are read, *aligned*: from the start of a cache line on, so
that no vector lies on two. And it *prefetches* the image that comes after this one and the place of
its results: it asks for a cache line early, and goes on without waiting for it. Without that, the
tile, too, would wait for memory for a third of its time.
"""

import numpy
from numba.core import cgutils

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.compiled import compiled
from tinygen_kernels.cpu.memory import empty
from tinygen_kernels.cpu.vector import VECTOR_BYTES, int64, intrinsic
from tinygen_kernels.ladder import zeros

PIXELS, VECTORS = 6, 2


@intrinsic
def _block(tile, x, starts, tap_step, row_step, w, w_start, w_row, y, y_start, rows, columns, channels):
    """The sums of PIXELS output pixels, whose windows begin at `starts` in x, and of VECTORS vectors of channels."""
    builder = tile.builder
    windows = [tile.at(x, tile.integer(starts, m)) for m in range(PIXELS)]
    sums = tile.accumulators(PIXELS, VECTORS)
    for total in (total for pixel in sums for total in pixel):
        builder.store(tile.vector([0.0] * tile.lanes), total)
    with cgutils.for_range(builder, rows) as a, cgutils.for_range(builder, columns) as b:
        tap = builder.add(builder.mul(a.index, row_step), builder.mul(b.index, tap_step))
        first = builder.mul(builder.add(builder.mul(a.index, columns), b.index), channels)
        weights = tile.at(w, builder.add(w_start, builder.mul(first, w_row)))
        pixels = [tile.at(window, tap) for window in windows]
        with cgutils.for_range(builder, channels) as c:
            step(tile, sums, pixels, c.index, tile.at(weights, builder.mul(c.index, w_row)), VECTORS)
    for m in range(PIXELS):
        for j in range(VECTORS):
            tile.store(builder.load(sums[m][j]), tile.at(y, builder.add(y_start, builder.mul(int64(m), w_row))), j)


def step(tile, sums, pixels, channel, weights, vectors):
    """All that one channel of one tap adds to the block."""
    loaded = [tile.load(weights, j) for j in range(vectors)]
    for total, pixel in zip(sums, pixels, strict=True):
        tile.multiply_add(total, tile.splat(pixel, channel), loaded)


@compiled
def _blocks(x, w, stride, dilation, output, y, width):
    channels, outputs = w.shape[2], w.shape[3]
    starts = numpy.empty(PIXELS, numpy.int32)
    for first in range(0, len(y), PIXELS):
        for m in range(PIXELS):
            pixel = min(first + m, len(x) * output[0] * output[1] - 1)
            image, i, j = pixel // (output[0] * output[1]), pixel // output[1] % output[0], pixel % output[1]
            starts[m] = ((image * x.shape[1] + i * stride[0]) * x.shape[2] + j * stride[1]) * channels
        steps = dilation[1] * channels, dilation[0] * x.shape[2] * channels
        for k in range(0, outputs, width):
            _block(x, starts, *steps, w, k, outputs, y, first * outputs + k, w.shape[0], w.shape[1], channels)


def convolve(x: Array, w: Array, stride: Pair, dilation: Pair, y: Array) -> None:
    pixels, outputs = y.size // y.shape[3], y.shape[3]
    width = VECTORS * VECTOR_BYTES // x.itemsize
    padded = empty((pixels + -pixels % PIXELS, outputs + -outputs % width), y.dtype)
    wider = zeros((*w.shape[:3], padded.shape[1]), w.dtype)
    wider[..., :outputs] = w
    _blocks(x, wider, stride, dilation, y.shape[1:3], padded, width)
    y += padded[:pixels, :outputs].reshape(y.shape)
