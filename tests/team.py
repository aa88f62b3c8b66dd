"""A group of threads in one process, for tests of what processes share."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy

from tinygen import backend
from tinygen.backend import Array, Arrived, Shard, Sum
from tinygen.data.loader import shares

T = TypeVar("T")


def together(size: int, rows: int, work: Callable[[slice], T]) -> list[T]:
    """work(rows of this thread) in `size` threads that share a batch of so many rows: their results, in order."""
    barrier, given = threading.Barrier(size, timeout=30), [numpy.zeros(0)] * size

    def run(rank: int) -> T:
        def begin(x: Array) -> Sum:
            given[rank] = x
            barrier.wait()
            y = numpy.sum(numpy.stack(given), axis=0)
            barrier.wait()
            return Arrived(y)

        start, stop = shares(rows, rank, size)
        try:
            with backend.sharing(Shard(start, stop, rows, begin)):
                return work(slice(start, stop))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
