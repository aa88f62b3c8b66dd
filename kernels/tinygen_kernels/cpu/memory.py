"""The memory of the kernels' arrays."""

import ctypes
import math
import platform
import threading
import weakref
from typing import Any

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.compiled import compiled

# A training step asks for arrays of the same sizes again and again. New memory from the system
# costs a page fault for every few KiB. So the memory of large arrays is kept for the next arrays of
# their size. With glibc, tinygen has told malloc to do so itself.
_KEEPS = platform.libc_ver()[0] != "glibc"
_LARGE = 1 << 16  # bytes, from which on malloc may give memory back


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
        size = -(-size // step) * step
        memory = self._take(size)
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


_pool = Pool(256 << 20)


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only if they are not stored in it.

    All arguments of kernels are contiguous, aligned and writable, so that Numba compiles each
    kernel only once for each dtype.
    """
    elements = array.ravel()
    return elements if elements.flags.carray else elements.copy()


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array that starts on a cache line, so that no vector load from it touches two lines.

    A line has 64 bytes; NumPy aligns arrays to 16.
    """
    count = shape if isinstance(shape, int) else math.prod(shape)
    size = count * numpy.dtype(dtype).itemsize + 64
    memory = _pool.lend(size) if _KEEPS and size >= _LARGE else numpy.empty(size, numpy.uint8)
    return numpy.ndarray(shape, dtype, memory, _to_line(memory))


@compiled  # because NumPy takes longer to return an address than the rest of `empty` takes
def _to_line(memory: Any) -> Any:
    return -memory.ctypes.data % 64
