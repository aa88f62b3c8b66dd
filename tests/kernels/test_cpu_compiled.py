# mypy: allow-untyped-defs
"""What is compiled and kept of a kernel."""

import pathlib
from collections.abc import Callable

import numba
import numpy
import pytest
from numba.core import config
from numba.core.codegen import CPUCodeLibrary
from numba.core.errors import TypingError
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


def add_one(item, x):
    x[item] += 1


@helper
def refused(number):
    raise ValueError("refused", number)


def refuse(item, x):
    refused(x[item])


@pytest.fixture
def optimised(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that are optimised from now on. The cache is empty."""
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
    launch_shared(divide, 2, 1, x)
    assert x.tolist() == [2, 4]
    assert optimised.count("divide_loop") == 1 and not {"take", "divide", "quarter", "half"} & set(optimised)


def test_kernels_with_the_same_parameters_are_compiled_apart(optimised: list[str]) -> None:
    x = numpy.array([8.0])
    launch_shared(divide, 1, 1, x)
    launch_shared(add_one, 1, 1, x)
    assert x.tolist() == [3]


def test_a_helper_raises_what_it_has_computed_in_the_process_that_compiles_it(optimised: list[str]) -> None:
    with pytest.raises(ValueError, match="refused") as error:
        launch_shared(refuse, 1, 1, numpy.array([7.0]))
    assert error.value.args == ("refused", 7.0)


def test_no_llvm_code_is_kept_with_the_machine_code_of_a_kernel(optimised: list[str]) -> None:
    function = compiled(quarter)
    assert function(8.0) == 2
    library = next(iter(function.overloads.values())).library
    linked = str(library._get_module_for_linking())
    assert "define void" in linked and "double" in library.get_llvm_str() and "double" not in linked
    with pytest.raises(TypingError, match="quarter is `compiled`, so only Python can call it"):
        numba.njit(lambda x: function(x))(8.0)
