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

# Decorator of a function that kernels call. The function is compiled into each of them.
helper = functools.cache(register_jitable(error_model="numpy"))

# Only loops over `prange` run in parallel. `parallel=True` would also make every array expression
# parallel, and starting the threads costs more than most array expressions.
_ONLY_PRANGE = {
    "prange": True,
    "numpy": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "comprehension": False,
    "stencil": False,
}

# Starting threads takes as long as work on about this many numbers.
WORTH_THREADS = 1 << 16

# Numba's workqueue aborts the process if two Python threads start parallel loops at once.
_one_at_a_time = threading.Lock()

_threads_started, _threads_lost = False, False


def threads() -> int:
    """The number of threads that share a loop.

    Threads do not survive a fork, and one of them may hold the lock. So a child that is forked
    after the threads were started runs every loop in one thread.
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
    """The function, compiled at its first call. The machine code is kept for the next run."""
    dispatcher: Any = numba.njit(function, error_model="numpy", **options)
    dispatcher._cache = Cache(function)
    return dispatcher


def launch(kernel: Callable[..., None], items: int, *arguments: Any) -> None:
    """Run kernel(item, *arguments), compiled, for each item < items.

    Several threads share the items if the arrays are large enough.

    One thread runs an item. What an item sums depends on shapes alone and not on the number of
    threads, and no two items write to the same place. So the result has the same bits on every
    machine of the same kind.
    """
    size = 0
    for argument in arguments:  # `sum` takes three times as long, which slows small networks
        if type(argument) is numpy.ndarray:
            size += argument.size
    if size < WORTH_THREADS or threads() == 1:
        _loop(kernel, False)(items, *arguments)
    else:
        with _one_at_a_time:
            _loop(kernel, True)(items, *arguments)


@functools.cache
def _loop(kernel: Callable[..., None], shared: bool) -> Callable[..., None]:
    """Compile `for item in prange(items): kernel(item, ...)`, in parallel if `shared`.

    The loop is generated as source text with the parameters of the kernel spelled out, because
    Numba is slow to call functions with *args.
    """
    item, *others = inspect.signature(kernel).parameters
    name, parameters = f"{kernel.__name__}_{'shared' if shared else 'alone'}", ", ".join(others)
    source = f"def {name}(_items, {parameters}):\n for {item} in prange(_items):\n  _kernel({item}, {parameters})"
    namespace: dict[str, Any] = {"prange": prange, "_kernel": helper(kernel), "__name__": kernel.__module__}
    # The cache identifies a function by file and name, so the loop is given the kernel's file.
    exec(compile(source, kernel.__code__.co_filename, "exec"), namespace)
    return compiled(namespace[name], parallel=shared and _ONLY_PRANGE)
