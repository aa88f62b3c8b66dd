"""The memory of the kernels' arrays."""

import math
import platform
from typing import Any

import numpy

from tinygen_kernels import Array, recording
from tinygen_kernels.cpu.compiled import compiled
from tinygen_kernels.memory_pool import Pool

# A training step asks for arrays of the same sizes again and again. New memory from the system
# costs a page fault for every few KiB. So the memory of large arrays is kept for the next arrays of
# their size. With glibc, tinygen has told malloc to do so itself.
_KEEPS = platform.libc_ver()[0] != "glibc"
_LARGE = 1 << 16  # bytes, from which on malloc may give memory back


_pool = Pool(256 << 20)


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only if they are not stored in it."""
    return contiguous(array).reshape(-1)


def contiguous(array: Array) -> Array:
    """The array if it is contiguous, aligned and writable, otherwise a copy that is.

    Since all arguments of kernels are, Numba compiles each kernel only once for each dtype.
    """
    if array.flags.carray:
        return array
    copied = empty(array.shape, array.dtype)
    copied[...] = array
    return copied


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array that starts on a cache line, so that no vector load from it touches two lines.

    A line has 64 bytes; NumPy aligns arrays to 16.
    """
    if here := recording.current():
        return here.empty(shape, dtype)
    count = shape if isinstance(shape, int) else math.prod(shape)
    size = count * numpy.dtype(dtype).itemsize + 64
    memory = _pool.lend(size) if _KEEPS and size >= _LARGE else numpy.empty(size, numpy.uint8)
    return numpy.ndarray(shape, dtype, memory, _to_line(memory))


def zeroed(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array of zeros. A kernel may add to it: a replay of the step that is being recorded sets it to zero, too."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


@compiled  # because NumPy takes longer to return an address than the rest of `empty` takes
def _to_line(memory: Any) -> Any:
    return -memory.ctypes.data % 64
