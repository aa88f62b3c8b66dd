# mypy: allow-untyped-defs
"""How the kernels of this package are compiled and started.

A thread finds its place from `cuda.blockIdx` and `cuda.threadIdx`; threads beyond the end do nothing, but never return before a
barrier. Numba writes 64-bit integers and float64 where it is not told otherwise, which a GPU is slow at: hence `int32(...)`,
`uint32(...)` and `x.dtype.type(0)` around what kernels compute, and a flat index, which is 32 bits long, into one-dimensional arrays.

With NUMBA_ENABLE_CUDASIM=1 the same source runs in Numba's simulator, one Python thread for each of the GPU's.
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
THREADS = 256  # of a block, where a thread has one element
LARGEST = 2**31 - 1  # elements: an index is a 32-bit integer

device: Any = cuda.jit(device=True, inline="always")  # a function that kernels call


def launch(kernel: Callable[..., None], blocks: int | tuple[int, ...], threads: int, *arguments: Any) -> None:
    """Start a kernel on CuPy's current stream, without waiting for it.

    Arrays go in as their elements in row-major order, integers, also those in tuples, as int32.
    """
    _compiled(kernel)[blocks, threads, _stream()](*map(_argument, arguments))


def elementwise(kernel: Callable[..., None], size: int, *arguments: Any) -> None:
    """Start a kernel with one thread for each of `size` elements."""
    if size:
        launch(kernel, -(-size // THREADS), THREADS, *arguments)


def flat(array: Array) -> Array:
    """The elements of an array in row-major order, copied only where they do not lie so.

    Raises ValueError where there are more than 32-bit integers can count.
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
    """How many of them the current device has; a block runs on one. In the simulator, as many as an H100."""
    runtime = cupy.cuda.runtime
    return 132 if SIMULATED else runtime.deviceGetAttribute(runtime.cudaDevAttrMultiProcessorCount, runtime.getDevice())


_compiled = functools.cache(cuda.jit)


def _argument(value: Any) -> Any:
    if isinstance(value, cupy.ndarray):
        return flat(value).unwrap() if SIMULATED else flat(value)  # in the simulator, CuPy is a stand-in around NumPy
    if isinstance(value, tuple):
        return _integers(type(value), value)
    return numpy.int32(value) if isinstance(value, int) else value


@functools.lru_cache(1024)
def _integers(kind: Callable[..., Any], values: Any) -> Any:
    """The same tuples come with every step: making their int32 takes as long as a small kernel. Tuples of two kinds may be equal."""
    return kind(*map(_argument, values))


def _stream() -> Any:
    return 0 if SIMULATED else _numbas_stream(cupy.cuda.runtime.getDevice(), cupy.cuda.get_current_stream().ptr)


@functools.cache
def _numbas_stream(device: int, pointer: int) -> Any:
    """One for each of CuPy's, since Numba prepares a kernel anew for each stream that it has not seen."""
    return cuda.external_stream(pointer)
