"""What runs on another stream than the first one, and what waits for what."""

import sys
import threading
import types
from typing import Any

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen.backend import copied_ahead, device_of

pytestmark = pytest.mark.gpu


def batches() -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    random = numpy.random.default_rng(0)
    return [(random.integers(256, size=(4, 3, 3, 1), dtype="uint8"), random.integers(10, size=4)) for _ in range(3)]


@pytest.mark.usefixtures("cuda_kernels")
def test_batches_arrive_whole_and_in_order() -> None:
    arrived = list(copied_ahead(iter(batches()), "cuda:0"))
    assert {device_of(array) for batch in arrived for array in batch} == {"cuda:0"}
    for batch, expected in zip(arrived, batches(), strict=True):
        for array, original in zip(batch, expected, strict=True):
            assert array.dtype == original.dtype
            assert_array_equal(array.get(), original)
    assert list(copied_ahead(iter([]), "cuda")) == []


def test_on_the_cpu_batches_are_passed_on_as_they_are() -> None:
    given = batches()
    assert all(a is b for a, b in zip(copied_ahead(given, "cpu"), given, strict=True))


def test_a_batch_is_copied_while_the_step_before_it_runs(waits: list[str]) -> None:
    history = sys.modules["tests.stand_in.device"].history
    history.clear()
    for _ in copied_ahead(batches(), "cuda"):
        history.append(("step", "main"))
    send = [("wait", "other for main"), ("copy", "other"), ("copy", "other")]
    arrival = [("wait", "main for other")]
    step = [("step", "main")]
    assert history == [*send, *send, *arrival, *step, *send, *arrival, *step, *arrival, *step]
    assert waits == []  # the host waits for none of it


def test_threads_do_not_share_counters(cuda_kernels: types.ModuleType) -> None:
    """Their default streams may be two, but have one handle."""
    from tinygen_kernels.cuda.last_block import counters

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(counters(4, 2)))
    thread.start()
    thread.join()
    own = counters(4, 2)
    assert own is counters(4, 2) and own is not found[0]


def test_kernels_run_on_the_current_stream(cuda_kernels: types.ModuleType) -> None:
    """A kernel on another stream than the slow work before it would read unfinished results."""
    import cupy
    from tinygen_kernels.cuda.compiler import SIMULATED

    size = 8 if SIMULATED else 4096
    weight, gamma = tg.ones((3, 3, 1, 2), device="cuda"), tg.ones((2,), device="cuda")
    with cupy.cuda.Stream(non_blocking=True) as stream:
        slow = cupy.full((size, size), 1.0 / size, "float32")
        for _ in range(20):
            slow = slow @ slow
        image = cupy.zeros((1, 8, 8, 1), "float32")
        image += slow[0, 0] * size  # all ones, in the end
        y = tg.max_pool2d(tg.leaky_relu(tg.conv2d(tg.Tensor(image), weight), 0.5), 2)
        z = tg.batch_norm(y + tg.Tensor(image[:, :3, :3] * cupy.arange(2, dtype="float32")), gamma, gamma)
        stream.synchronize()
    assert_allclose(y.numpy(), 9.0, rtol=1e-4)
    assert_allclose(z.numpy(), 1.0, rtol=1e-4)
