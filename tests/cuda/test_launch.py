"""How a kernel gets from Python to the driver: its machine code on disk, and its arguments in bytes.

This needs CUDA's compilers, but not a GPU: `stub_driver` takes the place of the driver.
"""

import json
import struct
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from child_process import child

pytestmark = pytest.mark.gpu

ADDRESS = 0x7F00_0000_0000  # of the stub driver's first array

COMPILE = """
import sys, zlib
from tinygen_kernels.cuda import compiler, launch
kernels = {name: (kernel, signature) for name, kernel, signature, _ in launch.kernels()}
compiled = []
compiler.ptx = lambda *arguments, ptx=compiler.ptx: compiled.append(1) or ptx(*arguments)
codes = [compiler.machine_code(*kernels[name], (9, 0)) for name in sys.argv[1:]]
print(len(compiled), *(f"{entry}:{zlib.crc32(cubin)}" for entry, cubin in codes))
"""
TWO = "batch_norm sums", "batch_norm_backward sums"  # of one factory, with different functions closed over


@pytest.fixture(scope="module")
def told(cuda_kernels: types.ModuleType) -> dict[str, Any]:
    return json.loads(child([str(Path(__file__).with_name("stub_driver.py")), str(ADDRESS)]).stdout)


def test_the_driver_gets_the_arguments_where_the_kernel_reads_them(told: dict[str, Any]) -> None:
    sizes = {"u64": "Q", "u32": "I", "f32": "f", "f64": "d"}
    layout = struct.Struct("@" + "".join(sizes[kind] for kind in told["parameters"]))
    first, second, third = told["started"]
    x = 0, 0, 10, 4, ADDRESS, 10, 4
    y = 0, 0, 20, 8, ADDRESS + 0x1000, 20, 8
    rest = 3, 4, 5, 6, 7, *x, 0, 0, 3, 4, ADDRESS, 3, 4, 2**40, 7, 0.5, 0.25, 10
    assert layout.unpack(bytes.fromhex(first["bytes"])) == (*x, *y, *rest)
    assert layout.unpack(bytes.fromhex(second["bytes"])) == (*y, *y, *rest)
    assert third["bytes"] == first["bytes"]


def test_grid_block_and_stream_are_those_asked_for(told: dict[str, Any]) -> None:
    starts = [(start["grid"], start["block"], start["shared"], start["stream"]) for start in told["started"]]
    assert starts == [([3, 2, 1], [64, 1, 1], 0, 77), ([9, 1, 1], [32, 1, 1], 0, 77), ([1, 1, 1], [32, 1, 1], 0, 77)]


def test_a_kernel_is_loaded_once_for_each_tuple_of_types(told: dict[str, Any]) -> None:
    assert [start["function"] for start in told["started"]] == [1, 2, 1]
    assert told["names"] == [True, True]  # each cubin holds the function that is looked up in it


def test_threads_that_repeat_a_launch_pass_their_own_arrays(told: dict[str, Any]) -> None:
    passed = Counter((start["thread"], start["bytes"]) for start in told["repeated"])

    def expected(n: int) -> str:
        x, y = ADDRESS + 2 * n * 0x1000, ADDRESS + (2 * n + 1) * 0x1000
        return struct.pack("@2P2nP2n2P2nP2n2if", 0, 0, 10, 4, x, 10, 4, 0, 0, 20, 4, y, 20, 4, 3, 4, 0.5).hex()

    assert passed == {("MainThread", expected(0)): 1, ("0", expected(0)): 20, ("1", expected(1)): 20}
    starts = [(start["function"], start["grid"], start["block"], start["stream"]) for start in told["repeated"]]
    assert starts == [(1, [5, 1, 1], [64, 1, 1], 77)] * 41


def test_a_plan_of_a_convolution_is_for_any_arrays_of_its_shapes_and_dtypes(told: dict[str, Any]) -> None:
    products = told["products"]
    assert [product["passed"] for product in products] == [product["given"] for product in products]
    assert [product["function"] for product in products] == [1, 1, 2, 3, 1]
    assert [product["bias"] for product in products] == [0, 0, 0, 0, 8]


@pytest.mark.usefixtures("cuda_kernels")
def test_machine_code_is_kept_for_the_next_process(tmp_path: Path) -> None:
    def compiled(*names: str) -> list[str]:
        return child(["-c", COMPILE, *names], NUMBA_CACHE_DIR=str(tmp_path)).stdout.split()

    first = compiled(*TWO)
    assert first[0] == "2"
    assert first[1] != first[2]  # functions of one name are told apart by what they close over
    assert compiled(*TWO) == ["0", *first[1:]]
    for file in tmp_path.rglob("*.nbc"):
        file.write_bytes(file.read_bytes()[:-1])
    assert compiled(*TWO) == first  # damaged files are made anew
    assert compiled(*TWO) == ["0", *first[1:]]


@pytest.mark.usefixtures("cuda_kernels")
def test_machine_code_depends_on_the_package_that_its_kernel_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygen_kernels.cuda.compiler import _source

    (tmp_path / "rungs").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    found = set()
    for text in ("", "# changed", ""):
        (tmp_path / "rungs" / "__init__.py").write_text(text)
        found.add(_source.__wrapped__("rungs.own"))
    assert len(found) == 2 and _source("__main__") not in found


@pytest.mark.usefixtures("cuda_kernels")
def test_without_a_folder_kernels_compile_and_say_so_once() -> None:
    full = "from tinygen_kernels.code_files import CodeFiles\ndef no_file(*_): raise OSError\nCodeFiles._path = no_file\n"
    process = child(["-c", full + COMPILE, "dropout", "adam"])
    assert process.stdout.split()[0] == "2"
    assert process.stderr.count("GPU kernels cannot be kept in") == 1
