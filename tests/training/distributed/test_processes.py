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
SUMS, ON_GPUS = (Path(__file__).with_name(name) for name in ("sums.py", "on_gpus.py"))
ROWS, BATCH = 23, 11  # two steps an epoch, and shares that differ


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random, path = numpy.random.default_rng(0), tmp_path_factory.mktemp("data") / "images.npz"
    parts = {"train": ROWS, "test": 8}
    arrays = {f"{part}_images": random.integers(0, 256, (n, 16, 16, 1), dtype=numpy.uint8) for part, n in parts.items()}
    numpy.savez(path, **arrays, **{f"{part}_labels": numpy.arange(n) % 3 for part, n in parts.items()})
    return path


def run(processes: int, out: Path, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command with --out. The processes but the first one get another folder, which none of them may create."""
    others = out.with_name("others")
    programs = [[sys.executable, *command, "--out", folder] for folder in (out, *[others] * (processes - 1))]
    launched = [MPIEXEC, *[word for program in programs for word in (":", "-n", "1", *program)][1:]] if processes > 1 else programs[0]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | variables
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels"), str(ROOT / "examples")])
    result = subprocess.run(launched, capture_output=True, text=True, env=environment, timeout=300)
    assert not others.exists()
    return result


Trained = tuple[list[dict[str, float]], dict[str, numpy.ndarray]]


def trained(processes: int, out: Path, example: str, *options: str | Path) -> Trained:
    """The log, and the arrays of the checkpoint, of two epochs of an example in double precision."""
    result = run(processes, out, EXACT, example, "--batch-size", str(BATCH), "--epochs", "2", *options)
    assert result.returncode == 0, result.stderr
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    arrays, _ = checkpoint.load(out / "checkpoint.safetensors")
    return [{name: value for name, value in line.items() if name != "seconds"} for line in log], arrays


@pytest.mark.parametrize(
    ("processes", "example", "options"),
    [
        (2, "cnn", []),
        (2, "dcgan", []),
        (2, "wgan", ["--penalty"]),
        (3, "recurrent_gan", ["--features", "16"]),
        (3, "vqvae", ["--autoencoder-epochs", "1"]),
    ],
)
def test_several_processes_train_as_one_does(processes: int, example: str, options: list[str], images: Path, tmp_path: Path) -> None:
    compare(*(trained(n, tmp_path / str(n), example, "--data", images, *options) for n in (1, processes)))


def test_sums_on_their_way_do_not_mix(tmp_path: Path) -> None:
    result = run(3, tmp_path / "run", SUMS)
    assert result.returncode == 0, result.stderr


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_processes_share_a_batch_on_gpus(tmp_path: Path) -> None:
    """Through the host where NCCL is missing or the processes have one GPU."""
    from tinygen_kernels.cuda.compiler import SIMULATED

    result = run(2, tmp_path / "run", ON_GPUS, *["stand-in"] * SIMULATED)
    assert result.returncode == 0, result.stderr


def compare(one: Trained, several: Trained) -> None:
    for a, b in zip(one[0], several[0], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            # Diversity is no loss: the images that it compares differ by a hundredth, which magnifies their rounding.
            numpy.testing.assert_allclose(b[name], a[name], rtol=1e-8 if name == "diversity" else 1e-12, err_msg=name)
    assert one[1].keys() == several[1].keys()
    for name, array in one[1].items():
        numpy.testing.assert_allclose(several[1][name], array, rtol=1e-6, atol=1e-9, err_msg=name)


def test_runs_of_two_processes_leave_the_same_bits_and_those_of_one_to_rounding(images: Path, tmp_path: Path) -> None:
    one, first, second = (trained(n, tmp_path / str(i), "vae", "--data", images) for i, n in enumerate((1, 2, 2)))
    compare(one, first)
    assert {name: array.tobytes() for name, array in first[1].items()} == {name: array.tobytes() for name, array in second[1].items()}


def test_what_a_script_finds_after_its_training_is_told_and_written_once(images: Path, tmp_path: Path) -> None:
    options = ["--width", "8", "--epochs", "1", "--batch-size", str(BATCH), "--data", images]
    result = run(2, tmp_path / "run", ROOT / "examples" / "superresolution.py", *options, TINYGEN_KERNELS="reference")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count((tmp_path / "run" / "findings.txt").read_text()) == 1
