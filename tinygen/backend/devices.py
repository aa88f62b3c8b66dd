"""Where arrays live.

A device is "cpu" (NumPy arrays) or "cuda", "cuda:0", "cuda:1", ... (CuPy arrays). CuPy is imported
only when a CUDA device is asked for.
"""

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy
from tinygen_kernels import Array, array_module

from tinygen.backend.replay import Capture, capturing, watched
from tinygen.command_line import UsageError


def device_of(x: Array) -> str:
    """The device that x lives on: "cpu", "cuda:0", "cuda:1", ..."""
    return "cpu" if isinstance(x, numpy.ndarray | numpy.generic) else f"cuda:{x.device.id}"


def expect_array(x: Any) -> Array:
    """x, which must be an array. A scalar of NumPy becomes an array of shape ().

    NumPy turns results of shape () into scalars.

    Raises TypeError for anything else.
    """
    if isinstance(x, numpy.generic):
        return numpy.asarray(x)
    if not isinstance(x, numpy.ndarray) and not hasattr(type(x), "__cuda_array_interface__"):
        raise TypeError(f"Tensor takes an array, got a {type(x).__name__}; tinygen.tensor(...) makes one of numbers and lists")
    return x


def _cuda_index(device: str) -> int:
    """The number in a CUDA device's name; "cuda" is number 0."""
    kind, _, index = str(device).partition(":")
    if kind != "cuda" or not (index.isdecimal() or device == "cuda"):
        raise UsageError(f'unknown device "{device}": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...')
    return int(index or 0)


def to_device(x: Array, device: str) -> Array:
    """x on the device; x itself where it lives there already.

    CuPy computes on its current device, which from now on is the one named here: a program on
    several moves arrays as it goes along.

    Raises UsageError for a name that is not a device, and where CUDA is asked for but CuPy or the
    device is missing.
    """
    if device == "cpu":
        return watched(numpy.asarray(x)) if isinstance(x, numpy.ndarray | numpy.generic) else x.get()
    index = _cuda_index(device)
    cupy = _cupy(device, index)
    cupy.cuda.Device(index).use()
    capture = capturing()
    return capture.constant(x) if isinstance(capture, Capture) and isinstance(x, numpy.ndarray) else cupy.asarray(x)


def from_host(make: Callable[[], numpy.ndarray], device: str) -> Array:
    """make() on the device. Each replay of what is being recorded calls it again (see `replay.py`)."""
    capture = capturing()
    if capture is None or isinstance(capture, Capture) == (device == "cpu"):
        return to_device(numpy.asarray(make()), device)
    if isinstance(capture, Capture):
        index = _cuda_index(device)
        _cupy(device, index).cuda.Device(index).use()
    return capture.given(make)


def compute_where(x: Array) -> None:
    """Make the device of x CuPy's current one, where x is an array of CuPy's."""
    if not isinstance(x, numpy.ndarray):
        x.device.use()


def _cupy(device: str, index: int) -> Any:
    """CuPy, where it can use the CUDA device of this number."""
    try:
        cupy: Any = importlib.import_module("cupy")
    except ImportError as error:
        install = "pip install 'tinygen[gpu]' or 'tinygen[gpu-cuda12]'; `tinygen doctor` says which"
        raise UsageError(f'device "{device}" needs CuPy, which cannot be imported ({error.__cause__ or error}): {install}') from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise UsageError(
            f'device "{device}" needs an NVIDIA GPU, and a driver that serves CuPy\'s version of CUDA; '
            f"CuPy {cupy.__version__} says {error}; `tinygen doctor` says what mends it"
        ) from None
    if index >= count:
        raise UsageError(f'device "{device}" is not there: CuPy {cupy.__version__} finds {count} GPUs, numbered from 0')
    return cupy


def best_device() -> str:
    """ "cuda" where there is a GPU that CuPy can use, else "cpu"."""
    try:
        _cupy("cuda", 0)
    except UsageError:
        return "cpu"
    return "cuda"


def compile_ahead(device: str) -> None:
    """Before a training: have the kernels of its backward pass compiled while those of its forward pass are, as `cpu/ahead.py` explains."""
    if device == "cpu":
        from tinygen_kernels.cpu import ahead  # with Numba, which a GPU does without

        ahead.begin()


@functools.cache
def _copying_stream(index: int) -> Any:
    """One for each GPU, as CuPy keeps freed memory for the stream that it was taken on."""
    return _cupy(f"cuda:{index}", index).cuda.Stream(non_blocking=True)


def copied_ahead(batches: Iterable[tuple[Array, ...]], device: str) -> Iterator[tuple[Array, ...]]:
    """The batches, on the device. A batch travels to a GPU while the step before it computes.

    CuPy copies from page-locked memory, so that the host need not wait, and memory that was freed
    serves the same stream again. So two waits between the streams are enough: a copy waits for the
    steps that may still read what its memory held, and a step for its batch.
    """
    if device == "cpu":
        yield from batches
        return
    index = _cuda_index(device)
    cuda = _cupy(device, index).cuda
    cuda.Device(index).use()
    copying = _copying_stream(index)

    def send(batch: tuple[Array, ...]) -> tuple[tuple[Array, ...], Any]:
        copying.wait_event(cuda.get_current_stream().record())
        with copying:
            return tuple(to_device(array, device) for array in batch), copying.record()

    sent = map(send, batches)
    following = next(sent, None)
    while following:
        (arrays, arrived), following = following, next(sent, None)
        cuda.get_current_stream().wait_event(arrived)
        yield arrays


def floats(numbers: Iterable[Array | float]) -> list[float]:
    """The values of arrays of one element. Reading waits for a GPU, so all of them are read at once."""
    values: Any = list(numbers)
    there = [x for x in values if hasattr(type(x), "__cuda_array_interface__")]
    if there:
        xp = array_module(there[0])
        values = xp.stack([xp.asarray(x).reshape(()) for x in values]).get()
    return [float(numpy.asarray(x).reshape(())) for x in values]
