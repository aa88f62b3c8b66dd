"""Every module has exactly the kernels of the contract, by name and by signature."""

import inspect
import types
from typing import Any

import every_kernel
import numpy
import pytest
import tinygen_kernels
from tinygen_kernels import Kernels, cpu, reference
from tinygen_kernels.cpu import parallel

from tinygen.backend import to_device

for_mypy: tuple[Kernels, Kernels] = (reference, cpu)

NAMES = sorted(name for name in vars(Kernels) if not name.startswith("_"))


def test_a_device_s_kernels_keep_the_contract(device: str) -> None:
    kernels: Any = tinygen_kernels.for_array(to_device(numpy.zeros(3), device))
    expect_the_contract(kernels)


def test_the_reference_keeps_the_contract() -> None:
    expect_the_contract(reference)


def expect_the_contract(module: types.ModuleType) -> None:
    public = [name for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert sorted(name for name in public if vars(module)[name].__module__.startswith(module.__name__)) == NAMES
    for name in NAMES:
        promised = inspect.signature(getattr(Kernels, name))
        parameters = [p for p in promised.parameters.values() if p.name != "self"]
        assert inspect.signature(getattr(module, name)) == promised.replace(parameters=parameters)


def test_arrays_of_all_kinds_need_one_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba would compile a loop again for arrays that are not contiguous, aligned and writable. All that are launched are."""
    launch = parallel.launch_shared
    launched = set()

    def look(loop: Any, items: int, threads: int, *arguments: Any) -> None:
        launched.add(kernel.__name__)
        assert all(a.flags.carray for a in arguments if isinstance(a, numpy.ndarray)), kernel.__name__
        launch(loop, items, threads, *arguments)

    monkeypatch.setattr(parallel, "launch_shared", look)
    for kernel, arguments in every_kernel.calls(numpy.float32):
        getattr(cpu, kernel.__name__)(*(awkward(a, kernel.__name__ not in ("adam", "blend")) for a in arguments))
    by_numpy = {"tanh_backward", "sigmoid", "softplus", "binary_cross_entropy", "binary_cross_entropy_backward"}
    assert launched == {*NAMES} - by_numpy


def awkward(a: Any, read_only: bool) -> Any:
    """The same numbers in every other place of an array, which may be read only."""
    if not isinstance(a, numpy.ndarray):
        return a
    strided = numpy.repeat(a, 2, axis=-1)[..., ::2]
    strided.flags.writeable = not read_only
    return strided


def test_for_array() -> None:
    assert tinygen_kernels.for_array(numpy.zeros(3)) is tinygen_kernels.for_array(numpy.float32(3)) is cpu
    with pytest.raises(TypeError, match=r"takes arrays of NumPy or CuPy, got list \[1\.0\]"):
        tinygen_kernels.for_array([1.0])
    with pytest.raises(TypeError, match="the kernels take float32 and float64, not int64"):
        tinygen_kernels.for_array(numpy.zeros(3, "int64"))


class OnGPU:
    """As much of a CuPy array as the choice of kernels looks at."""

    __cuda_array_interface__ = dtype = device = None


def test_for_array_refuses_arrays_of_two_devices() -> None:
    assert tinygen_kernels.for_array(numpy.zeros(3), None, numpy.zeros(2)) is cpu
    with pytest.raises(ValueError, match=r"the kernels take arrays of one device, not of cpu, None"):
        tinygen_kernels.for_array(numpy.zeros(3), OnGPU())
