"""Four elements at once: which register of the PTX holds which element. The simulator has functions of its own for these accesses."""

import re
import types

import pytest
from child_process import child

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda_kernels")]

PTX = """
from numba import {dtype} as dtype, uint32
from tinygen_kernels.cuda import compiler
from tinygen_kernels.cuda.memory import load4, store4

def kernel(x, y):
    a, b, c, d = load4(x, uint32(0))
    store4(y, uint32(0), a + dtype(1), b + dtype(2), c + dtype(4), d + dtype(8))

print(compiler.ptx(kernel, 2 * (dtype[::1],), (9, 0)))
"""


@pytest.mark.parametrize(("dtype", "short", "one"), [("float32", "f32", "0f3F800000"), ("float64", "f64", "0d3FF0000000000000")])
def test_element_j_is_loaded_from_and_stored_to_place_j(dtype: str, short: str, one: str, cuda_kernels: types.ModuleType) -> None:
    """An access of 16 bytes holds four float32, and two float64 of which there are two accesses."""
    ptx = child(["-c", PTX.format(dtype=dtype)]).stdout
    kind = "(?:f|b)" + short[1:]
    number = r"%\w+"

    def accesses(operation: str) -> list[str]:
        """The registers of the elements, in order of their addresses."""
        vectors = re.findall(rf"{operation}\.global\.v(?:2|4)\.{kind}\s+([^;]+);", ptx)
        assert vectors, ptx
        places = {
            int((re.search(r"\[%\w+(?:\+(\d+))?\]", vector) or [0, 0])[1] or 0): re.findall(r"\{([^}]+)\}", vector)[0] for vector in vectors
        }
        return [register.strip() for _, registers in sorted(places.items()) for register in registers.split(",")]

    loaded, stored = accesses("ld"), accesses("st")
    assert len(loaded) == len(stored) == len(set(loaded)) == 4
    sums = {to: (of, added) for to, of, added in re.findall(rf"add(?:\.rn)?\.{short}\s+({number}), ({number}), (0[fd]\w+);", ptx)}
    assert [sums[register][0] for register in stored] == loaded
    constants = [sums[register][1] for register in stored]
    assert constants[0] == one and len(set(constants)) == 4
    assert constants == sorted(constants)  # of positive numbers, the larger one has the larger bits
