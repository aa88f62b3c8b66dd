"""The same run on any number of processes, started by MPI's launcher."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from repository import ROOT

from tinygen.saving import checkpoint

pytest.importorskip("mpi4py", reason="needs the extra mpi")

MPIEXEC = Path(sys.executable).with_name("mpiexec")
EXACT = Path(__file__).with_name("in_float64.py")
ROWS, BATCH = 21, 10  # two steps an epoch


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random, path = numpy.random.default_rng(0), tmp_path_factory.mktemp("data") / "images.npz"
    parts = {"train": ROWS, "test": 8}
    arrays = {f"{part}_images": random.integers(0, 256, (n, 16, 16, 1), dtype=numpy.uint8) for part, n in parts.items()}
    numpy.savez(path, **arrays, **{f"{part}_labels": numpy.arange(n) % 3 for part, n in parts.items()})
    return path


def run(processes: int, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    launched = [MPIEXEC, "-n", str(processes)] if processes > 1 else []
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | variables
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), str(ROOT / "examples")])
    return subprocess.run([*launched, sys.executable, *command], capture_output=True, text=True, env=environment, timeout=300)


def trained(
    processes: int, out: Path, example: str, images: Path, *options: str
) -> tuple[list[dict[str, float]], dict[str, numpy.ndarray]]:
    """The log, and the arrays of the checkpoint, of an example in double precision."""
    result = run(processes, EXACT, example, "--data", images, "--batch-size", str(BATCH), "--out", out, *options)
    assert result.returncode == 0, result.stderr
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in log], checkpoint.load(
        out / "checkpoint.safetensors"
    )[0]


def test_two_processes_train_as_one_does(images: Path, tmp_path: Path) -> None:
    options = ["--epochs", "2"]
    (one, _), (two, _) = (trained(n, tmp_path / str(n), "cnn", images, *options) for n in (1, 2))
    assert [list(line) for line in one] == [list(line) for line in two]
    for a, b in zip(one, two, strict=True):
        numpy.testing.assert_allclose(list(b.values()), list(a.values()), rtol=1e-9)
