# mypy: allow-untyped-defs
"""Rung 5, the idea: read the next slab while the present one is multiplied.

While slab n is multiplied, slab n + 1 is on its way from global memory into registers: a thread
waits for a number only where it uses it. Shared memory holds two slabs of each array (*double
buffering*), so that slab n + 1 is put where slab n - 1 was. With a barrier at each |, the order is

    fetch 0, put 0 | fetch 1, multiply 0, put 1 | fetch 2, multiply 1, put 2 | ...

One barrier for each slab is enough, where rung 4 has two: a thread that puts slab 2 where slab 0
was has passed the barrier behind `multiply 0`, so all threads have finished with slab 0. The early
fetch hides the wait; the second slab only saves a barrier. The counts of reads are those of rung 4.
What changes is when they happen.

What still costs time? For a channel, 6 of the 29 instructions read 8 numbers of shared memory: x
two at a time, w one. The real tile reads four numbers with one instruction, and its threads compute
up to 8 x 8 results each: 16 numbers for 64 multiply-adds, by 4 instructions. Its block computes up
to 128 x 128 results, so a number from global memory serves 128 multiply-adds, where it serves 64
here. And where there is padding, every rung so far copies the image before it begins; the tile
finds the border by its index. Where there are too few blocks for the multiprocessors, the tile cuts
the long sum over taps and channels into pieces, which are blocks of their own.
"""

from numba import cuda, float32, int32

from tinygen_kernels.ladder.cuda.copies import APART, COPIES, EACH, SIDE, SLAB, THREADS, fetch, put, start_windows, write
from tinygen_kernels.ladder.cuda.registers import blocks, multiply

__all__ = ["THREADS", "blocks", "kernel"]

BOTH = 2 * SLAB


def kernel(x, w, y, g):
    x_slabs, sums = cuda.shared.array(BOTH, float32), cuda.local.array((EACH, EACH), float32)
    w_slabs, starts = cuda.shared.array(BOTH, float32), cuda.local.array(COPIES, int32)
    next_x, next_w = cuda.local.array(COPIES, float32), cuda.local.array(COPIES, float32)
    row, column = int32(cuda.threadIdx.x // APART), int32(cuda.threadIdx.x % APART)
    pixel, k = int32(cuda.blockIdx.x * SIDE), int32(cuda.blockIdx.y * SIDE)
    sums[:] = 0
    start_windows(starts, pixel, g)
    fetch(x, w, 0, starts, k, next_x, next_w, g)
    put(x_slabs, w_slabs, 0, next_x, next_w)
    cuda.syncthreads()
    for number in range(g.slabs):
        present, other = int32(number % 2 * SLAB), int32((number + 1) % 2 * SLAB)
        if number + 1 < g.slabs:
            fetch(x, w, number + 1, starts, k, next_x, next_w, g)
        multiply(x_slabs, w_slabs, present, row, column, sums)
        if number + 1 < g.slabs:  # the same for all threads, so all of them reach the barrier
            put(x_slabs, w_slabs, other, next_x, next_w)
            cuda.syncthreads()
    write(y, sums, pixel + row, k + column, g)
