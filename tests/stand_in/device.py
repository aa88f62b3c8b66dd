"""The stand-in's cupy.cuda: two devices, of which one is current, and streams that are done with everything at once."""

import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.stand_in.capture import Graph, allocators, captures

COUNT = 2
_current = [0]  # a stack: each `with Device(i)` puts one on top


def current() -> int:
    """The number of the device that new arrays and computations go to."""
    return _current[-1]


def expect_current(*arguments: Any) -> None:
    """Raise ValueError, as CuPy does on devices that cannot read each other's memory, for an array that lies on another device."""
    for argument in arguments:
        if isinstance(argument, tuple | list):
            expect_current(*argument)
        elif getattr(argument, "number", current()) != current():
            raise ValueError(
                f"The device where the array resides ({argument.number}) is different from the current device ({current()}). "
                "Peer access is unavailable between these devices."
            )


class Device:
    """cupy.cuda.Device: a device by its number; within `with`, or after `use`, the current one."""

    def __init__(self, device: int | None = None) -> None:
        self.id = current() if device is None else device

    def __enter__(self) -> "Device":
        if not 0 <= self.id < COUNT:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        _current.append(self.id)
        return self

    def __exit__(self, *error: object) -> None:
        _current.pop()

    def use(self) -> None:
        with self:
            pass
        _current[-1] = self.id

    def synchronize(self) -> None:
        _wait("Device.synchronize")

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        """Those of an H100. Frequencies in kHz, the width in bits."""
        return {"MultiProcessorCount": 132, "ClockRate": 1_980_000, "MemoryClockRate": 2_619_000, "GlobalMemoryBusWidth": 5120}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


history: list[tuple[str, str]] = []  # what has been asked of streams, in order: ("copy", its stream), ("wait", who waits "for" whom)


class Stream:
    """cupy.cuda.Stream. What it is given to do has happened already, but it is written down."""

    ptr = 0
    null: "Stream"

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: None = None) -> None:
        self.name = "main" if null else "other"

    def __enter__(self) -> "Stream":
        _streams.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _streams.pop()

    def use(self) -> "Stream":
        _streams[-1] = self
        return self

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        history.append(("wait", f"{self.name} for {event.stream.name}"))

    def synchronize(self) -> None:
        """Wait. During a capture of another stream this is allowed, and so is work on the default stream."""
        if not (captures and self is Stream.null):
            _wait("Stream.synchronize")

    def begin_capture(self, mode: int | None = None) -> None:
        if self.name == "main":
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the default stream cannot be captured")
        captures.append(Graph([(host, host.copy()) for host in _hosts() if host.flags.writeable]))

    def end_capture(self) -> Graph:
        graph = captures.pop()
        graph.take_back(_hosts())
        return graph


Stream.null = Stream(null=True)
_streams = [Stream.null]  # a stack, as of devices


def current_stream(device_id: int = -1) -> Stream:
    return _streams[-1]


class Event:
    """cupy.cuda.Event."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        pass

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or current_stream()
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        _wait("Event.synchronize")


def _hosts() -> list[Any]:
    """The memory of all arrays that are alive."""
    from tests.stand_in.array import living

    return [array.host for array in living.values()]


@contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    allocators.append(allocator)
    try:
        yield
    finally:
        allocators.pop()


class CUDARuntimeError(RuntimeError):
    """cupy.cuda.runtime.CUDARuntimeError, raised for what CUDA refuses during a capture, and without memory."""


def _wait(what: str) -> None:
    from tests.stand_in.array import waits

    waits.append(what)


def modules() -> list[types.ModuleType]:
    """cupy.cuda and cupy.cuda.runtime."""
    from tests.stand_in.memory import Memory, MemoryPointer, MemoryPool

    runtime, cuda = types.ModuleType("cupy.cuda.runtime"), types.ModuleType("cupy.cuda")
    vars(runtime).update(getDeviceCount=lambda: COUNT, getDevice=current, CUDARuntimeError=CUDARuntimeError)
    vars(cuda).update(
        Device=Device,
        Stream=Stream,
        Event=Event,
        Memory=Memory,
        MemoryPointer=MemoryPointer,
        MemoryPool=MemoryPool,
        using_allocator=using_allocator,
        get_current_stream=current_stream,
        get_elapsed_time=lambda start, end: 1e3 * (end.seconds - start.seconds),
        is_available=lambda: True,
        runtime=runtime,
    )
    return [cuda, runtime]
