# mypy: allow-untyped-defs
"""The matrix product on which all three convolutions are built.

    C[m, n] = sum_k A[m, k] B[k, n]       in a convolution, k runs over the taps and channels

**The machine.** A GPU runs one function, the kernel, in many thousand threads, which are grouped in
*blocks*. The threads of a block can wait for each other (`syncthreads`) and share some KB of fast
*shared memory*. They cannot access the shared memory of other blocks. Every thread has its own
*registers*, up to 255 numbers. Arrays are in *global memory*, which is slow: in the time that it
takes to read one float32, a large GPU could do several tens of multiply-adds. So every number that
is read must be used often, on two levels:

    shared memory   A block computes `rows` x `columns` of C. It copies a *slab*, `depth` long in k,
        of A's rows and B's columns into shared memory, adds the products, and continues with the
        next slab. A number that is read once is used `columns` (or `rows`) times.
    registers       A thread computes `thread_rows` x `thread_columns` of these. At each k it reads
        that many numbers of A and of B from shared memory and multiplies each with each. With
        8 x 8, 16 numbers serve 64 multiplications. The sums never leave the registers.

**Double buffering.** Shared memory holds two slabs of each matrix. While one is multiplied, the
next is fetched from global memory into registers (`next_a`, `next_b`), and then put into the other
slab. With a barrier at each |, the order is

    fetch 0, put 0 | fetch 1, multiply 0, put 1 | fetch 2, multiply 1, put 2 | ...

One barrier for each slab is enough. A thread that puts slab 2 where slab 0 was has passed the
barrier after `multiply 0`, so all threads have finished `multiply 0`.

**Indices.** Tile t of C is tile (t // across, t % across), where `across` tiles cover the columns of
C. Neighbouring blocks read the same rows of A, which the second one finds in the cache. If k is in
pieces, neighbouring blocks sum the pieces for one tile, and the last of them adds their sums. A
thread's rows are groups of four neighbours, so that it reads a group with one instruction. The
groups of the other threads are in between, and the same holds for columns:

    row(i) = row + i // 4 * 4 * (rows / thread_rows) + i % 4

A slab of A is stored as (depth, rows + 4), one of B as (depth, columns). Shared memory has 32
banks, and each serves one number at a time. The 4 distributes what the threads write over the
banks.

**Operands.** The tile does not know what A and B are. It asks an `Operand` for slabs, and `place`
for the index at which row m of C begins. So it can gather from an image as well as read a matrix.
This is "implicit GEMM": im2col, but the columns are never written (Chetlur et al., 2014). With the
operand of conv2d it is rung 6 of the ladder (`ladder/cuda/`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, int32, int64, uint32

from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.elementwise import leaky
from tinygen_kernels.cuda.last_block import is_last
from tinygen_kernels.cuda.memory import ALIGNMENT, load4, store4


class Tile(NamedTuple):
    """The results that one block computes, and those of each of its threads."""

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int
    tensor_cores: bool = False  # multiply, in TF32

    @property
    def threads(self) -> int:
        return (self.rows // self.thread_rows) * (self.columns // self.thread_columns)

    @property
    def pitches(self) -> tuple[int, int]:
        """The distances from one k to the next, in a slab of A and of B."""
        return (self.rows + 2, self.columns + 1) if self.tensor_cores else (self.rows + 4, self.columns)

    @property
    def apart(self) -> tuple[int, int]:
        """The distances between a thread's groups of four rows, and of four columns."""
        return 4 * (self.rows // self.thread_rows), 8 if self.tensor_cores else 4 * (self.columns // self.thread_columns)

    @property
    def wanted(self) -> int:
        """The number of blocks that a multiprocessor needs to have work while some blocks wait.

        That is 1,024 threads, or 512 if each thread has many independent sums.
        """
        return (512 if self.thread_rows * self.thread_columns > 16 else 1024) // self.threads

    def blocks(self, m: int, n: int) -> int:
        """The number of tiles in C (m, n)."""
        return -(-m // self.rows) * -(-n // self.columns)


LARGE = Tile(128, 128, 8, 8, 8)
TALL = Tile(128, 64, 16, 8, 4)  # for 64 channels
SMALL = Tile(64, 64, 16, 4, 4)
# In place of SMALL if both matrices are read one number at a time, which takes more registers.
SHALLOW = Tile(64, 64, 8, 4, 4)
NARROW = Tile(64, 16, 16, 4, 4)  # for the three colours of an image
TINY = Tile(16, 16, 8, 4, 4)  # for the simulator, whose threads are slow


class Operand(NamedTuple):
    """How a matrix is copied into shared memory. Every thread copies `items` numbers of each slab.

    From slab to slab, a thread keeps its state, a few int32 in registers. g is the geometry of the
    whole product.

        start(state, first, k0, k1, g)   set the state for k0 <= k < k1 and the rows of A (columns
                                         of B) that begin at `first`
        fetch(array, state, out, g)      read the thread's numbers, or 0 outside the matrix, and
                                         advance by one depth
        put(shared, slab, out)           store them in the slab that begins at shared[slab]
    """

    states: int
    items: int
    start: Callable[..., Any]
    fetch: Callable[..., Any]
    put: Callable[..., Any]


@device
def own_piece(g):
    """The number of the piece of k that this block sums."""
    return int32(uint32(cuda.blockIdx.x) % uint32(g.pieces))


def gemm(
    tile: Tile, dtype: Any, a_operand: Operand, b_operand: Operand, place: Callable[..., Any], width: int, sharing: Any = None
) -> Callable[..., Any]:
    """The kernel of C = leaky_relu(A B + bias), without a bias if that is an empty array.

    `partial` is memory for the sums of the pieces of k. width is 4 if the rows of C begin at
    multiples of 16 bytes and the number of columns is a multiple of four, else 1. `sharing` is
    `corner` and `multiply` if threads do not multiply each for itself.
    """
    rows, columns, depth, thread_rows, thread_columns, _ = tile
    a_slab, b_slab = (depth * pitch for pitch in tile.pitches)
    b_begin = 2 * a_slab
    size = b_begin + 2 * b_slab
    a_states, a_items, a_start, a_fetch, a_put = a_operand
    b_states, b_items, b_start, b_fetch, b_put = b_operand
    corner, multiply = sharing or (_corner(tile), _multiplication(tile, dtype))
    write, (put_piece, add_pieces) = _write(tile, dtype, place, width), _pieces(tile)

    def kernel(a, b, bias, partial, counters, c, slope, g):
        shared = cuda.shared.array(size, dtype, alignment=ALIGNMENT)
        next_a, next_b = cuda.local.array(a_items, dtype), cuda.local.array(b_items, dtype)
        a_state, b_state = cuda.local.array(a_states, int32), cuda.local.array(b_states, int32)
        sums = cuda.local.array((thread_rows, thread_columns), dtype)
        across = uint32((g.n + (columns - 1)) // columns)
        # group // tiles is the phase, which is needed anyway; a remainder would take more registers.
        group = uint32(uint32(cuda.blockIdx.x) // uint32(g.pieces))
        number = uint32(group - uint32(group // uint32(g.tiles)) * uint32(g.tiles))
        down = uint32(number // across)
        m0, n0 = int32(down * rows), int32((number - down * across) * columns)
        k0 = int32(own_piece(g) * g.piece)
        k1 = int32(min(g.k, k0 + g.piece))
        row, column = corner()
        sums[:] = 0
        a_start(a_state, m0, k0, k1, g)
        b_start(b_state, n0, k0, k1, g)
        a_fetch(a, a_state, next_a, g)
        b_fetch(b, b_state, next_b, g)
        a_put(shared, uint32(0), next_a)
        b_put(shared, uint32(b_begin), next_b)
        cuda.syncthreads()
        left, odd = int32(k1 - k0), uint32(0)
        while left > 0:
            left = int32(left - depth)
            if left > 0:
                a_fetch(a, a_state, next_a, g)
                b_fetch(b, b_state, next_b, g)
            multiply(shared, int64(odd * a_slab + row), int64(b_begin + odd * b_slab + column), sums)
            odd = uint32(odd ^ uint32(1))
            if left > 0:
                a_put(shared, uint32(odd * uint32(a_slab)), next_a)
                b_put(shared, uint32(uint32(b_begin) + odd * uint32(b_slab)), next_b)
                cuda.syncthreads()
        if g.pieces > 1:
            first = uint32(cuda.blockIdx.x - own_piece(g))
            put_piece(partial, uint32(cuda.blockIdx.x), sums)
            if not is_last(counters, first, g.pieces):
                return
            add_pieces(partial, first, g.pieces, sums)
        write(c, sums, bias, slope, int32(m0 + row), int32(n0 + column), g)

    return kernel


def _corner(tile: Tile) -> Callable[..., Any]:
    """The first row and column that a thread computes.

    Threads are arranged in squares, 0 1 above 2 3: two of them read the same rows and two the same
    columns. What several threads read at once is read from shared memory only once.
    """
    squares = tile.columns // tile.thread_columns // 2  # side by side

    @device
    def corner():
        thread = uint32(cuda.threadIdx.x)
        row = int32((thread // 2 % 2 + thread // (4 * squares) * 2) * 4)
        column = int32((thread % 2 + thread // 4 % squares * 2) * 4)
        return row, column

    return corner


def _pieces(tile: Tile) -> tuple[Callable[..., Any], ...]:
    """What keeps and adds the sums of several blocks, each of which has rows * columns of them in memory.

    Neighbouring threads have neighbours there.
    """
    thread_rows, thread_columns, threads, size = tile.thread_rows, tile.thread_columns, tile.threads, tile.rows * tile.columns

    @device
    def put_piece(partial, block, sums):
        begin = uint32(block * uint32(size) + cuda.threadIdx.x)
        for i in range(thread_rows):
            for j in range(thread_columns):
                partial[uint32(begin + (i * thread_columns + j) * threads)] = sums[i, j]

    @device
    def add_pieces(partial, first, pieces, sums):
        sums[:] = 0
        for piece in range(pieces):
            begin = uint32(uint32(first + piece) * uint32(size) + cuda.threadIdx.x)
            for i in range(thread_rows):
                for j in range(thread_columns):
                    sums[i, j] += partial[uint32(begin + (i * thread_columns + j) * threads)]

    return put_piece, add_pieces


def _multiplication(tile: Tile, dtype: Any) -> Callable[..., Any]:
    """The innermost loop: add the products of the slabs, which begin at a and b for this thread.

    Most of its instructions should be multiplications. So a and b are int64, which need not be
    widened at each access. They advance by constants, so that the offsets of all reads are parts of
    the instructions. A separate counter ends the loop.
    """
    depth, thread_rows, thread_columns = tile.depth, tile.thread_rows, tile.thread_columns
    (a_pitch, b_pitch), (rows_apart, columns_apart) = tile.pitches, tile.apart

    @device
    def multiply(shared, a, b, sums):
        of_a, of_b = cuda.local.array(thread_rows, dtype), cuda.local.array(thread_columns, dtype)
        left = int32(depth)
        while left > 0:
            for i in range(0, thread_rows, 4):
                of_a[i], of_a[i + 1], of_a[i + 2], of_a[i + 3] = load4(shared, a + i // 4 * rows_apart)
            for j in range(0, thread_columns, 4):
                of_b[j], of_b[j + 1], of_b[j + 2], of_b[j + 3] = load4(shared, b + j // 4 * columns_apart)
            for i in range(thread_rows):
                for j in range(thread_columns):
                    sums[i, j] += of_a[i] * of_b[j]
            a += a_pitch
            b += b_pitch
            left = int32(left - 1)

    return multiply


def _write(tile: Tile, dtype: Any, place: Callable[..., Any], width: int) -> Callable[..., Any]:
    """Add the bias to the sums and write the leaky ReLU of that to C, except what is beyond its edges.

    place(m, g) is negative if C has no row m.
    """
    thread_rows, thread_columns, (rows_apart, columns_apart) = tile.thread_rows, tile.thread_columns, tile.apart

    @device
    def write(c, sums, bias, slope, row, column, g):
        for j in range(thread_columns):
            n = uint32(column + j // 4 * columns_apart + j % 4)
            shift = bias[n] if n < uint32(bias.size) else dtype(0)
            for i in range(thread_rows):
                value = sums[i, j] + shift
                sums[i, j] = leaky(value, value, slope)
        for i in range(thread_rows):
            m = int32(row + i // 4 * rows_apart + i % 4)
            start = place(m, g) if uint32(m) < uint32(g.m) else int32(-1)
            if start >= 0:
                for j in range(0, thread_columns, 4):
                    n = int32(column + j // 4 * columns_apart)
                    if width == 4:
                        if n < g.n:
                            store4(c, uint32(start + n), sums[i, j], sums[i, j + 1], sums[i, j + 2], sums[i, j + 3])
                    else:
                        for l in range(4):
                            if n + l < g.n:
                                c[uint32(start + n + l)] = sums[i, j + l]

    return write
