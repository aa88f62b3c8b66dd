# mypy: allow-untyped-defs
"""What is compiled and kept of a kernel."""

import pathlib
from collections.abc import Callable

import numpy
import pytest
from numba.core import config
from numba.core.codegen import CPUCodeLibrary
from tinygen_kernels.cpu.compiled import compiled, helper
from tinygen_kernels.cpu.parallel import launch_shared


@helper
def half(x):
    return x / 2


@helper
def quarter(x):
    return half(half(x))


def divide(item, x):
    x[item] = quarter(x[item])


def halve(item, x):
    x[item] = half(x[item])


@pytest.fixture
def optimised(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules of LLVM code that are optimised from now on. The cache is empty."""
    names: list[str] = []
    optimise: Callable[[CPUCodeLibrary], None] = CPUCodeLibrary._optimize_final_module

    def note(library: CPUCodeLibrary) -> None:
        names.append(library.name)
        optimise(library)

    monkeypatch.setattr(CPUCodeLibrary, "_optimize_final_module", note)
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    return names


def test_a_kernel_is_optimised_once_with_all_its_helpers(optimised: list[str]) -> None:
    x = numpy.array([8.0, 16.0])
    launch_shared(halve, 2, 1, x)
    del optimised[:]  # with the first kernel, Numba has also compiled functions of its own
    launch_shared(divide, 2, 1, x)
    assert x.tolist() == [1, 2]
    assert len(optimised) == 1


def test_no_llvm_code_is_kept_with_the_machine_code_of_a_kernel(optimised: list[str]) -> None:
    function = compiled(quarter)
    assert function(8.0) == 2
    library = next(iter(function.overloads.values())).library
    linked = str(library._get_module_for_linking())
    assert "define void" in linked and "double" in library.get_llvm_str() and "double" not in linked
