"""The recording of a CUDA graph: its thread and its memory."""

import sys
import threading
from typing import Any

import numpy
import pytest

from tinygen import backend

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels")]


def test_another_thread_is_not_recorded() -> None:
    seen: list[Any] = []

    def function(x: Any) -> Any:
        thread = threading.Thread(target=lambda: seen.append(backend.capturing()))
        thread.start()
        thread.join()
        return x + 1

    backend.Captured(function, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))
    assert seen == [None]


@pytest.fixture
def memory(waits: list[str]) -> Any:
    """What pools have taken from the device, which only the stand-in counts."""
    return sys.modules["tests.stand_in.memory"]


def grasping(x: Any) -> Any:
    """x + 1, after temporary arrays that are each too large for the memory of those before."""
    import cupy

    for n in (2000, 4000, 8000):
        cupy.empty(n, "float32")
    return x + 1


def test_a_recording_s_memory_is_taken_as_long_as_its_graph_lives(memory: Any) -> None:
    before = len(memory.taken)
    captured = backend.Captured(grasping, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))
    assert len(memory.taken) == before + 3
    del captured
    assert len(memory.taken) == before


def test_a_recording_fails_rather_than_give_memory_back_that_its_graph_goes_on_to_use(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CAPACITY", sum(block.size for block in memory.taken) + 50_000)
    with pytest.raises(MemoryError, match="Out of memory allocating 32,256 bytes"):
        backend.Captured(grasping, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))
