"""What the user can mend is told in one sentence; a bug keeps its traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from dataclasses import dataclass

import numpy

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line


@dataclass(kw_only=True)
class Options:
    width: int = 3

    def check(self):
        if self.width == 0:
            raise UsageError("--width must not be 0")


def endless():
    return endless()


def main(options):
    print(f"width {options.width}")
    WHAT


if __name__ == "__main__":
    command_line(main, Options)
"""


# Python then flushes the outputs once more at the end.
BUFFERED = os.environ | {"PYTHONUNBUFFERED": ""}


def write(folder: Path, what: str) -> None:
    (folder / "script.py").write_text(SCRIPT.replace("WHAT", what), "utf-8")


def run(folder: Path, what: str, *arguments: str, dev: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    write(folder, what)
    command = [sys.executable, *(["-X", "dev"] if dev else []), folder / "script.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("raise UsageError('photos holds no images')", "photos holds no images"),
        ("open('/nowhere/at/all')", "[Errno 2] No such file or directory: '/nowhere/at/all'"),
        ("tg.tensor([1.0], device='gpu')", 'unknown device "gpu": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...'),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(tmp_path: Path, what: str, message: str) -> None:
    result = run(tmp_path, what)
    assert (result.returncode, result.stderr) == (1, f"script.py: {message}\n")
    developing = run(tmp_path, what, dev=True)
    assert developing.returncode == 1 and message in developing.stderr and "Traceback" in developing.stderr


@pytest.mark.parametrize(
    ("what", "last"),
    [
        ("numpy.ones((2, 3)) + numpy.ones(4)", "ValueError: operands could not be broadcast together with shapes (2,3) (4,) "),
        ("endless()", "RecursionError: maximum recursion depth exceeded"),
        ("a, b = 1, 2, 3", "ValueError: too many values to unpack (expected 2)"),
        ("nn.Module()(tg.ones((2, 3)))", "Module has no forward; define forward(self, x), which gives the output"),
        ("nn.Dense(3, 2)(tg.ones((2, 4)))", "Dense"),
    ],
)
def test_a_bug_keeps_its_traceback(tmp_path: Path, what: str, last: str) -> None:
    result = run(tmp_path, what)
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback") and f"    {what}\n" in result.stderr.replace("return endless()", "endless()")
    assert last in "\n".join(result.stderr.splitlines()[-2:])  # below the error a note may name the layer


def test_a_character_that_the_terminal_lacks_is_an_escape(tmp_path: Path) -> None:
    result = run(tmp_path, "print('猫 ±')", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stdout) == (0, "width 3\n\\u732b \\xb1\n"), result.stderr


def test_options_are_checked_before_main_runs(tmp_path: Path) -> None:
    result = run(tmp_path, "pass", "--width", "0")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "script.py: --width must not be 0\n")


def test_too_little_memory_is_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, "numpy.empty((2**28, 2**28))")
    assert result.returncode == 1 and result.stderr.startswith("script.py: not enough memory: Unable to allocate 512. PiB")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_is_one_word_and_the_shell_s_status(tmp_path: Path) -> None:
    result = run(tmp_path, "raise KeyboardInterrupt")
    assert (result.returncode, result.stderr) == (130, "script.py: interrupted\n")


@pytest.mark.parametrize("arguments", ["--help", "--width 4"])
def test_nobody_has_to_read_the_output(tmp_path: Path, arguments: str) -> None:
    write(tmp_path, "print('line\\n' * 100_000)")
    command = f"set -o pipefail; {sys.executable} {tmp_path / 'script.py'} {arguments} | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=BUFFERED)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize(("fails", "status"), [("raise UsageError('nobody reads this')", 1), ("raise KeyboardInterrupt", 130)])
def test_nobody_has_to_read_an_error(tmp_path: Path, fails: str, status: int) -> None:
    write(tmp_path, f"import time; time.sleep(0.5); {fails}")
    command = f"set -o pipefail; {sys.executable} {tmp_path / 'script.py'} 2>&1 >/dev/null | true"
    assert subprocess.run(["bash", "-c", command], env=BUFFERED).returncode == status


def test_both_outputs_may_be_closed(tmp_path: Path) -> None:
    write(tmp_path, "print('done', file=open('done', 'w'))")
    command = f"cd {tmp_path}; {sys.executable} script.py >&- 2>&-"
    assert subprocess.run(["bash", "-c", command]).returncode == 0
    assert (tmp_path / "done").exists()
    write(tmp_path, "raise UsageError('nobody hears this')")
    assert subprocess.run(["bash", "-c", command]).returncode == 1
