"""How the kernels of this package are compiled and started."""

import functools
import threading
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy
from numba import prange
from numba.extending import register_jitable

_njit: Any = numba.njit  # its own type does not know that `parallel` may be a dictionary

# Numba loads machine code from its cache when the *file* of a function is unchanged. After a change in simd.py or vector.py, or in
# a helper imported from another file, delete the folder __pycache__ beside it.
serial = _njit(cache=True, error_model="numpy")

# Lets compiled loops call a kernel. It returns the function itself, whose name is the same in the next process, as Numba's cache needs.
_callable = functools.cache(register_jitable(error_model="numpy"))

# `parallel=True` would also make array expressions parallel, one region each, and a region costs more than most of them.
_ELSE = ("numpy", "reduction", "inplace_binop", "setitem", "comprehension", "stencil")
_ONLY_PRANGE = {"prange": True, **dict.fromkeys(_ELSE, False)}

# Starting threads takes as long as work on so many numbers.
WORTH_THREADS = 1 << 16

# Numba's portable threads abort the process when two Python threads start work at once.
_one_at_a_time = threading.Lock()

threads = numba.get_num_threads


def launch(kernel: Callable[..., None], items: int, *arguments: Any) -> None:
    """kernel(item, *arguments) for each item < items, compiled, by as many threads as the work is worth.

    An item is written for one thread. What it adds up follows from shapes alone, never from the number of threads, and no two write
    the same place: so the same bits come out on every machine of the same kind.
    """
    if sum(a.size for a in arguments if isinstance(a, numpy.ndarray)) < WORTH_THREADS or threads() == 1:
        _loop(kernel, False)(items, *arguments)
    else:
        with _one_at_a_time:
            _loop(kernel, True)(items, *arguments)


@functools.cache
def _loop(kernel: Callable[..., None], shared: bool) -> Callable[..., None]:
    work = _callable(kernel)

    def over_items(items, *arguments):  # type: ignore[no-untyped-def]
        for item in prange(items):
            work(item, *arguments)

    # Numba's cache knows a function by its file, line and name: those of the kernel, so that the code is made anew when it changes.
    place = kernel.__code__
    name = f"{kernel.__name__}_{'shared' if shared else 'alone'}"
    code = over_items.__code__.replace(co_filename=place.co_filename, co_firstlineno=place.co_firstlineno, co_name=name, co_qualname=name)
    loop = types.FunctionType(code, {"prange": prange, "__name__": kernel.__module__}, name, None, over_items.__closure__)
    return _njit(cache=True, error_model="numpy", parallel=shared and _ONLY_PRANGE)(loop)
