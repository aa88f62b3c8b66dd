"""A batch that several processes share: the rows of this process, and means over the rows of all.

Let process r hold a share w_r of the rows, with sum_r w_r = 1. The mean over the batch of anything
that each process has averaged over its own rows is M(x) = sum_r w_r x_r. Two facts about M make a
step of many processes the step of one:

- M is its own adjoint: sum_r w_r <M(x), g_r> = <M(x), M(g)> = sum_r w_r <x_r, M(g)>. So the gradient
  of M is M, to any order, if each process differentiates its own loss, and M of the gradients is the
  gradient of sum_r w_r loss_r, which is the loss of the whole batch.
- M(M(x)) = M(x): what is the same in all processes already may be averaged once more.

Therefore `functional.mean` over the first axis, the sums of batch norm, and the gradients that an
optimiser reads are averaged by M. `training/distributed.py` says how the processes meet.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy
from tinygen_kernels import Array, array_module

_BUCKET = 1 << 17  # elements that are averaged at once, in float32 0.5 MB


class Sum(Protocol):
    """The sum of the processes' arrays, which may still be on its way."""

    def arrived(self) -> bool:
        """Whether it is there. To ask moves it on where the network does not do so by itself."""
        ...

    def wait(self) -> Array:
        """The sum, when it is there."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """A sum that is there."""

    total: Array

    def arrived(self) -> bool:
        return True

    def wait(self) -> Array:
        return self.total


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows from start to stop of a batch of `whole` rows.

    begin(x) begins to add up the processes' arrays x. `means` holds the gradients that are known to be M of
    something.
    """

    start: int
    stop: int
    whole: int
    begin: Callable[[Array], Sum]
    means: set[Any] = field(default_factory=set)

    def mean(self, x: Array) -> Array:
        """M(x), with the same bits in all processes."""
        return self.begin(x * self.share(x.dtype)).wait()

    def share(self, dtype: numpy.dtype) -> Any:
        """Of this process in the rows, w."""
        return dtype.type((self.stop - self.start) / self.whole)

    def before(self, n: int) -> int:
        """How many of n rows of the whole come before those of this process, if it has n: as many for each row of the batch."""
        return self._times(n) * self.start

    def all(self, n: int) -> int:
        """How many rows the processes have in all, if this one has n. Other numbers than multiples of its rows are not shared."""
        return self._times(n) * self.whole or n

    def _times(self, n: int) -> int:
        times, rest = divmod(n, self.stop - self.start)
        return 0 if rest else times


class _Active(threading.local):
    shard: Shard | None = None


_active = _Active()


def shard() -> Shard | None:
    """The shard that this thread computes now; None where one process has the whole batch."""
    return _active.shard


@contextmanager
def sharing(shard: Shard | None) -> Iterator[None]:
    """Within, this thread computes this shard of a batch; with None, what is the same in all processes."""
    before, _active.shard = _active.shard, shard
    try:
        yield
    finally:
        _active.shard = before


def place(n: int) -> tuple[int, int]:
    """How many rows come before n rows of this process, and how many all processes have, where a batch is shared."""
    active = shard()
    return (0, n) if active is None else (active.before(n), active.all(n))


def summed(x: Array) -> Array:
    """The sum of the processes' arrays x, where a batch is shared: for what a layer adds up and no gradient passes."""
    active = shard()
    return x if active is None else active.begin(x).wait()


class Averages:
    """M of arrays that become known one after another, where a batch is shared.

    They are averaged in flat buckets, in their order: each bucket is of one dtype, on one device,
    and on its way as soon as it holds _BUCKET elements. All processes must add the same shapes in
    the same order.
    """

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._bucket: list[Array] = []
        self._begun: list[tuple[list[Array], Sum]] = []

    def add(self, x: Array) -> None:
        first = self._bucket[0] if self._bucket else x
        if x.dtype != first.dtype or type(x) is not type(first):
            self._begin()
        self._bucket.append(x)
        if sum(y.size for y in self._bucket) >= _BUCKET:
            self._begin()

    def _begin(self) -> None:
        flat = array_module(self._bucket[0]).concatenate([x.reshape(-1) for x in self._bucket])
        flat *= self._shard.share(flat.dtype)
        self._begun.append((self._bucket, self._shard.begin(flat)))
        self._bucket = []

    def move_on(self) -> None:
        """Give the network what it needs to go on with the buckets that are on their way."""
        all(total.arrived() for _, total in self._begun)

    def all(self) -> list[Array]:
        """The means, in the order in which the arrays were added. Waits for those that are on their way."""
        if self._bucket:
            self._begin()
        means: list[Array] = []
        for bucket, total in self._begun:
            ends, flat = list(accumulate((x.size for x in bucket), initial=0)), total.wait()
            means += [flat[start:end].reshape(x.shape) for x, (start, end) in zip(bucket, pairwise(ends), strict=True)]
        return means


def averaged(arrays: Sequence[Array]) -> list[Array]:
    """M of each array, where a batch is shared."""
    active = shard()
    if active is None:
        return list(arrays)
    averages = Averages(active)
    for x in arrays:
        averages.add(x)
    return averages.all()
