# mypy: allow-untyped-defs
"""What the machine can do at most: multiply-adds and bytes per second, measured."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy
from numba import prange
from numba.core import cgutils
from tinygen_kernels.cpu.simd import PIXELS, VECTORS, tile_width
from tinygen_kernels.cpu.vector import intrinsic

from tinygen.bench.protocol import Protocol

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
    copying = protocol.best(lambda: _double(x, y), _REPEATS)
    return Machine(2 * numbers.size * _STEPS / seconds / 1e9, (x.nbytes + y.nbytes) / copying / 1e9)


@intrinsic
def _fused_multiply_adds(tile, numbers, start, steps):
    """`steps` rounds of sum += factor * factor for _SUMS vectors of sums, which lie at numbers[start:]; the first is the factor, too."""
    first, sums = tile.at(numbers, start), tile.accumulators(1, _SUMS)[0]
    for i, total in enumerate(sums):
        tile.builder.store(tile.load(first, i), total)
    factor = tile.load(first, 0)
    with cgutils.for_range(tile.builder, steps):
        tile.multiply_add(sums, factor, [factor] * _SUMS)
    for i, total in enumerate(sums):
        tile.store(tile.builder.load(total), first, i)


@_parallel
def _multiply_adds(numbers, items, steps):
    for item in prange(items):
        _fused_multiply_adds(numbers, item * numbers.size // items, steps)


@_parallel
def _double(x, y):
    for i in prange(x.size):
        y[i] = x[i] + x[i]
