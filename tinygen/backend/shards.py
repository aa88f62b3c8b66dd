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
from dataclasses import dataclass
from itertools import pairwise

from tinygen_kernels import Array, array_module

_BUCKET = 1 << 22  # elements that are averaged at once


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows from start to stop of a batch of `whole` rows. total(x) is the sum of the processes' arrays x."""

    start: int
    stop: int
    whole: int
    total: Callable[[Array], Array]

    def mean(self, x: Array) -> Array:
        """M(x), with the same bits in all processes."""
        return self.total(x * x.dtype.type((self.stop - self.start) / self.whole))

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
    """The sum of the processes' arrays x, where a batch is shared."""
    active = shard()
    return x if active is None else active.total(x)


def averaged(arrays: Sequence[Array]) -> list[Array]:
    """M of each array, where a batch is shared: several at once in a flat bucket, in their order."""
    active = shard()
    if active is None:
        return list(arrays)
    means: list[Array] = []
    for bucket in _buckets(arrays):
        ends = [0]
        for x in bucket:
            ends.append(ends[-1] + x.size)
        flat = active.mean(array_module(bucket[0]).concatenate([x.reshape(-1) for x in bucket]))
        means += [flat[start:end].reshape(x.shape) for x, (start, end) in zip(bucket, pairwise(ends), strict=True)]
    return means


def _buckets(arrays: Sequence[Array]) -> Iterator[list[Array]]:
    """Neighbours of one dtype, on one device, of at most _BUCKET elements together."""
    bucket: list[Array] = []
    for x in arrays:
        if bucket and (x.dtype != bucket[0].dtype or type(x) is not type(bucket[0]) or sum(y.size for y in bucket) + x.size > _BUCKET):
            yield bucket
            bucket = []
        bucket.append(x)
    if bucket:
        yield bucket
