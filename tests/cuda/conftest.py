import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import tinygen_kernels
from device_arrays import STAND_IN, make_results_full_of_nan, need

from tinygen import backend


@pytest.fixture(scope="session")
def cuda_kernels() -> types.ModuleType:
    """tinygen_kernels.cuda. The test is skipped if there is neither a GPU nor its stand-in."""
    need("cuda")
    from tinygen_kernels import cuda

    return cuda


@pytest.fixture(scope="module")
def conv(cuda_kernels: types.ModuleType) -> Iterator[types.ModuleType]:
    """tinygen_kernels.cuda.conv, in which also short sums are cut into pieces."""
    from tinygen_kernels.cuda import conv, products

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_SHORTEST", 32)  # on a GPU, too
        conv._plan.cache_clear()
        make_results_full_of_nan(conv, patch)
        yield conv
    conv._plan.cache_clear()


@pytest.fixture
def waits(cuda_kernels: types.ModuleType) -> list[str]:
    """The operations for which the host has waited since the list was last cleared, in order.

    Only the stand-in records them.
    """
    if STAND_IN not in sys.modules:
        pytest.skip("CuPy does not count what waits for it, its stand-in does: -p tests.stand_in")
    found = sys.modules[STAND_IN].waits
    found.clear()
    return found


@pytest.fixture
def fast_kernels(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stand-in, the CPU's kernels replace the simulated ones, which are slow."""
    if STAND_IN in sys.modules:
        from tests.stand_in.kernels import cpu_kernels

        monkeypatch.setattr(tinygen_kernels, "cuda", cpu_kernels())


@pytest.fixture
def planned_as_for_a_gpu(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Convolutions are divided into blocks as on a GPU. The simulator is too slow to run these."""
    from tinygen_kernels.cuda import conv, products

    monkeypatch.setattr(products, "SIMULATED", False)
    monkeypatch.setattr(products, "_SHORTEST", 256)
    conv._plan.cache_clear()
    yield
    conv._plan.cache_clear()


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of arrays of each replay."""
    found: list[int] = []
    call = backend.Captured.__call__

    def counted(self: backend.Captured, *arguments: Any) -> Any:
        found.append(len(arguments))
        return call(self, *arguments)

    monkeypatch.setattr(backend.Captured, "__call__", counted)
    return found
