"""The poolings of the CPU against the reference, and each against its adjoint."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import DTYPES, Convolution, error, in_any_layout, poolings
from tinygen_kernels import cpu, reference

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(poolings(), st.sampled_from(["plain", "ties", "nan", "infinite"]), seeds)
def test_the_maximum_and_its_place(dtype: Any, p: Convolution, kind: str, seed: int) -> None:
    random = numpy.random.default_rng(seed)
    x = random.standard_normal((p.images, *p.size, p.channels)).astype(dtype)
    if kind == "ties":
        x = numpy.round(x)
    elif kind == "nan":
        x[random.random(x.shape) < 0.2] = numpy.nan
    elif kind == "infinite":
        x[random.random(x.shape) < 0.8] = -numpy.inf
    x = in_any_layout(x, random)
    y, indices = cpu.max_pool2d(x, p.kernel_size, p.stride, p.padding)
    expected, places = reference.max_pool2d(x, p.kernel_size, p.stride, p.padding)
    assert y.dtype == dtype and indices.dtype == numpy.int32
    numpy.testing.assert_array_equal(indices, places)
    numpy.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("module", [cpu, reference], ids=lambda module: module.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=40)
@given(poolings(), seeds)
def test_the_pairs_are_adjoint(module: Any, dtype: Any, p: Convolution, seed: int) -> None:
    x, _, g = p.arrays(dtype, seed)
    window = p.kernel_size, p.stride, p.padding
    y, indices = module.max_pool2d(x, *window)
    for forward, backward in (
        (module.max_pool2d_gather(x, indices), module.max_pool2d_scatter(g, indices, p.size, *window)),
        (module.avg_pool2d(x, *window), module.avg_pool2d_data(g, p.size, *window)),
    ):
        assert forward.dtype == backward.dtype == dtype
        difference = numpy.sum(forward * g, dtype=numpy.float64) - numpy.sum(x * backward, dtype=numpy.float64)
        assert abs(difference) < 100 * numpy.finfo(dtype).eps * (1 + numpy.abs(forward * g).sum())
    numpy.testing.assert_array_equal(module.max_pool2d_gather(x, indices), y)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(poolings(), seeds)
def test_the_reference_is_met(dtype: Any, p: Convolution, seed: int) -> None:
    x, _, g = p.arrays(dtype, seed)
    window = p.kernel_size, p.stride, p.padding
    indices = reference.max_pool2d(x, *window)[1]
    tolerance = 10 * numpy.finfo(dtype).eps
    scattered = reference.max_pool2d_scatter(g, indices, p.size, *window)
    numpy.testing.assert_array_equal(cpu.max_pool2d_gather(x, indices), reference.max_pool2d_gather(x, indices))
    assert error(cpu.max_pool2d_scatter(g, indices, p.size, *window), scattered, 1) < tolerance
    assert error(cpu.avg_pool2d(x, *window), reference.avg_pool2d(x, *window), 1) < tolerance
    assert error(cpu.avg_pool2d_data(g, p.size, *window), reference.avg_pool2d_data(g, p.size, *window), 1) < tolerance
