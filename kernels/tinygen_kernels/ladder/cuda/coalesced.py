# mypy: allow-untyped-defs
"""Rung 2, the idea: neighbouring threads read neighbouring numbers.

A thread computes one number of y with the sum of rung 1. Thread i takes number i of y, so the
threads of a warp have neighbouring output channels k and, if K is a multiple of 32, the same pixel.
Their weights are neighbours in memory: a read of 32 threads takes 128 bytes, which are 4 sectors,
all used. All 32 read the same number of x, which takes 1 sector. What they write to y is 4 sectors.
This is called *coalescing*. With K = 3 a warp has 11 or 12 pixels, and little is gained. There are
also K times as many threads, so that some can calculate while others wait.

What still costs time? Each multiply-add reads two numbers from global memory, or at best from a
cache. That takes many times longer than the multiply-add. All pixels read the same weights, and
each of the K threads of a pixel reads the same window, but no thread knows what another one read.
What one thread of a block puts into shared memory, the others can read there.
"""

from numba import cuda, uint32

from tinygen_kernels.ladder.cuda.pixel import product_sum
from tinygen_kernels.ladder.cuda.window import Geometry, window

THREADS = 128


def blocks(g: Geometry) -> int:
    return -(-g.pixels * g.outputs // THREADS)


def kernel(x, w, y, g):
    i = uint32(cuda.blockIdx.x * THREADS + cuda.threadIdx.x)
    if i < uint32(g.pixels * g.outputs):
        pixel = uint32(i // uint32(g.outputs))
        y[i] = product_sum(x, w, window(pixel, g), uint32(i - pixel * g.outputs), g)
