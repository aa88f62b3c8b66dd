# mypy: allow-untyped-defs
"""What the machine can do at most: multiply-adds and bytes per second, measured."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygen_kernels.bench.protocol import Protocol
from tinygen_kernels.cpu.simd import PIXELS, VECTORS, tile_width

_SUMS = PIXELS * VECTORS  # in registers: more than a core has multiply-adds under way, so that none waits for another
_STEPS = 1 << 20  # about 6 ms
_NUMBERS = 1 << 25  # an array of these fits into no cache
_REPEATS = 15

_njit: Any = numba.njit  # not the kernels' own `parallel`, which leaves small arrays to one thread
_parallel = _njit(cache=True, parallel=True)


@dataclass(frozen=True)
class Machine:
    """gflops: 10^9 operations per second, a multiply-add as two. gigabytes: 10^9 bytes read and written per second."""

    gflops: float
    gigabytes: float


def machine(protocol: Protocol, dtype: str) -> Machine:
    """What this machine reaches by the protocol: the best of many trials."""
    size = numpy.dtype(dtype)
    numbers = numpy.full(protocol.threads * _SUMS * tile_width(size) // VECTORS, 0.5, dtype)
    seconds = protocol.best(lambda: _multiply_adds(numbers, protocol.threads, _STEPS), _REPEATS)
    x, y = numpy.ones((2, _NUMBERS), dtype)
    copying = protocol.best(lambda: _double(x, y, 4 * protocol.threads), _REPEATS)
    return Machine(2 * numbers.size * _STEPS / seconds / 1e9, (x.nbytes + y.nbytes) / copying / 1e9)


@intrinsic
def _fused_multiply_adds(_typing, numbers, start, steps):
    """`steps` rounds of sum += factor * factor for _SUMS vectors of sums, which lie at numbers[start:]; the first is the factor, too."""
    signature = types.void(numbers, types.intp, types.intp)

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, start, steps = arguments
        kind = signature.args[0]
        first = builder.gep(context.make_array(kind)(context, builder, array).data, [start])
        lanes = tile_width(numpy.dtype(str(kind.dtype))) // VECTORS
        vector = ir.VectorType(first.type.pointee, lanes)
        size = kind.dtype.bitwidth // 8
        places = [builder.bitcast(builder.gep(first, [ir.IntType(64)(i * lanes)]), vector.as_pointer()) for i in range(_SUMS)]
        sums = [cgutils.alloca_once(builder, vector) for _ in places]
        for place, total in zip(places, sums, strict=True):
            builder.store(builder.load(place, align=size), total)
        factor = builder.load(places[0], align=size)
        name = f"llvm.fma.v{lanes}f{8 * size}"
        multiply_add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        with cgutils.for_range(builder, steps):
            for total in sums:
                builder.store(builder.call(multiply_add, [factor, factor, builder.load(total)]), total)
        for place, total in zip(places, sums, strict=True):
            builder.store(builder.load(total), place, align=size)
        return context.get_dummy_value()

    return signature, write


@_parallel
def _multiply_adds(numbers, items, steps):
    for item in prange(items):
        _fused_multiply_adds(numbers, item * numbers.size // items, steps)


@_njit(cache=True)
def _double_part(x, y):
    for i in range(x.size):
        y[i] = x[i] + x[i]


@_parallel
def _double(x, y, items):
    for item in prange(items):
        low = item * x.size // items
        high = (item + 1) * x.size // items
        _double_part(x[low:high], y[low:high])
