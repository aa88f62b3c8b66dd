# mypy: allow-untyped-defs
"""What the machine can do at most: multiply-adds and bytes per second, and how soon one core reads what another has written."""

import functools
import threading
import time
from dataclasses import dataclass

import numpy
from numba.core import cgutils
from tinygen_kernels.cpu.atomic import exchange, read_atomically
from tinygen_kernels.cpu.compiled import compiled
from tinygen_kernels.cpu.parallel import launch_shared
from tinygen_kernels.cpu.simd import PIXELS, VECTORS, tile_width
from tinygen_kernels.cpu.vector import intrinsic

from tinygen.bench.protocol import Protocol

_SUMS = PIXELS * VECTORS  # in registers: more than a core has multiply-adds under way, so that none waits for another
_STEPS = 1 << 20  # about 6 ms
_NUMBERS = 1 << 25  # an array of these fits into no cache
_PIECES = 64  # of that array, which the threads share
_REPEATS = 15
_TURNS = 1 << 12  # in which two threads hand a number to each other, some 0.2 to 1 ms


@dataclass(frozen=True)
class Machine:
    """gflops: 10^9 operations per second, a multiply-add as two. gigabytes: 10^9 bytes read and written per second."""

    gflops: float
    gigabytes: float


def machine(protocol: Protocol, dtype: str) -> Machine:
    """What this machine reaches by the protocol: the best of many trials."""
    size, threads = numpy.dtype(dtype), protocol.threads
    numbers = numpy.full(threads * _SUMS * tile_width(size) // VECTORS, 0.5, dtype)
    seconds = protocol.best(lambda: launch_shared(_multiply_adds, threads, threads, numbers, threads, _STEPS), _REPEATS)
    x, y = numpy.ones((2, _NUMBERS), dtype)
    copying = protocol.best(lambda: launch_shared(_double, _PIECES, threads, x, y, _PIECES), _REPEATS)
    return Machine(2 * numbers.size * _STEPS / seconds / 1e9, (x.nbytes + y.nbytes) / copying / 1e9)


def handover() -> float:
    """The seconds until one thread reads what another has written: the least of several trials."""
    return min(_turns() for _ in range(_REPEATS)) / _TURNS


def _turns() -> float:
    board = numpy.zeros(1, numpy.int64)
    other = threading.Thread(target=_take_turns, args=(board, 1, 4 + _TURNS))
    other.start()
    _take_turns(board, 0, 4)  # until the other thread runs
    started = time.perf_counter()
    _take_turns(board, 4, 4 + _TURNS)
    seconds = time.perf_counter() - started
    other.join()
    return seconds


@functools.partial(compiled, nogil=True)
def _take_turns(board, first, turns):
    for turn in range(first, turns, 2):
        while read_atomically(board, 0) < turn:
            pass
        exchange(board, 0, turn + 1)


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


def _multiply_adds(item, numbers, items, steps):
    _fused_multiply_adds(numbers, item * numbers.size // items, steps)


def _double(item, x, y, items):
    here = slice(item * x.size // items, (item + 1) * x.size // items)
    x, y = x[here], y[here]
    for i in range(x.size):
        y[i] = x[i] + x[i]
