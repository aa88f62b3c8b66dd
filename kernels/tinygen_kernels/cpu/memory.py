"""The memory that the kernels work in."""

import ctypes
import math
import platform
import weakref
from typing import Any

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.parallel import compiled

# A training step asks for arrays of the same sizes again and again. New memory from the system is paid for with a page fault for every
# few KiB; so what large arrays leave behind is kept for the next of their size. With glibc, tinygen has told malloc to do so itself.
_KEEPS = platform.libc_ver()[0] != "glibc"
_LARGE = 1 << 16  # bytes, from which on malloc may give memory back
_free: dict[int, list[numpy.ndarray]] = {}  # by size


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only where they do not lie so.

    Kernels take nothing else (one-dimensional, contiguous, writable in Numba's eyes), so each is compiled once for a dtype.
    """
    elements = array.ravel()
    return elements if elements.flags.carray else elements.copy()


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array that starts on a cache line: vector loads from it never straddle two. NumPy promises 16 bytes, a line has 64."""
    count = shape if isinstance(shape, int) else math.prod(shape)
    size = count * numpy.dtype(dtype).itemsize + 64
    memory = _kept(size) if _KEEPS and size >= _LARGE else numpy.empty(size, numpy.uint8)
    return numpy.ndarray(shape, dtype, memory, _to_line(memory))


@compiled  # since NumPy takes longer to tell an address than for all the rest of `empty`
def _to_line(memory: Any) -> Any:
    return -memory.ctypes.data % 64


def _kept(size: int) -> Array:
    """Memory of so many bytes, or up to an eighth more, that goes back to `_free` when the last array in it is gone."""
    step = 1 << (size.bit_length() - 4)
    size = -(-size // step) * step
    free = _free.setdefault(size, [])
    memory: Any = free.pop() if free else numpy.empty(size, numpy.uint8)
    lease: Any = (ctypes.c_char * size).from_buffer(memory)
    weakref.finalize(lease, free.append, memory).atexit = False
    return numpy.frombuffer(lease, numpy.uint8)
