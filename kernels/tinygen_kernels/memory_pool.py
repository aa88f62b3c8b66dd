"""Memory of freed arrays that is kept for the next ones."""

import ctypes
import threading
import weakref
from typing import Any

import numpy

from tinygen_kernels import Array


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
        memory = self._take(self.whole(size))
        lease: Any = (ctypes.c_char * size).from_buffer(memory)
        weakref.finalize(lease, self._give, memory).atexit = False
        return numpy.frombuffer(lease, numpy.uint8)

    def _take(self, size: int) -> Any:
        if self._lock.acquire(blocking=False):
            try:
                if size in self._free:
                    return self._pop(size)
            finally:
                self._lock.release()
        return self.new(size)

    def whole(self, size: int) -> int:
        """The size of the memory that is lent for so many bytes."""
        step = 1 << (size.bit_length() - 4)
        return -(-size // step) * step

    def new(self, size: int) -> Array:
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
