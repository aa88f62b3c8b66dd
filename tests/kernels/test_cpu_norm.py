"""Sums and batch norm of the CPU against formulas, and gradients against finite differences."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import DTYPES, in_any_layout
from tinygen_kernels import cpu, reference

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(2, 6), st.integers(2, 9), st.integers(2, 9), st.sampled_from([1, 3, 16, 37])) | st.tuples(
    st.integers(8, 90), st.sampled_from([1, 3, 16, 100])
)
# The last two sizes are those of the groups: their number, and the channels of each.
group_shapes = st.tuples(st.integers(1, 5), st.integers(2, 40), st.integers(1, 4), st.integers(1, 9))
slopes = st.sampled_from([0.0, 0.2, 1.0])


def arrays(shape: tuple[int, ...], dtype: Any, seed: int, mean: float = 0.5) -> tuple[Any, ...]:
    """x, g, gamma and beta"""
    random = numpy.random.default_rng(seed)
    x, g = random.standard_normal((2, *shape))
    gamma, beta = random.standard_normal((2, shape[-1]))
    return tuple(in_any_layout(array.astype(dtype), random) for array in (x + mean, g, gamma, beta))


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(shapes | st.sampled_from([(7,), (1, 5), (30, 20, 20, 3), (16, 4096), (3, 70001), (70001, 1)]), seeds)
def test_column_sums(dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    x = arrays(shape, dtype, seed)[0]
    sums = cpu.column_sums(x)
    assert sums.dtype == dtype and sums.flags.c_contiguous
    exact = reference.column_sums(x)
    assert sums.shape == exact.shape
    assert (numpy.abs(sums - exact) <= max(numpy.finfo(dtype).eps, 1e-12) * numpy.abs(x).sum()).all()


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(shapes | st.sampled_from([(7,), (1, 5), (30, 20, 20, 3), (16, 4096)]), slopes, seeds)
def test_the_gradients_of_a_bias_and_a_leaky_relu_are_those_of_two_passes(
    dtype: Any, shape: tuple[int, ...], slope: float, seed: int
) -> None:
    """With the same bits: elements are added in the same order."""
    y, g = arrays(shape, dtype, seed, mean=0)[:2]
    g_z, g_bias = cpu.bias_leaky_relu_backward(g, y, slope)
    numpy.testing.assert_array_equal(g_z, cpu.leaky_relu_backward(g, y, slope), strict=True)
    numpy.testing.assert_array_equal(g_bias, cpu.column_sums(g_z), strict=True)


def test_column_sums_of_float32_are_those_of_float64() -> None:
    x = arrays((64, 60, 60, 8), numpy.float32, 0, mean=1000)[0]
    numpy.testing.assert_allclose(cpu.column_sums(x), x.sum(axis=(0, 1, 2), dtype=numpy.float64), rtol=6e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(shapes, slopes, seeds)
def test_the_reference_is_met(dtype: Any, shape: tuple[int, ...], slope: float, seed: int) -> None:
    x, g, gamma, beta = arrays(shape, dtype, seed)
    y, mean, var = cpu.batch_norm(x, gamma, beta, 1e-5, slope)
    expected = reference.batch_norm(x, gamma, beta, 1e-5, slope)
    tolerance = 100 * numpy.finfo(dtype).eps
    z = reference.batch_norm(x, gamma, beta, 1e-5, 1.0)[0]  # what a slope of 0 leaves may be small beside it
    for result, exact, size in zip((y, mean, var), expected, map(numpy.abs, (z, x, var)), strict=True):
        assert result.dtype == dtype
        assert numpy.abs(result - exact).max() < tolerance * size.max()
    gradients = cpu.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, slope)
    expected = reference.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, slope)
    scale = numpy.abs(gamma / numpy.sqrt(var + 1e-5)).max() * numpy.abs(g).max(), numpy.abs(g).sum(), numpy.abs(g).sum()
    for result, exact, size in zip(gradients, expected, scale, strict=True):
        assert result.dtype == dtype
        assert numpy.abs(result - exact).max() < tolerance * size


@pytest.mark.parametrize("module", [cpu, reference], ids=lambda module: module.__name__)
@settings(deadline=None, max_examples=30)
@given(shapes, slopes, seeds)
def test_the_gradients_are_those_of_the_formula(module: Any, shape: tuple[int, ...], slope: float, seed: int) -> None:
    x, g, gamma, beta = arrays(shape, numpy.float64, seed)
    y, mean, var = module.batch_norm(x, gamma, beta, 1e-2, slope)
    gradients = module.batch_norm_backward(g, x, y, gamma, mean, var, 1e-2, slope)
    random = numpy.random.default_rng(seed)
    directions = [random.standard_normal(array.shape) for array in (x, gamma, beta)]

    def along(step: float) -> Any:
        moved = [array + step * direction for array, direction in zip((x, gamma, beta), directions, strict=True)]
        return reference.batch_norm(moved[0], moved[1], moved[2], 1e-2, slope)[0]

    low, high = along(-1e-6), along(1e-6)
    smooth = (low > 0) == (high > 0)  # leaky ReLU has a kink at 0
    slopes_found = numpy.sum(numpy.where(smooth, g * (high - low), 0)) / 2e-6
    if smooth.all():
        told = sum(float(numpy.sum(gradient * direction)) for gradient, direction in zip(gradients, directions, strict=True))
        assert told == pytest.approx(slopes_found, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64, 14, 14, 24), (3000, 7)])
def test_a_mean_a_thousand_times_the_deviation(dtype: Any, shape: tuple[int, ...]) -> None:
    x, _, gamma, beta = arrays(shape, dtype, 0, mean=1000)
    y, mean, var = cpu.batch_norm(x, gamma, beta, 1e-5, 0.2)
    exact = x.astype(numpy.float64).reshape(-1, shape[-1])
    numpy.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7)
    numpy.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-6)
    assert numpy.abs(y - reference.batch_norm(x, gamma, beta, 1e-5, 0.2)[0]).max() < 5e-4


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_first_row_far_from_all_others(dtype: Any) -> None:
    """As the corner of padded images is."""
    x, _, gamma, beta = arrays((20_000, 5), dtype, 0, mean=1000)
    x = x.copy()
    x[0] = 0
    exact = x.astype(numpy.float64)
    _, mean, var = cpu.batch_norm(x, gamma, beta, 1e-5, 0.2)
    numpy.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7)
    numpy.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_channel_has_no_variance(dtype: Any) -> None:
    x = numpy.full((40, 3), 1234.567, dtype)
    y, mean, var = cpu.batch_norm(x, numpy.ones(3, dtype), numpy.full(3, 0.5, dtype), 1e-5, 1.0)
    assert (var == 0).all() and (mean == x[0]).all() and (y == 0.5).all()


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=30)
@given(group_shapes, st.sampled_from([0.5, 1000.0]), seeds)
def test_group_norm_is_that_of_the_reference(dtype: Any, shape: tuple[int, ...], mean: float, seed: int) -> None:
    *leading, groups, size = shape
    x, g, gamma, beta = arrays((*leading, groups * size), dtype, seed, mean)
    expected = reference.group_norm(x, gamma, beta, groups, 0.1)
    for result, exact in zip(cpu.group_norm(x, gamma, beta, groups, 0.1), expected, strict=True):
        assert result.dtype == dtype and result.shape == exact.shape and result.flags.c_contiguous
        numpy.testing.assert_allclose(result, exact, rtol=1e-4, atol=mean * 300 * numpy.finfo(dtype).eps)
    given = g, x, gamma, *expected[1:]
    gradients = reference.group_norm_backward(*given, groups, 0.1)
    for gradient, exact in zip(cpu.group_norm_backward(*given, groups, 0.1), gradients, strict=True):
        assert gradient.dtype == dtype and gradient.shape == exact.shape and gradient.flags.c_contiguous
        numpy.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=mean * 300 * numpy.finfo(dtype).eps * numpy.abs(g).sum())


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=30)
@given(shapes | st.sampled_from([(1, 3), (5, 1, 1)]), st.sampled_from([0.5, 1000.0]), seeds)
def test_the_deviation_in_a_batch_is_that_of_the_reference(dtype: Any, shape: tuple[int, ...], mean: float, seed: int) -> None:
    x, g = arrays(shape, dtype, seed, mean)[0], arrays((*shape[:-1], shape[-1] + 1), dtype, seed)[1]
    batches = next(n for n in (3, 2, 1) if len(x) % n == 0)
    found, expected = cpu.minibatch_deviation(x, 1e-5, batches), reference.minibatch_deviation(x, 1e-5, batches)
    for result, exact in zip(found, expected, strict=True):
        assert result.dtype == dtype and result.shape == exact.shape and result.flags.c_contiguous
        # Both sum in float64, and a mean near 0 keeps the error of its terms.
        rounding = 10 * numpy.finfo(numpy.float64).eps * numpy.abs(x).max(initial=0)
        numpy.testing.assert_allclose(result, exact, rtol=max(10 * numpy.finfo(dtype).eps, 1e-12), atol=rounding)
    gradient, exact = (module.minibatch_deviation_backward(g, x, *expected[1:]) for module in (cpu, reference))
    assert gradient.dtype == dtype and gradient.flags.c_contiguous
    numpy.testing.assert_allclose(gradient, exact, rtol=1e-5, atol=10 * numpy.finfo(dtype).eps * numpy.abs(g).sum())


def test_an_example_has_the_same_bits_alone_and_among_others() -> None:
    """Even in float64, where another order of additions shows, and with more numbers than an item of batch norm has."""
    x, g, gamma, beta = arrays((3, 80, 80, 8), numpy.float64, 0)
    y, mean, var = cpu.group_norm(x, gamma, beta, 2, 1e-5)
    g_x = cpu.group_norm_backward(g, x, gamma, mean, var, 2, 1e-5)[0]
    alone = cpu.group_norm(x[1:2], gamma, beta, 2, 1e-5)
    gradient = cpu.group_norm_backward(g[1:2], x[1:2], gamma, *alone[1:], 2, 1e-5)[0]
    for found, expected in zip((*alone, gradient), (y, mean, var, g_x), strict=True):
        numpy.testing.assert_array_equal(found[0], expected[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_of_equal_values_have_no_variance(dtype: Any) -> None:
    x = numpy.linspace(0.1, 1000, 50, dtype=dtype)[:, None, None] * numpy.ones((50, 7, 8), dtype)
    y, mean, var = cpu.group_norm(x, numpy.ones(8, dtype), numpy.full(8, 0.5, dtype), 2, 1e-5)
    assert (var == 0).all() and (mean == x[:, 0]).all() and (y == 0.5).all()


def test_a_nan_stays_in_its_channel() -> None:
    x, _, gamma, beta = arrays((50, 4), numpy.float32, 0)
    x = x.copy()
    x[17, 2] = numpy.nan
    y = cpu.batch_norm(x, gamma, beta, 1e-5, 0.0)[0]
    for result in (y, cpu.column_sums(x)[None]):
        assert numpy.isnan(result[:, 2]).all() and numpy.isfinite(result[:, [0, 1, 3]]).all()
