"""The kernels compile beside versions of other packages than those that are installed here. This needs no GPU."""

from pathlib import Path

import pytest
from child_process import child

WITHOUT_ROW_STACK = """
import numpy
vars(numpy).pop("row_stack", None)
from tinygen_kernels.cuda import compiler, launch
assert not hasattr(numpy, "row_stack")
name, kernel, signature, _ = next(launch.kernels())
entry, cubin = compiler.machine_code(kernel, signature, (8, 0))
print(name, cubin[:4], entry.encode() in cubin)
"""


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda_kernels")
def test_kernels_compile_with_a_numpy_without_row_stack(tmp_path: Path) -> None:
    """NumPy 2.5 has it no more, and numba-cuda 0.30 looks it up; Python 3.11 has no NumPy 2.5."""
    process = child(["-c", WITHOUT_ROW_STACK], NUMBA_CACHE_DIR=str(tmp_path))
    assert process.stdout == "leaky_relu b'\\x7fELF' True\n"
