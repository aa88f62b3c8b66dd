"""How the kernels of this package are started."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy

from tinygen_kernels import recording
from tinygen_kernels.cpu import team
from tinygen_kernels.cpu.atomic import add_atomically, code_of, throw
from tinygen_kernels.cpu.compiled import compiled, helper
from tinygen_kernels.cpu.vector import LINE_BYTES

# Sharing a loop takes as long as work on about this many numbers.
WORTH_A_THREAD = 1 << 16

# A thread takes the items of its share in about this many turns, so that all threads end at about
# the same time.
_TURNS = 16

_LINE = LINE_BYTES // 8  # numbers of 64 bits


def launch(kernel: Callable[..., None], items: int, *arguments: Any) -> None:
    """Run kernel(item, *arguments), compiled, for each item < items.

    Several threads share the items if the arrays are large enough. A kernel with the parameters
    (item, thread, ...) is also given the number of its thread, less than team.threads() and than `items`.

    An item is the part of the work that a thread takes at a time. What an item sums depends on
    shapes alone and not on the number of threads, and no two items write to the same place. So the
    result has the same bits on every machine of the same kind.
    """
    size = 0
    for argument in arguments:  # `sum` takes three times as long, which slows small networks
        if isinstance(argument, numpy.ndarray):
            size += argument.size
    launch_shared(kernel, items, min(size // WORTH_A_THREAD, team.threads(), items), *arguments)


def launch_shared(kernel: Callable[..., None], items: int, threads: int, *arguments: Any) -> None:
    """`launch` in at most this many threads."""
    helpers, turn = (threads - 1, -(-items // (threads * _TURNS))) if threads > 1 else (0, items)
    if here := recording.current():
        here.do(_run, _loop(kernel), helpers, items, turn, *arguments)
    else:
        _run(_loop(kernel), helpers, items, turn, *arguments)


def _run(loop: Callable[..., None], helpers: int, items: int, turn: int, *arguments: Any) -> None:
    own = team.team()
    if helpers:
        own.wake(helpers)
    loop(own.board, helpers, numpy.zeros((helpers + 1) * _LINE, numpy.int64), items, turn, *arguments)


@functools.cache
def _loop(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop that takes items, `_turn` at once, until all are taken, and runs the kernel.

    Threads that run it with the same array `_taken` share the items. On a line each, it has the
    number of items that are taken of each share. `team.py` explains shares.

    The loop is generated as source text with the parameters of the kernel spelled out, because
    Numba is slow to call functions with *args.
    """
    item, *others = inspect.signature(kernel).parameters
    name, parameters = f"{kernel.__name__}_loop", ", ".join(other for other in others if other != "thread")
    source = f"""
def take(thread, _taken, _items, _turn, {parameters}):
    _shares = len(_taken) // LINE
    _share, _left = thread, _shares
    while _left:
        _start, _end = _share * _items // _shares, (_share + 1) * _items // _shares
        _first = _start + add_atomically(_taken, _share * LINE, _turn)
        if _first >= _end:
            _share, _left = (_share + 1) % _shares, _left - 1
        else:
            for {item} in range(_first, min(_first + _turn, _end)):
                _kernel({item}, {", ".join(others)})

def {name}(_board, _helpers, _taken, _items, _turn, {parameters}):
    _code, _arguments = _addresses((_taken, _items, _turn, {parameters}))
    throw(lead(_board, _helpers, _code, _arguments))
"""
    namespace: dict[str, Any] = {
        "add_atomically": add_atomically,
        "LINE": _LINE,
        "throw": throw,
        "lead": team.lead,
        "_kernel": helper(kernel),
        "__name__": kernel.__module__,
    }
    # The cache identifies a function by file and name, so the loop is given the kernel's file.
    exec(compile(source, kernel.__code__.co_filename, "exec"), namespace)
    namespace["_addresses"] = code_of(namespace["take"])
    return compiled(namespace[name], nogil=True)
