"""The device's memory: too large arrays are refused, and steps of training leave nothing behind."""

import gc
import types
from collections.abc import Callable
from typing import Any

import pytest
from test_cuda_training import Step, gan

pytestmark = pytest.mark.gpu

LARGEST = 2**31 - 1

WAYS: dict[str, Callable[[types.ModuleType, Any], Any]] = {
    "conv2d": lambda kernels, x: kernels.conv2d(x, x[:1, :, :, :1], None, (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "conv2d_data": lambda kernels, x: kernels.conv2d_data(x, x[:1, :, :, :1], None, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "conv2d_weight": lambda kernels, x: kernels.conv2d_weight(x, x, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "max_pool2d": lambda kernels, x: kernels.max_pool2d(x, (1, 1), (1, 1), ((0, 0), (0, 0))),
    "avg_pool2d": lambda kernels, x: kernels.avg_pool2d(x, (1, 1), (1, 1), ((0, 0), (0, 0))),
    "column_sums": lambda kernels, x: kernels.column_sums(x),
    "leaky_relu": lambda kernels, x: kernels.leaky_relu(x, 0.2),
    "dropout": lambda kernels, x: kernels.dropout(x, 0.5, 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_more_elements_than_32_bits_count_are_refused(way: str, cuda_kernels: types.ModuleType) -> None:
    import cupy

    one = cupy.zeros((1, 1, 1, 1), "float32")
    message = rf"^an array of shape .* is too large for the GPU's kernels: {LARGEST + 1:,} elements, at most {LARGEST:,}$"
    with pytest.raises(ValueError, match=message):
        WAYS[way](cuda_kernels, cupy.broadcast_to(one, (LARGEST + 1, 1, 1, 1)))  # one number in memory, again and again


@pytest.mark.usefixtures("fast_kernels")
def test_two_hundred_steps_leave_no_memory_behind() -> None:
    import cupy

    gc.collect()  # what earlier tests have left in cycles would be freed meanwhile
    step: Step = gan("cuda")
    pool = cupy.get_default_memory_pool()
    used, total = [], []
    for _ in range(200):
        step()
        used.append(pool.used_bytes())
        total.append(pool.total_bytes())
    assert set(used[50:]) == {used[50]} and used[50] > 0
    assert set(total[50:]) == {total[50]}
