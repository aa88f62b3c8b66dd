# mypy: allow-untyped-defs
"""How the kernels of this package are started.

A thread computes its position from `cuda.blockIdx` and `cuda.threadIdx`. Threads beyond the end do
nothing, but they never return before a barrier. By default Numba computes with 64-bit integers and
float64, which are slow on a GPU. So kernels convert what they compute by `int32(...)`,
`uint32(...)` and `x.dtype.type(0)`, and they access one-dimensional arrays by a 32-bit flat index.

A small kernel runs for a few microseconds, so starting one must not take longer. The first start of
a kernel with arguments of these types loads its machine code. Every start packs the arguments into
bytes, as C packs a struct, and hands their address to the driver. To look at many arguments takes
longer than all else, so a `Repeated` launch does it once.

With NUMBA_ENABLE_CUDASIM=1 the same source runs in Numba's simulator, with one Python thread for
each thread of the GPU.
"""

import ctypes
import functools
import inspect
import math
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import cupy
import numba
import numpy
from numba import cuda, float32, types, uint32

from tinygen_kernels import Array
from tinygen_kernels.cuda.compiler import SIMULATED, device, machine_code

THREADS = 256  # of a block of a kernel with one thread for each element
LARGEST = 2**31 - 1  # elements: an index is a 32-bit integer

numbers: Any = float32[::1]  # the type of a float32 array

_listed: list[tuple[str, Any, tuple[Any, ...], int]] = []


def launch(kernel: Callable[..., None], blocks: int | tuple[int, ...], threads: int, *arguments: Any) -> None:
    """Start a kernel on CuPy's current stream, without waiting for it.

    An array is passed as its elements in row-major order. An integer, also in a named tuple, is
    passed as int32. A tuple without names holds flat arrays of one dtype.
    """
    if SIMULATED:
        _simulated(kernel)[blocks, threads](*map(_for_the_simulator, arguments))
        return
    kinds: list[Any] = [kernel, cupy.cuda.runtime.getDevice()]
    words: list[Any] = []
    arrays = []  # a copy lives until the kernel is in the stream
    for value in arguments:
        if isinstance(value, cupy.ndarray):
            arrays.append(value := contiguous(value))
            kinds.append(value.dtype.char)
        else:
            kinds.append((value[0].dtype.char, len(value)) if type(value) is tuple else type(value))
        words += _words(value)
    packed = _packed.get(key := tuple(kinds))
    if packed is None:
        packed = _packed[key] = _Packed(kernel, arguments)
    with packed.lock:
        packed.layout.pack_into(packed.bytes, 0, *words)
        packed.start(blocks if isinstance(blocks, tuple) else (blocks, 1, 1), threads)


