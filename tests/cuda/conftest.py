import sys
import types

import pytest
import tinygen_kernels
from device_arrays import STAND_IN, need


@pytest.fixture(scope="session")
def cuda_kernels() -> types.ModuleType:
    """tinygen_kernels.cuda, where there is a GPU or its stand-in."""
    need("cuda")
    from tinygen_kernels import cuda

    return cuda


@pytest.fixture
def waits(cuda_kernels: types.ModuleType) -> list[str]:
    """What has made the host wait for the device since the list was last cleared, in order. Only the stand-in counts that."""
    if STAND_IN not in sys.modules:
        pytest.skip("CuPy does not count what waits for it, its stand-in does: -p tests.stand_in")
    found = sys.modules[STAND_IN].waits
    found.clear()
    return found


@pytest.fixture
def fast_kernels(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stand-in, the CPU's kernels instead of simulated ones, for what is above the kernels."""
    if STAND_IN in sys.modules:
        from tests.stand_in.kernels import cpu_kernels

        monkeypatch.setattr(tinygen_kernels, "cuda", cpu_kernels())


@pytest.fixture
def planned_as_for_a_gpu(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions are cut into blocks as on a GPU, which the simulator would take too long for."""
    from tinygen_kernels.cuda import products

    monkeypatch.setattr(products, "SIMULATED", False)
    monkeypatch.setattr(products, "_SHORTEST", 256)
