# mypy: allow-untyped-defs
"""Rung 1, the idea: one thread for each output pixel.

A GPU runs many thousand threads at once. No two output pixels write to the same number, so each
thread takes one and computes its K output channels, each as the sum over the taps (a, b) and the C
input channels. The threads run in *warps* of 32, which execute one instruction together.

What still costs time? Memory delivers sectors of 32 bytes. When a warp reads x, its 32 threads read
channel c of 32 neighbouring pixels, which are stride times C numbers apart. So one read touches up
to 32 sectors for 128 bytes, where 4 sectors would do; the rest of a sector serves the next
channels, if a cache still holds it. A warp also writes y that way. The loop over k reads the whole
window K times, and all 32 threads read the same weight, 4 bytes of a sector. A small image has
fewer pixels than the GPU can hold threads.
"""

from numba import cuda, float32, int32, uint32

from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.ladder.cuda.window import Geometry, window

THREADS = 128


def blocks(g: Geometry) -> int:
    return -(-g.pixels // THREADS)


@device
def product_sum(x, w, start, k, g):
    """Number k of the output pixel whose window begins at `start`: the sum over a, b and c."""
    total = float32(0)
    for a in range(g.rows):
        for b in range(g.columns):
            place = int32(start + a * g.tap_row + b * g.tap_column)
            weight = int32((a * g.columns + b) * g.channels * g.outputs + k)
            for c in range(g.channels):
                total += x[uint32(place + c)] * w[uint32(weight + c * g.outputs)]
    return total


def kernel(x, w, y, g):
    pixel = int32(cuda.blockIdx.x * THREADS + cuda.threadIdx.x)
    if pixel < g.pixels:
        start = window(pixel, g)
        for k in range(g.outputs):
            y[uint32(pixel * g.outputs + k)] = product_sum(x, w, start, k, g)
