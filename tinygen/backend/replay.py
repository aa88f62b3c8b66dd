"""Operations that are recorded once and then done again as a whole, without the Python that led to them.

Python takes some tens of microseconds to start an operation, and a step of training has hundreds of
operations, many of which take less. The operations of a step are the same every time. So they can be
recorded, with the addresses of all arrays. Python then only prepares what comes from the host: it
draws the noise, counts the steps, and copies both to the arrays in which the operations find them.

    captured = Captured(function, (x,))     # records function(x), and does it
    y = captured.result                     # the arrays that the function returned
    captured(x)                             # does it again, with other numbers in x: y changes

On a GPU the driver records the operations instead of running them, as a CUDA graph, and runs all of
them by one command. On a CPU, `CapturedOnHost` records the calls of NumPy and of the compiled kernels
(`tinygen_kernels.recording`).

What comes from the host goes through `from_host` and `on_host`, here and everywhere in tinygen, so
that a recording sees it. Arrays that are no arguments, such as an optimiser's state, go through
`watched`. All other numbers of the host are what they were when they were recorded.
"""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy
from tinygen_kernels import Array
from tinygen_kernels.recording import Recording

from tinygen.backend.memory import give_memory_back


class _Captures(threading.local):
    """The one in progress in this thread, if there is one."""

    def __init__(self) -> None:
        self.open: list[Capture | HostCapture] = []


_captures = _Captures()


class Capture:
    """A recording on a GPU: what the host has to do at each replay, and what it has to copy before the first one."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.actions: list[Callable[[], object]] = []
        self.copies: list[tuple[Array, numpy.ndarray]] = []

    def constant(self, values: numpy.ndarray) -> Array:
        """An array that will have these values: nothing can be copied from the host during a recording.

        It is not in the recording's pool, whose memory is used by one array after another.
        """
        with self.xp.cuda.using_allocator(self.xp.get_default_memory_pool().malloc):
            there = self.xp.empty(values.shape, values.dtype)
        self.copies.append((there, values.copy()))
        return there

    def given(self, make: Callable[[], numpy.ndarray]) -> Array:
        there = self.constant(numpy.asarray(make()))
        self.actions.append(lambda: _fill(there, make()))
        return there

    def watched(self, array: Array) -> Array:
        return array  # which a CUDA graph need not be told


class HostCapture:
    """A recording on a CPU, on which the host does what it has to do in the midst of the recorded calls."""

    def __init__(self, recording: Recording) -> None:
        self.actions, self.watched = recording.calls, recording.watched

    def given(self, make: Callable[[], numpy.ndarray]) -> Array:
        values = numpy.array(make())
        self.actions.append(lambda: values.__setitem__(..., make()))
        return self.watched(values)


@contextmanager
def _in_progress(capture: Capture | HostCapture) -> Iterator[None]:
    _captures.open.append(capture)
    try:
        yield
    finally:
        _captures.open.pop()


def capturing() -> Capture | HostCapture | None:
    return _captures.open[-1] if _captures.open else None


def watched(array: Array) -> Array:
    """The array, as one whose operations a recording sees."""
    return capture.watched(array) if (capture := capturing()) else array


def on_host(action: Callable[[], object]) -> None:
    """Call the action now, and again before each replay. A replay calls actions in the order of the recording."""
    action()
    if capture := capturing():
        capture.actions.append(action)


class Captured:
    """The operations of function(*arguments) on the current GPU, which are done now and at each call.

    The function must do the same operations every time, and wait for none of them. It may read and
    write only arrays that stay where they are. `result` is what it returned, and `anew` the function.

    Raises what CuPy raises where the function does what cannot be recorded, such as reading a number
    from the GPU.
    """

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Array]) -> None:
        cupy: Any = importlib.import_module("cupy")
        self._device = cupy.cuda.Device()
        self._pool = cupy.cuda.MemoryPool(partial(_keep, []))  # of the recorded arrays alone
        cupy.get_default_memory_pool().free_all_blocks()  # so that there is memory for this one
        self.anew, self._arguments = function, [argument.copy() for argument in arguments]
        stream, capture = cupy.cuda.Stream(non_blocking=True), Capture(cupy)
        self._recorded_on = stream  # so that no later stream gets its handle, by which kernels in the graph have chosen their counters
        with cupy.cuda.using_allocator(self._pool.malloc), stream, _in_progress(capture):
            stream.begin_capture()
            try:
                self.result = function(*self._arguments)
            except BaseException:
                with suppress(Exception):  # what was refused may have ended the capture
                    stream.end_capture()
                raise
            self._graph = stream.end_capture()
        self._actions, self._constants = capture.actions, [there for there, _ in capture.copies]
        for there, values in capture.copies:
            _fill(there, values)
        self._stream = cupy.cuda.get_current_stream
        self._graph.launch(self._stream())

    def __call__(self, *arguments: Array) -> Any:
        with self._device:
            for own, argument in zip(self._arguments, arguments, strict=True):
                own[...] = argument
            for action in self._actions:
                action()
            self._graph.launch(self._stream())
        return self.result

    def __del__(self) -> None:
        """Give the memory back. A pool of CuPy 14 does not: its free blocks and their list own each other."""
        self.result = None
        if not sys.is_finalizing():  # when CuPy is being taken down, and all memory is given back anyway
            with self._device:
                self._pool.free_all_blocks()


class CapturedOnHost:
    """What `Captured` is on a GPU, on the CPU.

    Raises RuntimeError where the function does what cannot be recorded, such as reading a number.
    """

    def __init__(self, function: Callable[..., Any], arguments: Sequence[Array]) -> None:
        self._function, self._arguments, self._recording = function, [argument.copy() for argument in arguments], Recording()
        give_memory_back()  # so that there is memory for the recording's arrays
        self.result = self._recorded(self._recording, *self._arguments)

    def _recorded(self, recording: Recording, *arguments: Array) -> Any:
        with recording, _in_progress(HostCapture(recording)):
            return self._function(*map(recording.watched, arguments))

    def anew(self, *arguments: Array) -> Any:
        """function(*arguments) without a replay, but in the memory of the recording."""
        return self._recorded(Recording(self._recording), *arguments)

    def __call__(self, *arguments: Array) -> Any:
        for own, argument in zip(self._arguments, arguments, strict=True):
            own[...] = argument
        self._recording.replay()
        return self.result


def _keep(blocks: list[Any], size: int) -> Any:
    """New memory, which stays taken as long as it is in the list.

    When a GPU has no memory left, CuPy's pool gives its free blocks back. But a graph goes on to
    use the blocks of temporary arrays, which are free once these are recorded.
    """
    cuda: Any = importlib.import_module("cupy").cuda
    blocks.append(cuda.Memory(size))
    return cuda.MemoryPointer(blocks[-1], 0)


def _fill(there: Array, values: numpy.ndarray) -> None:
    """Copy from the host, without waiting for what the GPU still has to do."""
    cupy: Any = importlib.import_module("cupy")
    there[...] = cupy.asarray(values)
