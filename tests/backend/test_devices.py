import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from hypothesis import settings
from numpy.testing import assert_array_equal

from tinygen.backend import array_module, best_device, device_of, floats, to_device
from tinygen.command_line import UsageError

modest = settings(deadline=None, max_examples=50)


class CUDARuntimeError(RuntimeError):
    pass


def cupy_that_says(count: Callable[[], int]) -> Any:
    """What asks for devices sees of CuPy."""
    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    return SimpleNamespace(__version__="14.0.1", cuda=SimpleNamespace(runtime=runtime))


class TestDevices:
    def test_arrays_go_there_and_back_unchanged(self, device: str) -> None:
        x = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
        there = to_device(x, device)
        assert device_of(there) == ("cpu" if device == "cpu" else "cuda:0")
        assert array_module(there).__name__ == ("numpy" if device == "cpu" else "cupy")
        assert to_device(there, device_of(there)) is there
        back = to_device(there, "cpu")
        assert isinstance(back, numpy.ndarray) and back.dtype == x.dtype
        assert_array_equal(back, x)

    def test_a_number_of_numpys_becomes_an_array_on_the_host(self) -> None:
        number = numpy.float32(3)
        assert array_module(number) is numpy and device_of(number) == "cpu"
        back = to_device(number, "cpu")
        assert isinstance(back, numpy.ndarray) and back.shape == () and back.dtype == numpy.float32 and back == 3

    def test_a_gpu_is_named_by_its_number(self) -> None:
        assert device_of(SimpleNamespace(device=SimpleNamespace(id=3))) == "cuda:3"

    @pytest.mark.parametrize("name", ["", "gpu", "CPU", "cpu:0", "cudax", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "cuda: 1", "cuda:²"])
    def test_an_unknown_name_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=f'^unknown device "{name}": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...$'):
            to_device(numpy.zeros(1), name)

    @pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:12"])
    def test_cuda_without_cupy_says_what_to_install(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        with pytest.raises(
            UsageError, match=rf'^device "{name}" needs CuPy, which cannot be imported \(.*\): pip install \'tinygen\[gpu\]\''
        ):
            to_device(numpy.zeros(1), name)

    @pytest.mark.parametrize(("name", "count"), [("cuda:1", 1), ("cuda:2", 2)])
    def test_a_gpu_that_is_not_there_is_refused(self, name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", cupy_that_says(lambda: count))
        with pytest.raises(UsageError, match=f'^device "{name}" is not there: CuPy 14.0.1 finds {count} GPUs, numbered from 0$'):
            to_device(numpy.zeros(1), name)

    @pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:12"])
    def test_cuda_without_a_driver_or_a_gpu_says_what_is_missing(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def count() -> int:
            raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")

        monkeypatch.setitem(sys.modules, "cupy", cupy_that_says(count))
        said = rf'^device "{name}" needs an NVIDIA GPU.*CuPy 14.0.1 says cudaErrorInsufficientDriver: .*; `tinygen doctor` says'
        with pytest.raises(UsageError, match=said):
            to_device(numpy.zeros(1), name)

    def test_the_best_device_is_a_gpu_that_can_be_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", cupy_that_says(lambda: 1))
        assert best_device() == "cuda"
        monkeypatch.setitem(sys.modules, "cupy", None)
        assert best_device() == "cpu"

    def test_floats_are_the_values_in_order(self, device: str) -> None:
        there = [to_device(numpy.array(value, "float64"), device) for value in (0.1, [2.0])]
        assert floats(iter([there[0], 3, numpy.float32(0.5), there[1]])) == [0.1, 3.0, 0.5, 2.0]
        assert floats([]) == []
