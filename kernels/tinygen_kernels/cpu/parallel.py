"""How the kernels of this package are compiled and started, and the memory that they work in."""

import functools
import math
import threading
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy

from tinygen_kernels import Array

_njit: Any = numba.njit  # its own type does not know that `parallel` may be a dictionary

# Numba loads machine code from its cache when the *file* of a function is unchanged. After a change in simd.py or vector.py, or in
# a helper imported from another file, delete the folder __pycache__ beside it.
serial = _njit(cache=True, error_model="numpy")

# `parallel=True` would also make array expressions parallel, one region each, and a region costs more than most of them.
_ELSE = ("numpy", "reduction", "inplace_binop", "setitem", "comprehension", "stencil")
_ONLY_PRANGE = {"prange": True, **dict.fromkeys(_ELSE, False)}

# Starting threads takes as long as work on so many numbers.
WORTH_THREADS = 1 << 16

# Numba's portable threads abort the process when two Python threads start work at once.
_one_at_a_time = threading.Lock()

threads = numba.get_num_threads


def parallel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function that has one `prange` loop, and let one Python thread at a time start it.

    Each round of the loop is one item of work. What an item adds up follows from shapes alone, never from the number of threads,
    and no two write the same place: so the same bits come out on every machine of the same kind. Little work, or work for a
    single thread, is done by the loop compiled as an ordinary one.
    """
    shared = _njit(cache=True, error_model="numpy", parallel=_ONLY_PRANGE)(function)
    alone = serial(_renamed(function, function.__qualname__ + "_alone"))

    @functools.wraps(function)
    def launch(*arguments: Any) -> None:
        if threads() == 1 or sum(a.size for a in arguments if isinstance(a, numpy.ndarray)) < WORTH_THREADS:
            alone(*arguments)
        else:
            with _one_at_a_time:
                shared(*arguments)

    return launch


def _renamed(function: Callable[..., None], name: str) -> Callable[..., None]:
    """A copy under another name: Numba's cache tells functions apart by name and place, not by how they were compiled."""
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = name
    return copy


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only where they do not lie so.

    Kernels take nothing else (one-dimensional, contiguous, writable in Numba's eyes), so each is compiled once for a dtype.
    """
    elements = array.ravel()
    return elements if elements.flags.carray else elements.copy()


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array that starts on a cache line: vector loads from it never straddle two. NumPy promises 16 bytes, a line has 64."""
    count = shape if isinstance(shape, int) else math.prod(shape)
    memory = numpy.empty(count * numpy.dtype(dtype).itemsize + 64, numpy.uint8)
    start = -memory.__array_interface__["data"][0] % 64
    return numpy.ndarray(shape, dtype, memory, start)
