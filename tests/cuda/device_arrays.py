"""Devices that a test needs, and arrays that reveal two errors of kernels.

The errors are results that are not written, and reads beyond the end of an array.
"""

import types
from typing import Any

import numpy
import pytest

from tinygen.backend import to_device
from tinygen.command_line import UsageError

STAND_IN = "tests.stand_in.array"  # in sys.modules if it replaces CuPy


def need(*devices: str) -> None:
    """Skip the test if a device is missing, and say what is missing."""
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
    """Fill the arrays that a module of kernels allocates for its results with NaN (or -1)."""
    import cupy

    def full_of_nan(shape: Any, dtype: Any) -> Any:
        return cupy.full(shape, numpy.nan if numpy.dtype(dtype).kind == "f" else -1, dtype)

    from tinygen_kernels.cuda import launch

    for allocating in (module, launch):
        if hasattr(allocating, "empty"):
            patch.setattr(allocating, "empty", full_of_nan)
