"""How a script is started on several processes; what they do is tested in tests/training/distributed."""

import sys
from pathlib import Path

import pytest

from tinygen.command_line import UsageError
from tinygen.commands import launch
from tinygen.training import distributed


@pytest.mark.parametrize(
    ("given", "separated"),
    [
        ("__main__.py run -n 4 dcgan.py --epochs 3 my.py", "__main__.py run -n 4 -- dcgan.py --epochs 3 my.py"),
        ("tinygen run dcgan.py", "tinygen run -- dcgan.py"),
        ("tinygen run -n 4 -- dcgan.py --help", "tinygen run -n 4 -- dcgan.py --help"),
        ("tinygen run --help", "tinygen run --help"),
        ("tinygen sample runs/vae --script my.py", "tinygen sample runs/vae --script my.py"),
    ],
)
def test_what_comes_behind_the_script_is_its_own(given: str, separated: str) -> None:
    assert launch.separated(given.split()) == separated.split()


def test_what_is_wrong_with_the_options_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-n must be at least 1, got 0"):
        launch.LaunchOptions(script=Path(__file__), n=0).check()
    with pytest.raises(UsageError, match=r"the script .*gone.py does not exist"):
        launch.LaunchOptions(script=tmp_path / "gone.py").check()


def test_without_a_launcher_the_line_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"^mpiexec, MPI's launcher, is not installed: pip install 'tinygen\[mpi\]'$"):
        distributed.launcher()
