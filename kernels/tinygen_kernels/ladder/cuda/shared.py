# mypy: allow-untyped-defs
"""Rung 3, the idea: what one thread reads, all threads of its block use.

The threads of a block have some KB of fast *shared memory* together. A block of 16 x 16 threads
computes 16 pixels x 16 output channels. For each slab of 16 channels of a tap, every thread copies
one number of x and one of w into shared memory. At a barrier (`syncthreads`) all wait until the
copies are complete. Then each number serves 16 threads, so a multiply-add costs 1/16 of a read of x
and 1/16 of a read of w from global memory. A second barrier keeps the slab until all have used it.

What still costs time? Each multiply-add takes two numbers from shared memory. A slab compiles to
111 instructions for each thread: 16 multiply-adds, 20 reads of shared memory (x comes four numbers
at a time), and the rest computes where the next slab is. One instruction in seven calculates. A
thread has only one result; with several, it could use a number in its registers for more than one.
From global memory a number is still read once for 16 multiply-adds. And a slab is always multiplied
in full: with 3 channels, 13 of the 16 products are with zeros, where rungs 1 and 2 have none.
"""

from numba import cuda, float32, int32, int64, uint32

from tinygen_kernels.ladder.cuda.window import DEPTH, Geometry, slab, window

SIDE = DEPTH
THREADS = SLAB = SIDE * SIDE  # numbers of a slab


def blocks(g: Geometry) -> tuple[int, int, int]:
    return -(-g.pixels // SIDE), -(-g.outputs // SIDE), 1


def kernel(x, w, y, g):
    x_slab = cuda.shared.array(SLAB, float32)
    w_slab = cuda.shared.array(SLAB, float32)
    thread = uint32(cuda.threadIdx.x)
    # A thread computes a pixel and an output channel, and copies a pixel and a channel of x, a
    # channel and an output of w.
    row, column = int32(thread // uint32(SIDE)), int32(thread % uint32(SIDE))
    pixel, k = int32(cuda.blockIdx.x * SIDE + row), int32(cuda.blockIdx.y * SIDE + column)
    start, total = window(pixel, g), float32(0)
    for number in range(g.slabs):
        place, w_row, channels = slab(number, g)
        x_slab[thread] = x[uint32(start + place + column)] if column < channels else float32(0)
        w_slab[thread] = w[uint32((w_row + row) * g.outputs + k)] if row < channels and k < g.outputs else float32(0)
        cuda.syncthreads()
        at_x, at_w = int64(row * DEPTH), int64(column)
        for _ in range(DEPTH):
            total += x_slab[at_x] * w_slab[at_w]
            at_x, at_w = at_x + 1, at_w + SIDE
        cuda.syncthreads()
    if pixel < g.pixels and k < g.outputs:
        y[uint32(pixel * g.outputs + k)] = total
