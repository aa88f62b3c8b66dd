"""How many operations a step starts on a GPU, without copies from the host. Python takes some microseconds for each."""

import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy
import pytest

from tinygen.backend import to_device
from tinygen.bench import steps

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("planned_as_for_a_gpu")]


@pytest.fixture
def started(cuda_kernels: types.ModuleType, waits: list[str], monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of kernels and copies so far: tinygen's by name, which are not run, and CuPy's."""
    from tests.stand_in import array, module

    found: Counter[str] = Counter()

    def launch(kernel: Any, *arguments: Any) -> None:
        found[kernel.__qualname__.partition(".")[0]] += 1

    def do(operation: Callable[[], Any], real: Callable[..., Any] = array.do) -> Any:
        result = real(operation)
        # A view starts nothing. One element is a view in CuPy, though a copy here, and no other
        # result is an array without axes.
        found["CuPy"] += not (isinstance(result, numpy.ndarray) and (result.base is not None or result.ndim == 0))
        return result

    for name in ("launch", "norm", "elementwise"):
        monkeypatch.setattr(getattr(cuda_kernels, name), "launch", launch)
    for user in (array, module):
        monkeypatch.setattr(user, "do", do)
    monkeypatch.setattr(cuda_kernels.conv, "SIMULATED", False)
    return found


def test_a_step_of_the_dcgan(started: Counter[str]) -> None:
    taken = steps.take("dcgan", "cuda")
    batch = [to_device(array, "cuda") for array in taken.batch]
    with numpy.errstate(all="ignore"):  # the arrays hold anything
        taken.step(*batch)  # the first one also makes what all others use
        started.clear()
        taken.step(*batch)
    assert started["gemm"] == 25  # products of matrices
    assert started["_adam"] == 3  # of up to eight parameters each
    assert started.total() <= 105, started
