"""Memory of freed arrays that is kept for the next ones."""

import bisect
import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy

from tinygen_kernels import Array

_LINE = 64  # bytes of a cache line
_REGION = 1 << 28  # bytes that places are cut from; the system gives memory only to those that are written to


class Pool:
    """Keeps at most `most` bytes of freed memory for arrays of the same size.

    Beyond that, memory goes back to the system, first that of the size freed longest ago.
    """

    def __init__(self, most: int):
        self.most, self.bytes = most, 0
        self._free: dict[int, list[Array]] = {}  # by size, the size that was freed last at the end
        # `_give` runs whenever Python frees an array, even in the middle of these methods. So
        # nobody waits for the lock: whoever does not get it goes without the pool.
        self._lock = threading.Lock()

    def lend(self, size: int) -> Array:
        """Memory of `size` bytes, or up to an eighth more.

        It comes back to the pool when the last array in it is freed.
        """
        step = 1 << (size.bit_length() - 4)
        memory = self._take(-(-size // step) * step)
        return _leased(memory, 0, size, self._give, memory)

    def _take(self, size: int) -> Array:
        if self._lock.acquire(blocking=False):
            try:
                if size in self._free:
                    return self._pop(size)
            finally:
                self._lock.release()
        return numpy.empty(size, numpy.uint8)

    def _give(self, memory: Array) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._free[memory.size] = [*self._free.pop(memory.size, ()), memory]
                self.bytes += memory.size
                while self.bytes > self.most:
                    self._pop(next(iter(self._free)))
            finally:
                self._lock.release()

    def _pop(self, size: int) -> Array:
        memory = self._free[size].pop()
        if not self._free[size]:
            del self._free[size]
        self.bytes -= size
        return memory


class Places:
    """Memory in which arrays stay where they are. A freed one leaves its place to the next ones.

    An array gets the first free place that is large enough, and free neighbours become one place:
    first fit (Knuth, The Art of Computer Programming, 1968, section 2.5).
    """

    def __init__(self) -> None:
        self._regions: list[Array] = []  # of bytes
        self._free: list[tuple[int, int, int]] = []  # the number of a region, and where in it a place begins and ends; in order
        self._left: list[tuple[int, int, int]] = []  # the places of freed arrays that are not in it yet: Python frees at any time

    def lend(self, size: int) -> Array:
        """Memory of at least so many bytes, which begins on a cache line, until the last array in it is freed."""
        size = (size // _LINE + 2) * _LINE  # one line too many, so that large arrays do not all begin at the same place of a page
        while self._left:
            self._join(*self._left.pop())
        i = next((i for i, (_, start, end) in enumerate(self._free) if end - start >= size), len(self._free))
        if i == len(self._free):
            memory = numpy.empty(max(size, _REGION) + _LINE, numpy.uint8)
            self._regions.append(memory[-address(memory) % _LINE :])
            self._free.append((len(self._regions) - 1, 0, max(size, _REGION)))
        number, start, end = self._free[i]
        self._free[i] = number, start + size, end
        return _leased(self._regions[number], start, size, self._left.append, (number, start, start + size))

    def _join(self, number: int, start: int, end: int) -> None:
        """Put a place among the free ones."""
        i = bisect.bisect(self._free, (number, start, end))
        if i < len(self._free) and self._free[i][:2] == (number, end):
            end = self._free.pop(i)[2]
        if i > 0 and self._free[i - 1][::2] == (number, start):
            i -= 1
            start = self._free.pop(i)[1]
        self._free.insert(i, (number, start, end))

    def unleased(self, array: Array) -> Array:
        """The same array, which leaves its place to others, if it has one here."""
        for region in self._regions:
            if 0 <= (start := address(array) - address(region)) < region.size:
                return numpy.ndarray(array.shape, array.dtype, region, start, array.strides)
        return array.view(numpy.ndarray)


def _leased(memory: Any, start: int, size: int, give_back: Callable[[Any], object], what: Any) -> Array:
    """A part of the memory. When the last array in it is freed, give_back(what) is called."""
    lease: Any = (ctypes.c_char * size).from_buffer(memory, start)
    weakref.finalize(lease, give_back, what).atexit = False
    return numpy.frombuffer(lease, numpy.uint8)


def address(array: Array) -> int:
    start: int = array.__array_interface__["data"][0]
    return start
