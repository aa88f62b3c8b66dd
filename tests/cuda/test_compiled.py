"""The machine code of every GPU kernel stays within limits on each architecture.

This needs CUDA's compilers, but not a GPU.
"""

import json
import os
import subprocess
import sys
import types
from typing import Any

import pytest
from tinygen_kernels.ladder.cuda import RUNGS

pytestmark = pytest.mark.gpu

SCRIPT = "import dataclasses, json; from tinygen.bench import ptx; print(json.dumps([dataclasses.asdict(r) for r in ptx.reports()]))"

# For each tile: the least occupancy, the least share of multiply-adds, and which of the two
# matrices it reads one or four numbers at a time.
TILES = {
    "128x128x8": (0.25, 0.84, ["44", "41", "14", "11"]),
    "128x64x16": (0.25, 0.83, ["44", "41", "14", "11"]),
    "64x64x16": (0.5, 0.75, ["44", "41", "14"]),
    "64x64x8": (0.5, 0.75, ["11"]),
    "64x16x16": (0.25, 0.74, ["44", "41", "14", "11"]),
}
# The same by tensor cores, whose products are 1,024 multiply-adds each, of 32 threads. Where the
# large tile reads one number at a time, it takes more than 128 registers: a multiprocessor holds one
# block of 256 threads then, whether these are 129 or 255.
TENSOR_CORES = {"128x128x16": (0.125, 0.09, ["44", "11"]), "64x64x16": (0.25, 0.05, ["44", "11"])}

# The table translates a kernel once for all architectures, and the package once for each.
BOTH = """
import importlib
from tinygen.bench import ptx
compiler = importlib.import_module("tinygen_kernels.cuda.compiler")
name, kernel, signature, threads = ptx._kernels("tinygen_kernels.ladder.cuda")[0]
oldest = ptx.ARCHITECTURES[0]
found, used = ptx.reports_of(name, kernel, signature, threads)[0], compiler.ptx(kernel, signature, oldest.capability)
assert ptx.report(name, used, threads, oldest, found.seconds) == found
"""


def run(script: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}  # the simulator compiles nothing
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout


@pytest.fixture(scope="module")
def reports(cuda_kernels: types.ModuleType) -> list[dict[str, Any]]:
    return json.loads(run(SCRIPT))


def test_the_table_is_of_the_code_that_runs(cuda_kernels: types.ModuleType) -> None:
    run(BOTH)


def test_nothing_is_spilled_and_no_integer_division_is_64_bits_wide(reports: list[dict[str, Any]]) -> None:
    assert len(reports) >= 3 * 40
    assert {f"ladder {rung}" for rung in RUNGS[:-1]} <= {report["name"] for report in reports}
    for report in reports:
        assert (report["spills"], report["wide_divisions"]) == (0, 0), report
        assert report["shared"] <= 48 * 1024, report
        assert report["registers"] <= (255 if "128x128x16 tf32 11" in report["name"] else 128), report


@pytest.mark.parametrize(("precision", "tile"), [*(("float32", tile) for tile in TILES), *(("tf32", tile) for tile in TENSOR_CORES)])
def test_the_tiles_fill_a_gpu_with_multiply_adds(precision: str, tile: str, reports: list[dict[str, Any]]) -> None:
    occupancy, multiplications, widths = TILES[tile] if precision == "float32" else TENSOR_CORES[tile]
    found = [report for report in reports if f" {tile} {precision}" in report["name"]]
    architectures = 3 if precision == "float32" else 2  # the oldest has no tensor cores for TF32
    kernels = [f"{name} {tile} {precision} {width}" for width in widths for name in ("conv", "conv_weight") for _ in range(architectures)]
    assert [report["name"] for report in found] == kernels
    for report in found:
        assert report["occupancy"] >= occupancy, report
        assert report["multiplications"] >= multiplications, report
