"""How the kernels of this package are compiled and started."""

import functools
import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy
from numba import prange
from numba.extending import register_jitable

from tinygen_kernels.cpu.cache import Cache

# Marks a function that kernels call. It is compiled as a part of each of them.
helper = functools.cache(register_jitable(error_model="numpy"))

# `parallel=True` would also make array expressions parallel, one region each, and a region costs more than most of them.
_ELSE = ("numpy", "reduction", "inplace_binop", "setitem", "comprehension", "stencil")
_ONLY_PRANGE = {"prange": True, **dict.fromkeys(_ELSE, False)}

# Starting threads takes as long as work on so many numbers.
WORTH_THREADS = 1 << 16

# Numba's portable threads abort the process when two Python threads start work at once.
_one_at_a_time = threading.Lock()

_threads_started, _threads_lost = False, False


def threads() -> int:
    """How many threads share a loop.

    Threads do not survive a fork, and the lock may be held by one of them: a child that was forked after they were started goes on alone.
    """
    global _threads_started
    if _threads_lost:
        return 1
    _threads_started = True
    return numba.get_num_threads()


def _after_fork() -> None:
    global _threads_lost
    _threads_lost = _threads_started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function, compiled when it is first called and kept for the next run."""
    dispatcher: Any = numba.njit(function, error_model="numpy", **options)
    dispatcher._cache = Cache(function)
    return dispatcher


def launch(kernel: Callable[..., None], items: int, *arguments: Any) -> None:
    """kernel(item, *arguments) for each item < items, compiled, by as many threads as the work is worth.

    An item is written for one thread. What it adds up follows from shapes alone, never from the number of threads, and no two write
    the same place: so the same bits come out on every machine of the same kind.
    """
    size = 0
    for argument in arguments:  # a sum of a generator takes three times as long, which small networks notice
        if type(argument) is numpy.ndarray:
            size += argument.size
    if size < WORTH_THREADS or threads() == 1:
        _loop(kernel, False)(items, *arguments)
    else:
        with _one_at_a_time:
            _loop(kernel, True)(items, *arguments)


@functools.cache
def _loop(kernel: Callable[..., None], shared: bool) -> Callable[..., None]:
    """The loop over items, with the kernel's own parameters in place of *arguments, which Numba is slower to call with."""
    item, *others = inspect.signature(kernel).parameters
    name, parameters = f"{kernel.__name__}_{'shared' if shared else 'alone'}", ", ".join(others)
    source = f"def {name}(_items, {parameters}):\n for {item} in prange(_items):\n  _kernel({item}, {parameters})"
    namespace: dict[str, Any] = {"prange": prange, "_kernel": helper(kernel), "__name__": kernel.__module__}
    exec(compile(source, kernel.__code__.co_filename, "exec"), namespace)  # the file is a part of the name under which it is kept
    return compiled(namespace[name], parallel=shared and _ONLY_PRANGE)
