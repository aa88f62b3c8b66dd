"""A stand-in for CuPy on a machine without a GPU, as a plugin of pytest: `python -m pytest -p tests.stand_in -m gpu`.

It runs the tests that need a GPU on NumPy's memory, with CuPy's manners, and kernels in Numba's
CUDA simulator. It offers the names and signatures of the CuPy that is installed, which can be
imported, though not used, where there is no GPU. It refuses what CuPy refuses: NumPy's arrays and
lists among its own, implicit conversions, arrays of another device than the current one. It writes
down in `waits` what makes the host wait for the device. Where CuPy's behaviour depends on the
machine it takes the strict side: there are two devices, and neither can read the other's memory.

What it cannot show: times, the order in which a GPU adds up, and whether CuPy's own functions are
right.
"""

import os
import sys

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Take CuPy's place before any test."""
    replace_cupy()


def replace_cupy() -> None:
    """Take CuPy's place, before anything imports Numba or CuPy."""
    too_early = {"numba", "cupy"} & set(sys.modules)
    if too_early:
        raise pytest.UsageError(f"tests.stand_in must come first, but {', '.join(too_early)} has been imported already")
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    from tests.stand_in import module, simulator

    module.install()
    simulator.speed_up()


def pytest_report_header() -> str:
    from tests.stand_in.module import real

    return f"gpu: a stand-in with the names of CuPy {real.__version__}, and Numba's CUDA simulator; nothing runs on a GPU"
