import sys
import types
from pathlib import Path

import numpy
import pytest
import tinygen_kernels

from tinygen.backend import to_device

sys.path.append(str(Path(__file__).parent.parent / "kernels"))  # for kernel_shapes, which the CPU's tests draw from, too


@pytest.fixture(scope="session")
def cuda_kernels() -> types.ModuleType:
    """tinygen_kernels.cuda, where there is a GPU or its stand-in; what is missing is the reason why its tests are skipped."""
    try:
        to_device(numpy.zeros(1), "cuda")
    except RuntimeError as reason:
        pytest.skip(str(reason))
    from tinygen_kernels import cuda

    return cuda


@pytest.fixture
def waits(cuda_kernels: types.ModuleType) -> list[str]:
    """What has made the host wait for the device since the list was last cleared, in order. Only the stand-in counts that."""
    if "tests.stand_in.array" not in sys.modules:
        pytest.skip("CuPy does not count what waits for it, its stand-in does: -p tests.stand_in")
    found = sys.modules["tests.stand_in.array"].waits
    found.clear()
    return found


@pytest.fixture
def fast_kernels(waits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's kernels instead of simulated ones, for what is above the kernels."""
    from tests.stand_in.kernels import cpu_kernels

    monkeypatch.setattr(tinygen_kernels, "cuda", cpu_kernels())
