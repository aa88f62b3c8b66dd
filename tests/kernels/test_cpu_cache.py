"""The cached machine code is never older than the source, and never makes a run fail."""

import os
import pathlib
import shutil
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

    def run(self, script: str = SCRIPT) -> tuple[float, str]:
        """The number that the script prints, and its messages."""
        process = subprocess.run([sys.executable, "-c", script], env=self.environment, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        return float(process.stdout), process.stderr


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> Copy:
    return Copy(tmp_path)


def test_an_edited_helper_changes_the_kernels_of_other_files_at_once(copy: Copy) -> None:
    assert copy.run()[0] == 1
    panels = copy.cpu / "panels.py"
    source = panels.read_text()
    times = panels.stat().st_atime, panels.stat().st_mtime
    panels.write_text(source.replace("target[i] = source[i]", "target[i] = source[i] * 2"))
    os.utime(panels, times)
    assert copy.run()[0] == 2
    files = len(list(copy.cache.iterdir()))
    panels.write_text(source)
    assert copy.run()[0] == 1
    assert len(list(copy.cache.iterdir())) == files  # the old machine code is replaced


def test_compiling_is_announced_once_and_only_when_it_happens(copy: Copy) -> None:
    script = SCRIPT.replace('"d"', '"df"')
    assert copy.run(script)[1].count("\n") == 1
    assert copy.run(script)[1] == ""


def test_where_nothing_can_be_written_kernels_are_compiled_and_one_warning_says_so(copy: Copy) -> None:
    copy.cache.touch()  # a file where the folder would be
    result, messages = copy.run()
    assert result == 1
    assert messages.count("RuntimeWarning") == 1
    assert f"cannot be kept in {copy.cache}" in messages and "set NUMBA_CACHE_DIR" in messages


def test_a_cache_that_can_only_be_read_is_read(copy: Copy) -> None:
    copy.run()
    assert copy.run(UNWRITABLE + SCRIPT) == (1, "")


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_files_are_made_anew(copy: Copy, kind: str) -> None:
    copy.run()
    for part in (0, 0.5):  # emptied, cut
        for file in copy.cache.glob(f"*.{kind}"):
            os.truncate(file, int(part * file.stat().st_size))
        result, messages = copy.run()
        assert result == 1 and "compiling the CPU kernels" in messages
    assert copy.run() == (1, "")
