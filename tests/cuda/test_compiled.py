"""What the compiler makes of every kernel for a GPU, on each architecture, stays within limits. Needs no GPU, but CUDA's compilers."""

import json
import os
import subprocess
import sys
import types
from typing import Any

import pytest

pytestmark = pytest.mark.gpu

SCRIPT = (
    "import dataclasses, json; from tinygen_kernels.bench import ptx; print(json.dumps([dataclasses.asdict(r) for r in ptx.reports()]))"
)

# By tile: the least occupancy, with rows read one number at a time on both sides and otherwise, and the least share of multiply-adds.
TILES = {"128x128x8": (0.25, 0.25, 0.84), "128x64x16": (0.25, 0.25, 0.83), "64x64x16": (0.37, 0.5, 0.75), "64x16x16": (0.25, 0.25, 0.74)}


@pytest.fixture(scope="module")
def reports(cuda_kernels: types.ModuleType) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}  # the simulator compiles nothing
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    made = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    return json.loads(made.stdout)


def test_nothing_is_spilled_and_no_integer_division_is_64_bits_wide(reports: list[dict[str, Any]]) -> None:
    assert len(reports) >= 3 * 40
    for report in reports:
        assert (report["spills"], report["wide_divisions"]) == (0, 0), report
        assert report["shared"] <= 48 * 1024, report
        assert report["registers"] <= 128, report


@pytest.mark.parametrize("tile", TILES)
def test_the_tiles_fill_a_gpu_with_multiply_adds(tile: str, reports: list[dict[str, Any]]) -> None:
    scalar, wide, multiplications = TILES[tile]
    found = [report for report in reports if f" {tile} float32" in report["name"]]
    assert len(found) == 2 * 4 * 3  # conv and conv_weight, one or four numbers at a time of each matrix, architectures
    for report in found:
        assert report["occupancy"] >= (scalar if report["name"].endswith("11") else wide), report
        assert report["multiplications"] >= multiplications, report
