"""The one stream of random numbers, which runs on the host for every device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy

from tinygen.backend.shards import Shard, shard
from tinygen.command_line import UsageError

_generator = numpy.random.Generator(numpy.random.Philox(0))

# The arguments of what can be drawn where processes share a batch.
_DRAWN = {
    "random": ("size", "dtype"),
    "standard_normal": ("size", "dtype"),
    "uniform": ("low", "high", "size"),
    "normal": ("loc", "scale", "size"),
    "integers": ("low", "high", "size", "dtype", "endpoint"),
}


def generator() -> numpy.random.Generator:
    """The one stream of random numbers. It runs on the host, so that all devices see the same noise.

    Where processes share a batch, each draws for all of its rows and takes those of its own.
    """
    active = shard()
    return _generator if active is None else cast(numpy.random.Generator, _Shared(active))


class _Shared:
    """The stream, in a process that computes a shard. An array is shared if it has as many rows as the shard, or a multiple."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    def __getattr__(self, name: str) -> Any:
        if name not in _DRAWN:
            raise UsageError(f"processes that share a batch draw random numbers by {', '.join(_DRAWN)}, not by {name}")

        def draw(*arguments: Any, **named: Any) -> Any:
            named |= zip(_DRAWN[name], arguments, strict=False)
            size = named.get("size")
            if size is None:
                return getattr(_generator, name)(**named)
            n, *others = size if isinstance(size, tuple | list) else (size,)
            first = self._shard.before(n)
            return getattr(_generator, name)(**{**named, "size": (self._shard.all(n), *others)})[first : first + n]

        return draw


def manual_seed(seed: int) -> None:
    """Start the stream of random numbers anew. Raises ValueError unless seed is an integer >= 0."""
    if not isinstance(seed, int | numpy.integer) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    _generator.bit_generator.state = numpy.random.Philox(seed).state


def random_state() -> numpy.ndarray:
    """Where the stream of random numbers is: 13 uint64 numbers, for `set_random_state`."""
    state: Any = _generator.bit_generator.state
    tail = [state["buffer_pos"], state["has_uint32"], state["uinteger"]]
    return numpy.concatenate([state["state"]["counter"], state["state"]["key"], state["buffer"], numpy.array(tail, numpy.uint64)])


def set_random_state(state: numpy.ndarray) -> None:
    """Continue from where `random_state` was taken. Raises ValueError if state is not one of its."""
    if not isinstance(state, numpy.ndarray) or state.shape != (13,) or state.dtype != numpy.uint64:
        what = f"{state.dtype} of shape {state.shape}" if isinstance(state, numpy.ndarray) else f"a {type(state).__name__}"
        raise ValueError(f"a random state is 13 uint64 numbers, got {what}")
    if (state[10:] > (4, 1, 2**32 - 1)).any():
        raise ValueError(f"the last numbers of a random state are at most 4, 1 and 2**32 - 1, not {state[10:].tolist()}")
    _generator.bit_generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": state[:4], "key": state[4:6]},
        "buffer": state[6:10],
        "buffer_pos": int(state[10]),
        "has_uint32": int(state[11]),
        "uinteger": int(state[12]),
    }


@contextmanager
def keeping_random_state() -> Iterator[None]:
    """Within, random numbers may be drawn; afterwards, the stream goes on where it was before."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)
