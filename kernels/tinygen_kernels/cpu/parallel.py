"""How the kernels of this package are compiled and started."""

import functools
import threading
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy

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
        if sum(a.size for a in arguments if isinstance(a, numpy.ndarray)) < WORTH_THREADS or threads() == 1:
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
