"""Vector instructions, for loops that the compiler does not vectorise well enough by itself.

An *intrinsic* is a Python function that runs once, at compile time. It appends instructions of LLVM
(the compiler behind Numba) to the compiled function that calls it, so a Python loop in it writes
the same instruction many times. Some of these instructions:

    gep p, i              the address of the i-th element after p
    masked load, store    accesses only the lanes whose mask is on
    splat                 one number copied into all lanes of a vector
    fmuladd a, b, c       a*b + c in all lanes
    alloca                a local variable; LLVM turns the accumulators into registers
    prefetch              asks for a cache line that is needed soon, without waiting for it
"""

import functools
import platform
from collections.abc import Callable, Iterator
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

# Of the processor that Numba compiles for; NUMBA_CPU_NAME and NUMBA_CPU_FEATURES can change it.
_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
VECTOR_BYTES, REGISTERS = (64, 32) if "+avx512f" in _FEATURES else (32, 16) if "+avx" in _FEATURES else (16, 16)
# The assembler's constraint for a vector register.
_VECTOR_REGISTER = "=w," if platform.machine() in ("aarch64", "arm64") else "=v,"
LINE_BYTES = 64  # of a cache line

int32, int64 = ir.IntType(32), ir.IntType(64)


class Writer:
    """Appends instructions on vectors whose element type is that of a pointer.

    The vectors fill a register, or have `lanes` elements if that is given.
    """

    def __init__(self, builder: Any, pointer: Any, lanes: int = 0):
        element = pointer.type.pointee
        self.builder = builder
        self.bytes = 8 if element in (ir.DoubleType(), int64) else 4
        self.lanes = lanes or VECTOR_BYTES // self.bytes
        self.vector = ir.VectorType(element, self.lanes)
        self.zeros = ir.Constant(self.vector, None)
        self.mask_type = ir.VectorType(ir.IntType(1), self.lanes)
        self.all = self.mask_type([True] * self.lanes)
        self.name = f"v{self.lanes}{'i' if isinstance(element, ir.IntType) else 'f'}{8 * self.bytes}"

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index if isinstance(index, ir.Value) else int64(index)])

    def integer(self, pointer: Any, index: Any) -> Any:
        return self.builder.sext(self.builder.load(self.at(pointer, index)), int64)

    def splat(self, pointer: Any, index: Any) -> Any:
        return self.splat_of(self.builder.load(self.at(pointer, index)))

    def splat_of(self, number: Any) -> Any:
        """A number, or the low bits of a longer integer, in all lanes."""
        if number.type != self.vector.element:
            number = self.builder.trunc(number, self.vector.element)
        return self._in_all_lanes(number)

    def constant(self, number: float) -> Any:
        return self.vector([number] * self.lanes)

    def leaky(self, x: Any, slope: Any) -> Any:
        """As `elementwise.leaky`, where x is also what decides on the sign."""
        builder, zeros = self.builder, self.zeros
        scales = self.lanes_if(builder.fcmp_unordered("!=", slope, slope.type(0.0)))
        scaled = builder.select(scales, builder.fmul(x, self.splat_of(slope)), zeros)
        return builder.select(builder.fcmp_ordered("<=", x, zeros), scaled, x)

    def either(self, condition: Any) -> Iterator[bool]:
        """Yields True, and what is appended then runs if the condition holds; then False, likewise."""
        with self.builder.if_else(condition) as (then, otherwise):
            with then:
                yield True
            with otherwise:
                yield False

    def parts(self, count: Any, vectors: int) -> Iterator[tuple[Any, list[Any]]]:
        """The parts of a row of `count` elements: yields the start of a part, and a mask for each vector in it.

        What is appended then runs for each part. There are three kinds: `vectors` whole vectors, whose
        masks are None, one whole vector, and the elements after the last whole one.
        """
        length, lanes = int64(vectors * self.lanes), int64(self.lanes)
        end = self.builder.mul(self.builder.sdiv(count, length), length)
        with cgutils.for_range_slice(self.builder, int64(0), end, length, int64) as (start, _):
            yield start, [None] * vectors
        with cgutils.for_range_slice(self.builder, end, count, lanes, int64) as (start, _):
            left = self.builder.sub(count, start)
            for whole in self.either(self.builder.icmp_signed(">=", left, lanes)):
                yield start, [None if whole else self.mask(left, 0)]

    def mask(self, count: Any, vector: int) -> Any:
        """The lanes of a row's vector number `vector` that are among its first `count` elements."""
        return self._call(f"llvm.get.active.lane.mask.v{self.lanes}i1.i64", self.mask_type, [int64(vector * self.lanes), count])

    def lanes_if(self, condition: Any) -> Any:
        """The mask of all lanes if the condition holds, and else of none."""
        return self._in_all_lanes(condition)

    def load(self, pointer: Any, vector: int, mask: Any = None) -> Any:
        arguments = [self._vector_at(pointer, vector), int32(self.bytes), mask or self.all, self.zeros]
        return self._call(f"llvm.masked.load.{self.name}.p0", self.vector, arguments)

    def store(self, value: Any, pointer: Any, vector: int, mask: Any = None) -> None:
        arguments = [value, self._vector_at(pointer, vector), int32(self.bytes), mask or self.all]
        self._call(f"llvm.masked.store.{self.name}.p0", ir.VoidType(), arguments)

    def accumulators(self, rows: int, vectors: int) -> list[list[Any]]:
        return [[cgutils.alloca_once(self.builder, self.vector) for _ in range(vectors)] for _ in range(rows)]

    def multiply_add(self, accumulators: list[Any], a: Any, vectors: list[Any]) -> None:
        for accumulator, b in zip(accumulators, vectors, strict=True):
            self.builder.store(self.fused(a, b, self.builder.load(accumulator)), accumulator)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """a*b + c, rounded once where the processor can."""
        return self._call(f"llvm.fmuladd.{self.name}", self.vector, [a, b, c])

    def keep_order(self, accumulators: list[Any]) -> None:
        """Keep LLVM from moving loads across this point.

        LLVM would load the values of all rows before it uses the first one, and run out of
        registers. This inserts assembly without instructions, which LLVM cannot look into. The
        assembly takes an accumulator and returns it: "=v" ("=w" on ARM) asks for a vector register
        for the result, and "0" for the same register for what it takes.
        """
        same, constraints = ir.FunctionType(self.vector, [self.vector]), _VECTOR_REGISTER + "0,~{memory}"
        for a in accumulators:
            self.builder.store(self.builder.asm(same, "", constraints, [self.builder.load(a)], side_effect=True), a)

    def prefetch(self, pointer: Any, to_write: bool) -> None:
        address = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        access, nearness = (1, 3) if to_write else (0, 2)  # 3: first-level cache, 2: second-level
        self._call("llvm.prefetch.p0", ir.VoidType(), [address, int32(access), int32(nearness), int32(1)])

    def _in_all_lanes(self, value: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, value, int32(0))
        return self.builder.shuffle_vector(first, undefined, ir.VectorType(int32, self.lanes)([0] * self.lanes))

    def _vector_at(self, pointer: Any, vector: int) -> Any:
        return self.builder.bitcast(self.at(pointer, vector * self.lanes), self.vector.as_pointer())

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), arguments)


def intrinsic(write: Callable[..., None]) -> Any:
    """Make `write`, which appends instructions, callable from compiled functions.

    It gets a Writer, which the callers do not pass, then their arguments, arrays as addresses.
    """

    @functools.wraps(write)  # keeps its parameters; Numba uses the first one itself
    def declare(_typing: Any, *kinds: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            arguments = [
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            write(Writer(builder, arguments[0]), *arguments)
            return context.get_dummy_value()

        return types.void(*(kind if isinstance(kind, types.Array) else types.intp for kind in kinds)), lower

    return numba.extending.intrinsic(declare)
