"""The cached machine code is never older than the source, and never makes a run fail."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
import tinygen_kernels

# `_bordered` is in conv.py; the helper `copy` that its kernel calls is in panels.py.
SCRIPT = """
import numpy
from tinygen_kernels.cpu import conv
sums = [conv._bordered(numpy.ones((1, 1, 1, 1), dtype), ((1, 1), (1, 1)), (1, 1))[0].sum() for dtype in "d"]
print(sums[0])
"""
UNWRITABLE = """
import tempfile

def refuse(**_):
    raise PermissionError

tempfile.TemporaryFile = refuse  # with which Numba tries whether a folder can be written to
"""


class Copy:
    """A copy of the package, with a cache of its own."""

    def __init__(self, folder: pathlib.Path):
        self.cpu = folder / "tinygen_kernels" / "cpu"
        self.cache = self.cpu / "__pycache__"
        shutil.copytree(tinygen_kernels.__path__[0], folder / "tinygen_kernels", ignore=shutil.ignore_patterns("__pycache__", "bench"))
        nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), os.devnull)
        self.environment = {**os.environ, **nowhere, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment.pop("NUMBA_CACHE_DIR", None)

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *arguments]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, script: str = SCRIPT) -> tuple[float, str]:
        """The number that the script prints, and its messages."""
        process = self.start(script)
        output, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
        return float(output), messages


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> Copy:
    return Copy(tmp_path)


def test_an_edited_helper_changes_the_kernels_of_other_files_at_once(copy: Copy) -> None:
    assert copy.run()[0] == 1
    files = len(list(copy.cache.iterdir()))
    panels = copy.cpu / "panels.py"
    source = panels.read_text()
    times = panels.stat().st_atime, panels.stat().st_mtime
    panels.write_text(source.replace("target[i] = source[i]", "target[i] = source[i] * 2"))
    os.utime(panels, times)
    assert copy.run()[0] == 2
    panels.write_text(source)
    assert copy.run()[0] == 1
    assert len(list(copy.cache.iterdir())) == files  # the old machine code is replaced


def test_compiling_is_announced_once_and_only_when_it_happens(copy: Copy) -> None:
    script = SCRIPT.replace('"d"', '"df"')
    assert copy.run(script)[1].count("\n") == 1
    assert copy.run(script)[1] == ""


def test_kernels_are_read_from_the_cache_without_what_the_compiler_needs(copy: Copy) -> None:
    script = SCRIPT.replace("print(sums[0])", 'import sys; print(int("numba.np.linalg" in sys.modules))')
    assert copy.run(script)[0] == 1
    assert copy.run(script)[0] == 0


def test_where_nothing_can_be_written_kernels_are_compiled_and_one_warning_says_so(copy: Copy) -> None:
    copy.cache.touch()  # a file where the folder would be
    result, messages = copy.run()
    assert result == 1
    assert messages.count("RuntimeWarning") == 1
    assert f"cannot be kept in {copy.cache}" in messages and "set NUMBA_CACHE_DIR" in messages


def test_a_cache_that_can_only_be_read_is_read(copy: Copy) -> None:
    copy.run()
    assert copy.run(UNWRITABLE + SCRIPT) == (1, "")


def test_damaged_files_are_made_anew(copy: Copy) -> None:
    copy.run()
    for part in (0, 0.5):  # emptied, cut
        for file in copy.cache.glob("*.nbc"):
            os.truncate(file, int(part * file.stat().st_size))
        result, messages = copy.run()
        assert result == 1 and "compiling the CPU kernels" in messages
    assert copy.run() == (1, "")


def test_two_processes_that_compile_different_signatures_at_once_keep_both(copy: Copy) -> None:
    """In the same moment, by a barrier just before each process writes its machine code."""
    script = """
import pathlib, sys, time
from tinygen_kernels.cpu import cache

write = cache._Files.save

def wait_for_the_other(self, *arguments):
    if "_border" in self._function:
        pathlib.Path(sys.argv[1]).touch()
        while not pathlib.Path(sys.argv[2]).exists():
            time.sleep(0.001)
    write(self, *arguments)

cache._Files.save = wait_for_the_other
"""
    first, second = str(copy.cpu.parent / "f"), str(copy.cpu.parent / "d")
    processes = [copy.start(script + SCRIPT.replace('"d"', '"f"'), first, second), copy.start(script + SCRIPT, second, first)]
    for process in processes:
        assert process.communicate(timeout=300)[0] == "1.0\n"
    assert copy.run(SCRIPT.replace('"d"', '"fd"')) == (1, "")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_read(copy: Copy) -> None:
    killed = copy.start(
        """
import os, pathlib, signal
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
        + SCRIPT
    )
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    result, messages = copy.run()
    assert result == 1 and "compiling the CPU kernels" in messages
    assert copy.run() == (1, "")
