# mypy: allow-untyped-defs
"""What rungs 4 and 5 copy from global memory and to it: 256 threads, for SIDE pixels and SIDE output channels.

A thread copies four numbers of each slab of x and of w. 16 neighbouring threads read the 16
channels of one pixel, and 64 neighbouring threads read a row of w. So each read of a warp takes 4
sectors, all used if C is a multiple of 16 and K of 64. First the numbers are in registers
(`fetch`), and then in shared memory (`put`). A thread has EACH x EACH results, which are APART from
each other, so that what a warp writes are two runs of 16 neighbours.
"""

from numba import cuda, float32, int32, uint32

from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.ladder.cuda.window import DEPTH, slab, window

SIDE, COPIES = 64, 4
APART = 16  # the threads along a side of the block
EACH = SIDE // APART
THREADS = SIDE * DEPTH // COPIES
SLAB = SIDE * DEPTH  # numbers


@device
def start_windows(starts, first, g):
    """Where the windows of the pixels that this thread copies begin."""
    for i in range(COPIES):
        starts[i] = window(uint32(first + uint32(cuda.threadIdx.x) // uint32(DEPTH) + i * (THREADS // DEPTH)), g)


@device
def fetch(x, w, number, starts, first_output, next_x, next_w, g):
    """Read this thread's part of a slab; what is beyond the channels or the outputs is 0."""
    place, w_row, channels = slab(number, g)
    channel = int32(uint32(cuda.threadIdx.x) % uint32(DEPTH))
    row, k = int32(uint32(cuda.threadIdx.x) // uint32(SIDE)), int32(first_output + uint32(cuda.threadIdx.x) % uint32(SIDE))
    for i in range(COPIES):
        next_x[i], next_w[i] = float32(0), float32(0)
        if channel < channels:
            next_x[i] = x[uint32(starts[i] + place + channel)]
        if row + i * (THREADS // SIDE) < channels and k < g.outputs:
            next_w[i] = w[uint32((w_row + row + i * (THREADS // SIDE)) * g.outputs + k)]


@device
def put(x_slabs, w_slabs, at, next_x, next_w):
    """Store it in the slabs that begin at index `at`, which is 0 unless there are two."""
    for i in range(COPIES):
        x_slabs[uint32(at + cuda.threadIdx.x + i * THREADS)] = next_x[i]
        w_slabs[uint32(at + cuda.threadIdx.x + i * THREADS)] = next_w[i]


@device
def write(y, sums, pixel, k, g):
    """Write a thread's sums to y, of which the first is of output channel k of a pixel."""
    for i in range(EACH):
        for j in range(EACH):
            if pixel + i * APART < g.pixels and k + j * APART < g.outputs:
                y[uint32((pixel + i * APART) * g.outputs + k + j * APART)] = sums[i, j]
