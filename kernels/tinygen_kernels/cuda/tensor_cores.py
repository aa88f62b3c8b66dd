# mypy: allow-untyped-defs
"""The same matrix product by tensor cores: the factors in TF32, the sums in float32.

A *tensor core* multiplies small matrices at once. All GPUs since the A100 have them for TF32, a
float32 of whose 23 bits of mantissa only the first 10 are used. One instruction of a *warp*, which
is 32 threads, computes

    D (16, 8) = C (16, 8) + A (16, 8) B (8, 8)

which are 1,024 multiply-adds, where 32 threads would do 32. Rounding changes a factor by at most
2^-11 of itself, so a product by about 2^-10. The products are exact. Their sums are in float32, but
they are not rounded as IEEE 754 rounds: a tensor core shifts the addends of one instruction to the
largest exponent among them and truncates them, so the error leans towards zero (Fasi et al., 2021,
"Numerical behavior of NVIDIA tensor cores").

**Fragments.** No thread has a whole matrix. Each has a *fragment*: four numbers of A, two of B and
four of C, in its registers. With group = lane // 4 and member = lane % 4 for thread `lane` of the
warp, these are (PTX ISA, "Matrix fragments for mma.m16n8k8")

    a0  A[group, member]      a1  A[group + 8, member]      b0  B[member, group]
    a2  A[group, member + 4]  a3  A[group + 8, member + 4]  b1  B[member + 4, group]

    c0  C[group, 2 member]      c1  C[group, 2 member + 1]
    c2  C[group + 8, 2 member]  c3  C[group + 8, 2 member + 1]

**Which rows and columns.** A product does not depend on the order of the rows of A and of the
columns of B. So any 16 rows of the tile may be the rows of one instruction, and any 8 columns its
columns. They are chosen so that a thread gets groups of four neighbours in both directions, as it
would if it multiplied for itself. Then all else stays as it is in `tile.py`. A warp computes 32
rows and 32 columns (in `LARGE` twice) by 8 instructions (i, j), for i < 2 and j < 4. With

    offset(n) = 0, 8, 16, 24, 4, 12, 20, 28   for n = 0 ... 7

instruction (i, j) takes

    rows group and group + 8 from    offset(group) + 2 i and offset(group) + 2 i + 1
    column n from                    offset(n) + j

So a thread reads rows offset(group) + 0, 1, 2, 3 of A and columns offset(group) + 0, 1, 2, 3 of B,
at k = member and at k = member + 4. It gets those four rows of C and, for the columns 2 member and
2 member + 1 of the instructions, columns offset(2 member) + 0, 1, 2, 3 and the four that are 8
further.

**Registers and banks.** The numbers of a fragment must be in neighbouring registers. So one
instruction reads a0 and a1, which is why their rows are neighbours, and b0 and b1 are read one by
one. The slabs are (depth, rows + 2) and (depth, columns + 1). So the 32 threads read b0 from 32
banks, member + offset(group) + j, and the 16 threads of four neighbouring groups read a0 and a1
from 32.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy
from numba import cuda, float32, int32, int64, types, uint64

from tinygen_kernels.cuda.compiler import SIMULATED, device
from tinygen_kernels.cuda.memory import load2
from tinygen_kernels.cuda.tile import Operand, Tile
from tinygen_kernels.cuda.tile import gemm as tile_gemm

LARGE = Tile(128, 128, 16, 8, 8, tensor_cores=True)
SMALL = Tile(64, 64, 16, 4, 8, tensor_cores=True)
TINY = Tile(32, 32, 8, 4, 8, tensor_cores=True)  # one warp, for the simulator


def gemm(tile: Tile, dtype: Any, a_operand: Operand, b_operand: Operand, place: Callable[..., Any], width: int) -> Callable[..., Any]:
    """`tile.gemm` for a tile with eight columns for each thread."""
    return tile_gemm(tile, dtype, _rounded(a_operand), _rounded(b_operand), place, width, (_corner(tile), _multiplication(tile)))


def _rounded(operand: Operand) -> Operand:
    """The operand, whose numbers are rounded on their way into shared memory, each once."""
    items, put = operand.items, operand.put

    @device
    def put_rounded(shared, slab, out):
        for i in range(items):
            out[i] = to_tf32(out[i])
        put(shared, slab, out)

    return operand._replace(put=put_rounded)


@device
def _lane():
    """(group, member) of the thread."""
    lane = int32(cuda.threadIdx.x % 32)
    return int32(lane // 4), int32(lane % 4)


@device
def _offset(n):
    return int32(n % 4 * 8 + n // 4 * 4)


def _corner(tile: Tile) -> Callable[..., Any]:
    """Warps are arranged in columns."""
    down = tile.rows // tile.thread_rows // 8  # warps one below the other

    @device
    def corner():
        warp, (group, member) = int32(cuda.threadIdx.x // 32), _lane()
        return int32(warp % down * 32 + _offset(group)), int32(warp // down * 32 + _offset(2 * member))

    return corner


def _multiplication(tile: Tile) -> Callable[..., Any]:
    """The innermost loop, which takes eight k at a time, those at member and those at member + 4."""
    depth, thread_rows, (a_pitch, b_pitch), (rows_apart, _) = tile.depth, tile.thread_rows, tile.pitches, tile.apart

    @device
    def multiply(shared, a, b, sums):
        of_a, of_b = cuda.local.array((2, thread_rows), float32), cuda.local.array((2, 4), float32)
        group, member = _lane()
        a += int64(member * a_pitch)
        b += int64(member * b_pitch + _offset(group) - _offset(2 * member))
        left = int32(depth)
        while left > 0:
            for half in range(2):
                for i in range(0, thread_rows, 2):
                    of_a[half, i], of_a[half, i + 1] = load2(shared, a + half * (4 * a_pitch) + i // 4 * rows_apart + i % 4)
                for j in range(4):
                    of_b[half, j] = shared[uint64(b + half * (4 * b_pitch) + j)]
            for i in range(0, thread_rows, 2):
                for j in range(4):
                    sums[i, j], sums[i, j + 4], sums[i + 1, j], sums[i + 1, j + 4] = mma(
                        (sums[i, j], sums[i, j + 4], sums[i + 1, j], sums[i + 1, j + 4]),
                        (of_a[0, i], of_a[0, i + 1], of_a[1, i], of_a[1, i + 1]),
                        (of_b[0, j], of_b[1, j]),
                    )
            a += 8 * a_pitch
            b += 8 * b_pitch
            left = int32(left - 8)

    return multiply


# Two functions that Numba does not have:
#
#     to_tf32(x)     x rounded to TF32, the even halves away from zero
#     mma(c, a, b)   the thread's fragment of C + A B, whose fragments are tuples

if SIMULATED:
    _GROUP, _MEMBER = (digits[:, None] for digits in divmod(numpy.arange(32), 4))
    # The rows and the columns of the numbers of each lane.
    _IN_A = numpy.add(_GROUP, [0, 8, 0, 8]), numpy.add(_MEMBER, [0, 0, 4, 4])
    _IN_B = numpy.add(_MEMBER, [0, 4]), numpy.add(_GROUP, [0, 0])
    _IN_C = numpy.add(_GROUP, [0, 0, 8, 8]), numpy.add(2 * _MEMBER, [0, 1, 0, 1])

    def _tf32(bits):
        return (bits & numpy.uint32(0xFFFFE000)).view(numpy.float32)

    def to_tf32(x):
        return _tf32(numpy.float32(x).view(numpy.uint32) + numpy.uint32(1 << 12))

    _fragments: dict[int, Any] = {}  # of C, A and B, of each thread of the block

    def mma(c, a, b):
        thread = threading.current_thread()  # the simulator's, whose barrier stands for the warp's
        _fragments[thread.threadIdx.x] = c, a, b
        thread.syncthreads()
        first = thread.threadIdx.x // 32 * 32
        c, a, b = (numpy.array(x, numpy.float32) for x in zip(*(_fragments[first + lane] for lane in range(32)), strict=True))
        whole_a, whole_b, whole_c = numpy.empty((16, 8)), numpy.empty((8, 8)), numpy.empty((16, 8))
        whole_a[_IN_A], whole_b[_IN_B], whole_c[_IN_C] = _tf32(a.view(numpy.uint32)), _tf32(b.view(numpy.uint32)), c
        with numpy.errstate(invalid="ignore"):  # infinity times 0
            d = numpy.float32(whole_c + whole_a @ whole_b)[_IN_C]
        thread.syncthreads()
        return d[thread.threadIdx.x - first]

else:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    _FLOAT, _BITS = ir.FloatType(), ir.IntType(32)

    def _instruction(builder, text, constraints, result, arguments):
        """An instruction of PTX. A warp executes it together, so it is not moved into a branch."""
        function = ir.InlineAsm(ir.FunctionType(result, [argument.type for argument in arguments]), text, constraints)
        return builder.call(function, arguments, attrs=("convergent",))

    @intrinsic
    def to_tf32(typing_context, x):
        def generate(context, builder, signature, arguments):
            bits = _instruction(builder, "cvt.rna.tf32.f32 $0, $1;", "=r,f", _BITS, arguments)
            return builder.bitcast(bits, _FLOAT)

        return types.float32(types.float32), generate

    @intrinsic
    def mma(typing_context, c, a, b):
        def generate(context, builder, signature, arguments):
            of_c, of_a, of_b = ([builder.extract_value(x, i) for i in range(n)] for x, n in zip(arguments, (4, 4, 2), strict=True))
            text = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
            constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
            factors = [builder.bitcast(x, _BITS) for x in (*of_a, *of_b)]
            d = _instruction(builder, text, constraints, ir.LiteralStructType([_FLOAT] * 4), [*factors, *of_c])
            return context.make_tuple(builder, signature.return_type, [builder.extract_value(d, i) for i in range(4)])

        return types.UniTuple(types.float32, 4)(*(types.UniTuple(types.float32, n) for n in (4, 4, 2))), generate