class Repeated:
    """A launch that is started many times, with arrays of the same dtypes and sizes.

    The kernel takes the arrays before the numbers. Its arguments are packed when it is first started.
    From then on, only the addresses of the arrays change.
    """

    def __init__(self, kernel: Callable[..., None], blocks: int, threads: int, *numbers: Any) -> None:
        self._kernel, self._blocks, self._threads, self._numbers = kernel, (blocks, 1, 1), threads, numbers
        self._packed: _Packed | None = None

    def start(self, *arrays: Any) -> None:
        """Start it as `launch` does, with arrays on one device whose elements lie in row-major order."""
        if SIMULATED:
            launch(self._kernel, self._blocks, self._threads, *arrays, *self._numbers)
            return
        packed = self._packed = self._packed or _Packed(self._kernel, (*arrays, *self._numbers))
        with packed.lock:
            # The fifth of the seven words of each array: see `layout`.
            packed.bytes[4 : 7 * len(arrays) : 7] = [array.data.ptr for array in arrays]
            packed.start(self._blocks, self._threads)


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each `listed` kernel, to compile it without a GPU."""
    return iter(_listed)


def listed(*signature: Any, name: str = "") -> Callable[..., Any]:
    """A decorator for kernels that `kernels` lists, with the types that their arguments have for float32 arrays.

    This is for compiling them without a GPU. `launch` compiles a kernel for the arguments that it gets.
    """

    def add(kernel: Callable[..., None]) -> Callable[..., None]:
        _listed.append((name or kernel.__name__.strip("_"), kernel, signature, THREADS))
        return kernel

    return add


def elementwise(*signature: Any) -> Callable[..., Any]:
    """A decorator for function(i, *arguments), the value of element i of a new array.

    In its place comes run(shape, *arguments), which starts a kernel with one thread for each element
    and returns the array. This has the dtype of the first argument, as have arguments that are a
    float. The types are those that `listed` takes.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Array]:
        kernel = listed(*signature, signature[0])(_for_each_element(function))

        def run(shape: tuple[int, ...], *arguments: Any) -> Array:
            y = empty(shape, arguments[0].dtype)
            if y.size:
                values = [y.dtype.type(value) if isinstance(value, float) else value for value in arguments]
                launch(kernel, -(-y.size // THREADS), THREADS, *values, y)
            return y

        return run

    return decorate


def _for_each_element(function: Callable[..., Any]) -> Callable[..., None]:
    """The kernel of a function.

    It is generated as source text with the parameters of the function spelled out, because Numba does
    not inline functions that are called with *args.
    """
    i, *others = inspect.signature(function).parameters
    name, parameters = function.__name__, ", ".join(others)
    source = f"""
def {name}({parameters}, _result):
    {i} = uint32(cuda.grid(1))
    if {i} < _result.size:
        _result[{i}] = _value({i}, {parameters})
"""
    namespace: dict[str, Any] = {"cuda": cuda, "uint32": uint32, "_value": device(function), "__name__": function.__module__}
    # Machine code is kept by file and name, so the kernel is given the function's file.
    exec(compile(source, function.__code__.co_filename, "exec"), namespace)
    return namespace[name]


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """A new array on the current device. Raises ValueError as `contiguous` does."""
    if (elements := math.prod(shape) if isinstance(shape, tuple) else shape) > LARGEST:
        raise _too_large(elements, shape)
    return cupy.empty(shape, dtype)


def contiguous(array: Array) -> Array:
    """The array with its elements in row-major order, copied only if they are not stored in it.

    Raises ValueError if there are more than a 32-bit index can address.
    """
    if array.size > LARGEST:
        raise _too_large(array.size, array.shape)
    return array if array.flags.c_contiguous else cupy.ascontiguousarray(array)


def _too_large(elements: int, shape: Any) -> ValueError:
    return ValueError(f"an array of shape {shape} is too large for the GPU's kernels: {elements:,} elements, at most {LARGEST:,}")


@functools.cache
def nothing(device: int, dtype: str) -> Array:
    """An array without elements on the current device, of this number, in the place of one that a kernel does not read."""
    return cupy.empty(0, dtype)


@functools.cache
def multiprocessors(number: int) -> int:
    """How many multiprocessors the device of this number has."""
    return cupy.cuda.Device(number).attributes["MultiProcessorCount"]


def compute_capability() -> tuple[int, int]:
    """(major, minor) of the current device."""
    return divmod(int(cupy.cuda.Device().compute_capability), 10)


_simulated = functools.cache(cuda.jit)


def _for_the_simulator(value: Any) -> Any:
    if isinstance(value, cupy.ndarray):
        array: Any = contiguous(value).reshape(-1)
        return array.unwrap()  # CuPy is a stand-in around NumPy
    if isinstance(value, tuple):
        parts = map(_for_the_simulator, value)
        return tuple(parts) if type(value) is tuple else type(value)(*parts)
    return numpy.int32(value) if isinstance(value, int) else value


class _Packed:
    """A kernel in the memory of the current device, and bytes for arguments of the types of an example."""

    def __init__(self, kernel: Callable[..., None], example: tuple[Any, ...]) -> None:
        signature = tuple(map(type_of, example))
        _, self._function = _loaded(kernel, cupy.cuda.runtime.getDevice(), signature)
        self.layout = layout(signature)
        self.bytes = (ctypes.c_uint64 * -(-self.layout.size // 8))()
        self._size = ctypes.c_size_t(self.layout.size)
        # CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE and CU_LAUNCH_PARAM_END
        self._extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(self.bytes), 2, ctypes.addressof(self._size), 0)
        self._where, self._launch = ctypes.addressof(self._extra), driver().cuLaunchKernel
        self.lock = threading.Lock()  # of the bytes, which the driver copies
        self.layout.pack_into(self.bytes, 0, *_words_of_each(example))

    def start(self, blocks: tuple[int, ...], threads: int) -> None:
        """Start the kernel with what the bytes hold. This thread has the lock."""
        _told(self._launch(self._function, *blocks, threads, 1, 1, 0, cupy.cuda.get_current_stream().ptr, 0, self._where))


_packed: dict[Any, _Packed] = {}


@functools.cache
def _loaded(kernel: Callable[..., None], device: int, signature: tuple[Any, ...]) -> tuple[Any, int]:
    """The module and the function of a kernel in the memory of the current device, of this number."""
    entry, cubin = machine_code(kernel, signature, compute_capability())
    module = _told(driver().cuModuleLoadData(cubin))
    return module, int(_told(driver().cuModuleGetFunction(module, entry.encode())))


def _words(value: Any) -> Any:
    """The numbers that an argument consists of."""
    if isinstance(value, cupy.ndarray):
        size, itemsize = value.size, value.itemsize
        return 0, 0, size, itemsize, value.data.ptr, size, itemsize
    if not isinstance(value, tuple):
        return (value,)
    return _words_of_each(value) if type(value) is tuple else _numbers(value)


def _words_of_each(parts: tuple[Any, ...]) -> list[Any]:
    return [word for part in parts for word in _words(part)]


_numbers = functools.lru_cache(1024)(_words_of_each)  # of a named tuple, since every step passes the same ones


def type_of(value: Any) -> Any:
    """The Numba type of an argument."""
    if isinstance(value, cupy.ndarray):
        return numba.from_dtype(value.dtype)[::1]
    if isinstance(value, tuple):
        return types.BaseTuple.from_types(tuple(map(type_of, value)), type(value))
    return types.int32 if isinstance(value, int) else numba.from_dtype(value.dtype)


def layout(signature: tuple[Any, ...]) -> struct.Struct:
    """How the arguments of a kernel lie in memory, each where C would put it in a struct.

    Numba passes the members of a tuple one by one, and an array as (counter of references, owner,
    elements, bytes of one, address, shape, strides), the first two of which the kernels never use.
    """
    return struct.Struct("".join(map(_format, signature)))


def _format(kind: Any) -> str:
    if isinstance(kind, types.Array):
        return "PPnnPnn"
    if hasattr(kind, "types"):  # a tuple
        return "".join(map(_format, kind.types))
    return {types.int32: "i", types.uint32: "I", types.uint64: "Q", types.float32: "f", types.float64: "d"}[kind]


@functools.cache
def driver() -> Any:
    """NVIDIA's bindings of the driver, in which each function returns an error code and its results."""
    from cuda.bindings import driver

    return driver


def _told(answer: tuple[Any, ...]) -> Any:
    """The result in what the driver answers. Raises RuntimeError for an error, which the driver names."""
    if answer[0]:
        raise RuntimeError(f"the GPU's driver refuses: {answer[0].name}")
    return answer[1] if len(answer) > 1 else None
