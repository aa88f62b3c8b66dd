"""How the kernels of this package are compiled and started."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy
from numba import types
from numba.extending import intrinsic, register_jitable

from tinygen_kernels.cpu import team
from tinygen_kernels.cpu.cache import Cache

# Decorator of a function that kernels call. The function is compiled into each of them.
helper = functools.cache(register_jitable(error_model="numpy"))

# Waking a thread takes as long as work on about this many numbers.
WORTH_A_THREAD = 1 << 16

# A thread takes its items in about this many turns, so that all threads end at about the same time.
_TURNS = 16


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function, compiled at its first call. The machine code is kept for the next run."""
    dispatcher: Any = numba.njit(function, error_model="numpy", **options)
    dispatcher._cache = Cache(function)
    return dispatcher


def launch(kernel: Callable[..., None], items: int, *arguments: Any) -> None:
    """Run kernel(item, *arguments), compiled, for each item < items.

    Several threads share the items if the arrays are large enough.

    An item is the part of the work that a thread takes at a time. What an item sums depends on shapes alone and not on the number of
    threads, and no two items write to the same place. So the result has the same bits on every
    machine of the same kind.
    """
    size = 0
    for argument in arguments:  # `sum` takes three times as long, which slows small networks
        if type(argument) is numpy.ndarray:
            size += argument.size
    launch_shared(kernel, items, min(size // WORTH_A_THREAD, team.threads(), items), *arguments)


def launch_shared(kernel: Callable[..., None], items: int, threads: int, *arguments: Any) -> None:
    """`launch` in at most this many threads."""
    loop, taken = _loop(kernel), numpy.zeros(1, numpy.int64)
    if threads < 2:
        loop(taken, items, items, *arguments)
    else:
        turn = -(-items // (threads * _TURNS))
        team.run(lambda: loop(taken, items, turn, *arguments), threads - 1)


@functools.cache
def _loop(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop that takes items, `_turn` at once, until all are taken, and runs the kernel.

    Threads that run it with the same array `_taken`, the number of items taken, share the items.
    The loop is generated as source text with the parameters of the kernel spelled out, because
    Numba is slow to call functions with *args.
    """
    item, *others = inspect.signature(kernel).parameters
    name, parameters = f"{kernel.__name__}_loop", ", ".join(others)
    source = f"""
def {name}(_taken, _items, _turn, {parameters}):
    _first = add_atomically(_taken, _turn)
    while _first < _items:
        for {item} in range(_first, min(_first + _turn, _items)):
            _kernel({item}, {parameters})
        _first = add_atomically(_taken, _turn)
"""
    namespace: dict[str, Any] = {"add_atomically": add_atomically, "_kernel": helper(kernel), "__name__": kernel.__module__}
    # The cache identifies a function by file and name, so the loop is given the kernel's file.
    exec(compile(source, kernel.__code__.co_filename, "exec"), namespace)
    return compiled(namespace[name], nogil=True)


@intrinsic
def add_atomically(_typing: Any, array: Any, number: Any) -> Any:
    """Add the number to array[0] and return what was there before, as one step for all threads."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        first = context.make_array(array)(context, builder, values[0]).data
        return builder.atomic_rmw("add", first, values[1], "seq_cst")

    return types.int64(array, types.int64), lower
