# mypy: allow-untyped-defs
"""Register tiles: the innermost loops of the convolutions, written in the processor's vector instructions.

A core can start two vector multiply-adds per cycle, each on 16 float32 numbers at once (AVX-512), but it reads only about two
vectors per cycle. A plain loop `y[k] += x * w[k]` reads two vectors and writes one for every multiply-add, so it spends its time
moving data. The cure is to hold a block of results in registers, the few numbers that a core can reach for nothing, and to use
each loaded value for many of them. That block is a *register tile*:

                      w[0:16]     w[16:32]           2 loaded vectors
        x0, 16 times  acc[0][0]   acc[0][1]
        x1, 16 times  acc[1][0]   acc[1][1]          each step adds x_i * w_j to all acc[i][j]
         ...             ...         ...
        x13           acc[13][0]  acc[13][1]         28 accumulators

AVX-512 has 32 vector registers: 14 x 2 accumulators, 2 for w and 1 for x leave one to spare. A step loads 16 values and does 28
multiply-adds, and as these are independent, the processor never waits for one to finish. AVX2 and SSE have 16 registers: 6 x 2.

Numba's compiler does not keep such a block in registers by itself, so the instructions are written out here. An `intrinsic` is a
Python function that runs once, at compile time, and appends instructions of LLVM (the compiler behind Numba) to the function
that calls it; a Python loop here thus writes the same instruction many times. The instructions in use:

    gep p, i              the address of the i-th element after p
    load, store           a number or a whole vector from or to memory
    masked load, store    only the lanes whose mask is on; the other lanes of memory are not touched
    splat                 one number copied into all lanes of a vector
    fmuladd a, b, c       a*b + c in all lanes
    select c, a, b        a if c else b, without a jump
    alloca                a local variable. LLVM turns those of the accumulators into registers
    prefetch              ask memory for a cache line that will be read soon, and go on without waiting for it
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

# The processor that Numba compiles for, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES can change.
_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
_VECTOR_BYTES, _REGISTERS = (64, 32) if "+avx512f" in _FEATURES else (32, 16) if "+avx" in _FEATURES else (16, 16)

VECTORS = 2  # in a row of a tile
PIXELS = 14 if _REGISTERS == 32 else 6  # rows of the gather tile
ROWS = range(9, 15) if _REGISTERS == 32 else range(4, 7)  # of the outer tile: as many as waste least of the last one
_LINE_BYTES = 64  # of memory, that come into a cache together

_int32, _int64 = ir.IntType(32), ir.IntType(64)


def tile_width(dtype: Any) -> int:
    """The numbers in a row of a tile."""
    return VECTORS * _VECTOR_BYTES // dtype.itemsize


class _Writer:
    """Appends instructions on vectors of the element type of a pointer."""

    def __init__(self, builder: Any, pointer: Any):
        element = pointer.type.pointee
        self.builder = builder
        self.bytes = 4 if element == ir.FloatType() else 8
        self.lanes = _VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(element, self.lanes)
        self.name = f"v{self.lanes}f{8 * self.bytes}"

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index if isinstance(index, ir.Value) else _int64(index)])

    def integer(self, pointer: Any, index: Any) -> Any:
        return self.builder.sext(self.builder.load(self.at(pointer, index)), _int64)

    def number(self, pointer: Any, index: Any) -> Any:
        return self.splat(self.builder.load(self.at(pointer, index)), self.vector)

    def splat(self, value: Any, vector: Any) -> Any:
        undefined = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, _int32(0))
        return self.builder.shuffle_vector(first, undefined, ir.VectorType(_int32, self.lanes)([0] * self.lanes))

    def load(self, pointer: Any, vector: int) -> Any:
        return self.builder.load(self._vector_at(pointer, vector), align=self.bytes)

    def store(self, value: Any, pointer: Any, vector: int) -> None:
        self.builder.store(value, self._vector_at(pointer, vector), align=self.bytes)

    def mask(self, count: Any, vector: int) -> Any:
        """The lanes of the vector-th vector of a row that belong to its first `count` numbers."""
        integers = ir.VectorType(_int32, self.lanes)
        position = integers(list(range(vector * self.lanes, (vector + 1) * self.lanes)))
        return self.builder.icmp_signed("<", position, self.splat(self.builder.trunc(count, _int32), integers))

    def masked_load(self, pointer: Any, vector: int, mask: Any) -> Any:
        arguments = [self._vector_at(pointer, vector), _int32(self.bytes), mask, self.vector([0.0] * self.lanes)]
        return self._call(f"llvm.masked.load.{self.name}.p0", self.vector, arguments)

    def masked_store(self, value: Any, pointer: Any, vector: int, mask: Any) -> None:
        arguments = [value, self._vector_at(pointer, vector), _int32(self.bytes), mask]
        self._call(f"llvm.masked.store.{self.name}.p0", ir.VoidType(), arguments)

    def accumulators(self, rows: int) -> list[list[Any]]:
        return [[cgutils.alloca_once(self.builder, self.vector) for _ in range(VECTORS)] for _ in range(rows)]

    def multiply_add(self, accumulators: list[Any], a: Any, vectors: list[Any]) -> None:
        for accumulator, b in zip(accumulators, vectors, strict=True):
            total = self._call(f"llvm.fmuladd.{self.name}", self.vector, [a, b, self.builder.load(accumulator)])
            self.builder.store(total, accumulator)

    def keep_order(self, accumulators: list[Any]) -> None:
        """An empty instruction that takes and returns the accumulators, and that no load may cross.

        LLVM would load the values of all rows before it uses the first, and run out of registers.
        """
        together = ir.FunctionType(ir.LiteralStructType([self.vector] * VECTORS), [self.vector] * VECTORS)
        constraints = ",".join(["=v"] * VECTORS + [str(j) for j in range(VECTORS)] + ["~{memory}"])
        same = self.builder.asm(together, "", constraints, [self.builder.load(a) for a in accumulators], side_effect=True)
        for j, accumulator in enumerate(accumulators):
            self.builder.store(self.builder.extract_value(same, j), accumulator)

    def prefetch(self, pointer: Any, to_write: bool) -> None:
        address = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        access, nearness = (1, 3) if to_write else (0, 2)  # nearness 3 is the first cache, 2 the second
        self._call("llvm.prefetch.p0", ir.VoidType(), [address, _int32(access), _int32(nearness), _int32(1)])

    def _vector_at(self, pointer: Any, vector: int) -> Any:
        return self.builder.bitcast(self.at(pointer, vector * self.lanes), self.vector.as_pointer())

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)


def _intrinsic(write: Callable[..., None]) -> Any:
    """Make `write`, which appends instructions, a function that compiled functions can call. Arrays come to it as addresses."""

    @functools.wraps(write)  # with its parameters, of which Numba takes the first for something of its own
    def declare(_typing: Any, *kinds: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arguments = [
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            write(_Writer(builder, arguments[0]), *arguments)
            return context.get_dummy_value()

        return types.void(*(kind if isinstance(kind, types.Array) else types.intp for kind in kinds)), lower

    return intrinsic(declare)


@_intrinsic
def gather_tile(tile, x, x_start, table, row, length, zeros, w, w_start, bias, bias_start, y, y_start, count):
    """PIXELS output pixels of a convolution, a tile's width of channels each, of which the first `count` are stored.

    table[row] holds the number of taps, then where in y each pixel goes; the rows after it, one for each tap, hold the first row
    of the panel w to use and where in x each pixel reads, or a negative number to read zeros. A read is `length` numbers long.
    All places count elements from the given starts.
    """
    builder, width = tile.builder, VECTORS * tile.lanes
    pixels, vectors = range(PIXELS), range(VECTORS)
    x, w, bias, y = tile.at(x, x_start), tile.at(w, w_start), tile.at(bias, bias_start), tile.at(y, y_start)
    header = tile.at(table, builder.mul(row, _int64(PIXELS + 1)))
    targets = [tile.at(y, tile.integer(header, i + 1)) for i in pixels]
    masks = [tile.mask(count, j) for j in vectors]
    total = tile.accumulators(PIXELS)
    for j in vectors:
        start = tile.masked_load(bias, j, masks[j])
        for i in pixels:
            builder.store(start, total[i][j])
            tile.prefetch(tile.at(targets[i], j * tile.lanes), to_write=True)
    with cgutils.for_range(builder, tile.integer(header, 0)) as taps:
        tap = tile.at(header, builder.mul(builder.add(taps.index, _int64(1)), _int64(PIXELS + 1)))
        panel = tile.at(w, builder.mul(tile.integer(tap, 0), _int64(width)))
        sources = []
        for i in pixels:
            place = tile.integer(tap, i + 1)
            sources.append(builder.select(builder.icmp_signed("<", place, _int64(0)), zeros, tile.at(x, place)))
        with cgutils.for_range(builder, length) as channels:
            weights = tile.at(panel, builder.mul(channels.index, _int64(width)))
            loaded = [tile.load(weights, j) for j in vectors]
            for i in pixels:
                tile.multiply_add(total[i], tile.number(sources[i], channels.index), loaded)
    for i in pixels:
        for j in vectors:
            tile.masked_store(builder.load(total[i][j]), targets[i], j, masks[j])


@_intrinsic
def outer_tile(tile, x, x_start, places, first, rows, g, g_start, pairs, pair, pair_count, count, total, total_start):
    """total[i, :count] += sum over pairs (p, q) of x[p + places[first + i]] * g[q : q + count], for i < rows, one of ROWS.

    `total` is one tile, row after row; `pair_count` pairs are read from pairs[2*pair:]. Places count elements from the starts.
    """
    x, g, total = tile.at(x, x_start), tile.at(g, g_start), tile.at(total, total_start)
    places, pairs = tile.at(places, first), tile.at(pairs, tile.builder.mul(pair, _int64(2)))
    for height in ROWS:
        with tile.builder.if_then(tile.builder.icmp_signed("==", rows, _int64(height))):
            _outer_rows(tile, range(height), x, places, g, pairs, pair_count, count, total)


def _outer_rows(tile, rows, x, places, g, pairs, pair_count, count, total):
    builder, vectors = tile.builder, range(VECTORS)
    row_starts = [tile.at(x, tile.integer(places, i)) for i in rows]
    masks = [tile.mask(count, j) for j in vectors]
    sums = tile.accumulators(len(rows))
    for i in rows:
        for j in vectors:
            builder.store(tile.load(total, i * VECTORS + j), sums[i][j])
    with cgutils.for_range(builder, pair_count) as loop:
        pair = tile.at(pairs, builder.mul(loop.index, _int64(2)))
        place, g_row = tile.integer(pair, 0), tile.at(g, tile.integer(pair, 1))
        loaded = [tile.masked_load(g_row, j, masks[j]) for j in vectors]
        for i in rows:
            tile.multiply_add(sums[i], tile.number(row_starts[i], place), loaded)
            tile.keep_order(sums[i])
    for i in rows:
        for j in vectors:
            tile.store(builder.load(sums[i][j]), total, i * VECTORS + j)


@_intrinsic
def prefetch(tile, array, start, stop):
    """Ask for the elements start..stop, which need not exist."""
    with cgutils.for_range_slice(tile.builder, start, stop, _int64(_LINE_BYTES // tile.bytes), _int64) as (index, _):
        tile.prefetch(tile.at(array, index), to_write=False)
