"""Runs tests on copies of the GPU's kernels with bugs planted in them, in the simulator.

    python planted.py     takes a list of [copy of tinygen_kernels, test] as JSON and prints a list of [exit code, output]

What is the same for all bugs is imported once. Then each bug has a process of its own, since an
error in the simulator spoils the process: a fork of this one, which imports the kernels from the
copy and runs pytest. As many run at a time as there are processors.
"""

import importlib
import json
import os
import sys
from pathlib import Path

SAME_FOR_ALL = (
    "hypothesis",
    "numba.cuda",
    "pytest",
    "tinygen",
    "tinygen.backend",
    "tinygen_kernels.reference",
)


def start(kernels: str, test: str) -> int:
    """The number of a process that runs the test and writes its output to a file beside the kernels."""
    process = os.fork()
    if process:
        return process
    code: int = 1 << 6
    try:
        output = os.open(output_of(kernels), os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        import pytest
        import tinygen_kernels

        tinygen_kernels.__path__.insert(0, kernels)
        code = pytest.main(["-p", "no:cacheprovider", "-x", "-q", f"tests/cuda/{test}"])
        sys.stdout.flush()
    finally:
        os._exit(code)


def output_of(kernels: str) -> Path:
    return Path(kernels, "output")


def run(jobs: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """The exit code and the output of each."""
    codes: dict[int, int] = {}
    running: dict[int, int] = {}
    for i, job in enumerate(jobs):
        running[start(*job)] = i
        while len(running) == os.cpu_count() or (len(codes) + len(running) == len(jobs) and running):
            process, status = os.wait()
            codes[running.pop(process)] = os.waitstatus_to_exitcode(status)
    return [(codes[i], output_of(kernels).read_text()[-2000:]) for i, (kernels, _) in enumerate(jobs)]


if __name__ == "__main__":
    from tests import stand_in

    stand_in.replace_cupy()
    for module in SAME_FOR_ALL:
        importlib.import_module(module)
    assert "tinygen_kernels.cuda" not in sys.modules
    print(json.dumps(run(json.load(sys.stdin))))
