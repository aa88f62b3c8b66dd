"""The kernels compile beside versions of other packages than those that are installed here. This needs no GPU."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

WITHOUT_ROW_STACK = """
import numpy
vars(numpy).pop("row_stack", None)
from tinygen_kernels.cuda import compiler, elementwise
assert not hasattr(numpy, "row_stack")
name, kernel, signature, _ = next(elementwise.kernels())
entry, cubin = compiler.machine_code(kernel, signature, (8, 0))
print(name, cubin[:4], entry.encode() in cubin)
"""


def test_kernels_compile_with_a_numpy_without_row_stack(cuda_kernels: types.ModuleType, tmp_path: Path) -> None:
    """NumPy 2.5 has it no more, and numba-cuda 0.30 looks it up; Python 3.11 has no NumPy 2.5."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}  # the simulator compiles nothing
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_CACHE_DIR": str(tmp_path)}
    process = subprocess.run([sys.executable, "-c", WITHOUT_ROW_STACK], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout == "leaky_relu b'\\x7fELF' True\n"
