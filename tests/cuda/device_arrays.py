"""Devices that a test needs, and arrays there that show what a kernel must not do: leave an element unwritten, or read beyond the end."""

import types
from typing import Any

import numpy
import pytest

from tinygen.backend import to_device
from tinygen.command_line import UsageError

STAND_IN = "tests.stand_in.array"  # among sys.modules, it is in CuPy's place


def need(*devices: str) -> None:
    """Skip the test where a device is missing; what is missing is the reason."""
    for device in devices:
        try:
            to_device(numpy.zeros(1), device)
        except UsageError as reason:
            pytest.skip(str(reason))


def on_device(array: Any) -> Any:
    """A copy in the same layout, with a NaN (or -1) right behind its last element."""
    if not array.flags.c_contiguous:
        return on_device(array.T).T if array.flags.f_contiguous else on_device(array.base)[..., ::2]  # as in_any_layout makes them
    import cupy

    behind = numpy.full(1, numpy.nan if array.dtype.kind == "f" else -1, array.dtype)
    return cupy.asarray(numpy.concatenate([array.ravel(), behind]))[: array.size].reshape(array.shape)


def make_results_full_of_nan(module: types.ModuleType, patch: pytest.MonkeyPatch) -> None:
    """From now on the arrays that a module of kernels makes for its results are full of NaN (or -1), not of what was there before."""
    import cupy

    def full_of_nan(shape: Any, dtype: Any) -> Any:
        return cupy.full(shape, numpy.nan if numpy.dtype(dtype).kind == "f" else -1, dtype)

    patch.setattr(module, "empty", full_of_nan)
