"""Whatever goes wrong in one of several processes ends all of them, in one sentence, and the last checkpoint is whole."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from repository import ROOT

from tinygen.saving import checkpoint

pytest.importorskip("mpi4py", reason="needs the extra mpi")

SCRIPT = Path(__file__).with_name("failing.py")


def run(processes: int, out: Path, *options: str, by_tinygen: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "tinygen", "run"] if by_tinygen else [Path(sys.executable).with_name("mpiexec")]
    launched = [*launcher, "-n", str(processes)] if processes > 1 else []
    python = [] if by_tinygen else [sys.executable]
    environment = os.environ | {"TINYGEN_KERNELS": "reference", "OPENBLAS_NUM_THREADS": "1"} | variables
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [*launched, *python, SCRIPT, "--out", out, *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, numpy.ndarray]:
    """What one process leaves that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(1, folder).returncode == 0
    return checkpoint.load(folder / "checkpoint.safetensors")[0]


def resumed(out: Path, whole: dict[str, numpy.ndarray]) -> None:
    """One process goes on with what two have left, to the end that one alone comes to."""
    result = run(1, out, "--resume")
    assert result.returncode == 0 and "resuming after 1 epochs and " in result.stdout, result.stderr
    for name, array in checkpoint.load(out / "checkpoint.safetensors")[0].items():
        numpy.testing.assert_allclose(array, whole[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_process_that_is_killed(whole: dict[str, numpy.ndarray], tmp_path: Path) -> None:
    result = run(2, tmp_path / "run", "--how", "killed", by_tinygen=True)
    assert result.returncode == 1
    assert result.stderr.startswith("tinygen: a process was ended by SIGKILL, and so were the others") and result.stderr.count("\n") == 1
    assert [line.split()[0] for line in result.stdout.splitlines() if line] == ["epoch"]
    resumed(tmp_path / "run", whole)


def test_a_signal_to_any_process_stops_all_of_them_after_the_same_step(whole: dict[str, numpy.ndarray], tmp_path: Path) -> None:
    result = run(2, tmp_path / "run", "--how", "stopped")
    assert result.returncode == 143
    assert "stopped in epoch 2 after 3 of 10 batches; --resume goes on from there" in result.stdout
    resumed(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("hanging", "failing.py: process 0 of 2 has waited 3 s for the others"),
        ("a bug", "IndexError: a bug of process 1"),
        ("full disk", "failing.py: [Errno 28] No space left on device"),
    ],
)
def test_what_else_goes_wrong_is_told_once(how: str, told: str, tmp_path: Path) -> None:
    result = run(2, tmp_path / "run", "--how", how, TINYGEN_TIMEOUT="3")
    assert result.returncode == 1
    assert result.stderr.count(told) == 1
    assert ("Traceback" in result.stderr) if how == "a bug" else (result.stderr.count("\n") == 1)
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")


@pytest.mark.parametrize(
    ("how", "named"),
    [("other data", "data"), ("other weights", "weights"), ("other machine", "the script, numpy, --batch-size, --device")],
)
def test_processes_that_would_not_compute_the_same_are_refused(how: str, named: str, tmp_path: Path) -> None:
    result = run(2, tmp_path / "run", "--how", how)
    told = f"failing.py: process 1 of 2 differs from process 0 in {named}; all must compute the same\n"
    assert (result.returncode, result.stderr) == (1, told)
    assert not (tmp_path / "run").exists()


def test_an_option_that_is_wrong_in_all_of_them_is_told_once(tmp_path: Path) -> None:
    result = run(2, tmp_path / "run", "--epochs", "0")
    assert (result.returncode, result.stderr) == (1, "failing.py: --epochs must be positive, got 0\n")


def test_a_batch_that_is_too_small_is_told(tmp_path: Path) -> None:
    result = run(3, tmp_path / "run", "--batch-size", "2")
    assert result.returncode and "a batch of 2 rows is too small for 3 processes" in result.stderr


def test_without_the_extra_the_line_that_installs_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')\n")
    environment = os.environ | {"PMI_SIZE": "2", "PMI_RANK": "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "kernels")])
    result = subprocess.run([sys.executable, SCRIPT, "--out", tmp_path / "run"], capture_output=True, text=True, env=environment)
    told = "2 processes were started, but mpi4py, through which they meet, cannot be imported (no MPI here): pip install 'tinygen[mpi]'"
    assert (result.returncode, result.stderr) == (1, f"failing.py: {told}\n")
