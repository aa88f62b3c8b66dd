# mypy: allow-untyped-defs
"""How the kernels of this package are compiled and started.

A thread computes its position from `cuda.blockIdx` and `cuda.threadIdx`. Threads beyond the end do
nothing, but they never return before a barrier. By default Numba computes with 64-bit integers and
float64, which are slow on a GPU. So kernels convert what they compute by `int32(...)`,
`uint32(...)` and `x.dtype.type(0)`, and they access one-dimensional arrays by a 32-bit flat index.

With NUMBA_ENABLE_CUDASIM=1 the same source runs in Numba's simulator, with one Python thread for
each thread of the GPU.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import cupy
import numpy
from numba import cuda

from tinygen_kernels import Array

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0"
THREADS = 256  # of a block of a kernel with one thread for each element
LARGEST = 2**31 - 1  # elements: an index is a 32-bit integer

device: Any = cuda.jit(device=True, inline="always")  # a function that kernels call


def launch(kernel: Callable[..., None], blocks: int | tuple[int, ...], threads: int, *arguments: Any) -> None:
    """Start a kernel on CuPy's current stream, without waiting for it.

    An array is passed as its elements in row-major order. An integer, also in a tuple, is passed as
    int32.
    """
    _compiled(kernel)[blocks, threads, _stream()](*map(_argument, arguments))


def elementwise(kernel: Callable[..., None], size: int, *arguments: Any) -> None:
    """Start a kernel with one thread for each of `size` elements."""
    if size:
        launch(kernel, -(-size // THREADS), THREADS, *arguments)


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only if they are not stored in it.

    Raises ValueError if there are more than a 32-bit index can address.
    """
    _refuse_too_many(array.size, array.shape)
    return array if array.ndim == 1 and array.flags.c_contiguous else cupy.ascontiguousarray(array).reshape(-1)


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array on the current device. Raises ValueError as `flat` does."""
    _refuse_too_many(math.prod(shape) if isinstance(shape, tuple) else shape, shape)
    return cupy.empty(shape, dtype)


def _refuse_too_many(elements: int, shape: Any) -> None:
    if elements > LARGEST:
        raise ValueError(f"an array of shape {shape} is too large for the GPU's kernels: {elements:,} elements, at most {LARGEST:,}")


def multiprocessors() -> int:
    """The number of multiprocessors of the current device; in the simulator, that of an H100."""
    runtime = cupy.cuda.runtime
    return 132 if SIMULATED else runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, runtime.getDevice())


_compiled = functools.cache(cuda.jit)


def _argument(value: Any) -> Any:
    if isinstance(value, cupy.ndarray):
        array: Any = flat(value)
        return array.unwrap() if SIMULATED else array  # in the simulator, CuPy is a stand-in around NumPy
    if isinstance(value, tuple):
        return _integers(type(value), value)
    return numpy.int32(value) if isinstance(value, int) else value


@functools.lru_cache(1024)
def _integers(kind: Callable[..., Any], values: Any) -> Any:
    """The tuple with its integers as int32.

    It is cached, because every step passes the same tuples, and converting one takes as long as a
    small kernel. `kind` is a part of the key, because tuples of two kinds may be equal.
    """
    return kind(*map(_argument, values))


def _stream() -> Any:
    """CuPy's current stream, so that kernels run in order with the operations of CuPy."""
    return 0 if SIMULATED else _numbas_stream(cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr)


@functools.cache
def _numbas_stream(device: int, pointer: int) -> Any:
    """Numba's object for a stream of CuPy.

    It is cached, because Numba prepares a kernel again for each stream object that it has not seen.
    """
    return cuda.external_stream(pointer)
