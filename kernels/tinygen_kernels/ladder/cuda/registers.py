# mypy: allow-untyped-defs
"""Rung 4, the idea: a number that was read from shared memory is used four times.

A thread computes 4 pixels x 4 output channels. At each channel it reads 4 numbers of x and 4 of w
into registers and multiplies each with each: 8 numbers read for 16 multiply-adds, rung 3 reads 32.
Of 29 instructions for a channel, 16 are multiply-adds. The 16 sums never leave the registers:
`cuda.local.array` stands for registers where the compiler unrolls the loops and knows every index.
16 x 16 threads now compute 64 x 64 results, so a number from global memory serves 64 multiply-adds.

What still costs time? All threads of a block read a slab from global memory, wait for it, multiply
it, and wait for each other. While a block reads it multiplies nothing, and while it multiplies it
reads nothing. Memory answers after hundreds of cycles. Multiplying a slab takes 8 warps 16 x 29
instructions each, which are 928 cycles where 4 begin in a cycle: a wait of 500 would be a third of
the time. Other blocks fill a part of that gap, but there are 16 times fewer than on rung 3.
"""

from numba import cuda, float32, int32, uint64

from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.ladder.cuda.copies import APART, COPIES, EACH, SIDE, SLAB, THREADS, fetch, put, start_windows, write
from tinygen_kernels.ladder.cuda.window import DEPTH, Geometry

__all__ = ["THREADS", "blocks", "kernel"]


def blocks(g: Geometry) -> tuple[int, int, int]:
    return -(-g.pixels // SIDE), -(-g.outputs // SIDE), 1


@device
def multiply(x_slabs, w_slabs, at, row, column, sums):
    """Add the products of the slabs that begin at index `at`."""
    of_x, of_w = cuda.local.array(EACH, float32), cuda.local.array(EACH, float32)
    at_x, at_w = uint64(at + row * DEPTH), uint64(at + column)
    for _ in range(DEPTH):
        for i in range(EACH):
            of_x[i] = x_slabs[uint64(at_x + uint64(i * APART * DEPTH))]
            of_w[i] = w_slabs[uint64(at_w + uint64(i * APART))]
        for i in range(EACH):
            for j in range(EACH):
                sums[i, j] += of_x[i] * of_w[j]
        at_x, at_w = uint64(at_x + uint64(1)), uint64(at_w + uint64(SIDE))


def kernel(x, w, y, g):
    x_slab, sums = cuda.shared.array(SLAB, float32), cuda.local.array((EACH, EACH), float32)
    w_slab, starts = cuda.shared.array(SLAB, float32), cuda.local.array(COPIES, int32)
    next_x, next_w = cuda.local.array(COPIES, float32), cuda.local.array(COPIES, float32)
    row, column = int32(cuda.threadIdx.x // APART), int32(cuda.threadIdx.x % APART)
    pixel, k = int32(cuda.blockIdx.x * SIDE), int32(cuda.blockIdx.y * SIDE)
    sums[:] = 0
    start_windows(starts, pixel, g)
    for number in range(g.slabs):
        fetch(x, w, number, starts, k, next_x, next_w, g)  # apart from `put`, because rung 5 multiplies between them
        put(x_slab, w_slab, 0, next_x, next_w)
        cuda.syncthreads()
        multiply(x_slab, w_slab, 0, row, column, sums)
        cuda.syncthreads()
    write(y, sums, pixel + row, k + column, g)
