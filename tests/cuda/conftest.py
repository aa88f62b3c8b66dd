import sys
import types
from collections.abc import Iterator

import pytest
from device_arrays import STAND_IN, make_results_full_of_nan


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
def planned_as_for_a_gpu(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Convolutions are divided into blocks as on a GPU. The simulator is too slow to run these."""
    from tinygen_kernels.cuda import conv, products

    monkeypatch.setattr(products, "SIMULATED", False)
    monkeypatch.setattr(products, "_SHORTEST", 256)
    conv._plan.cache_clear()
    yield
    conv._plan.cache_clear()
