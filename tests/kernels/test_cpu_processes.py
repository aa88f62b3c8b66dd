"""Properties that need separate processes or threads: bounds, threads, forks, other processors."""

import concurrent.futures
import os
import pathlib
import platform
import signal
import subprocess
import sys

import every_kernel
import numpy
import pytest

SCRIPT = pathlib.Path(every_kernel.__file__)

AVX2 = ("haswell", "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt,+sse4.2")
PROCESSORS = {"16 registers of 32 bytes": AVX2} if platform.machine() == "x86_64" else {}
PROCESSORS["the fewest and shortest registers"] = ("generic", "")  # of any processor of this kind


def run(*arguments: str | pathlib.Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True, text=True
    )


def printed(*arguments: str | pathlib.Path, **environment: str) -> str:
    process = run(*arguments, **environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


class TestBounds:
    def test_the_guard_stops_an_overrun(self) -> None:
        assert run(SCRIPT, "float32", "overrun").returncode in (-signal.SIGSEGV, -signal.SIGBUS)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("side", ["start", "end"])
    def test_reads_and_writes_stay_inside_the_arrays(self, dtype: str, side: str) -> None:
        printed(SCRIPT, dtype, side)


def test_every_index_is_within_its_array(tmp_path: pathlib.Path) -> None:
    """Numba checks indices on request in loops of one thread, and raises IndexError.

    It does not check those of the tiles, for which there are only the guard pages.
    """
    checks = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert printed(SCRIPT, "float32", **checks) == every_kernel.digest(numpy.float32) + "\n"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads(dtype: str) -> None:
    """One thread runs the serial loops; five threads share every loop, even the shortest."""
    always = "import every_kernel; from tinygen_kernels.cpu import parallel; parallel.WORTH_A_THREAD = 1"
    shared = printed("-c", f"{always}; print(every_kernel.digest('{dtype}'))", NUMBA_NUM_THREADS="5")
    assert printed(SCRIPT, dtype, NUMBA_NUM_THREADS="1") == shared == every_kernel.digest(dtype) + "\n"


def test_python_threads_may_use_the_kernels_at_once() -> None:
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        digests = list(threads.map(every_kernel.digest, [numpy.float32] * 8))
    assert len(set(digests)) == 1


@pytest.mark.parametrize(("name", "features"), PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("side", ["start", "end"])
def test_other_processors(name: str, features: str, side: str) -> None:
    printed(SCRIPT, "float32", side, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)


FORKED = """
import multiprocessing
import numpy
from tinygen_kernels import cpu

x = numpy.random.default_rng(0).standard_normal((64, 32, 32, 1))
w = numpy.ones((3, 3, 1, 32))

def calculate():
    return cpu.conv2d(x, w, None, (1, 1), ((1, 1), (1, 1)), (1, 1))

if __name__ == "__main__":
    here = calculate()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.apply_async(calculate).get(timeout=60)
    assert (here == there).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes_the_same(tmp_path: pathlib.Path) -> None:
    """The parent's threads do not survive the fork, and the child must not wait for them."""
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    printed(script, NUMBA_NUM_THREADS="2")
