"""Sums and batch norm of the GPU beside the reference."""

import types
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from device_arrays import make_results_full_of_nan, on_device
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_shapes import DTYPES, in_any_layout
from tinygen_kernels import reference

pytestmark = pytest.mark.gpu

seeds = st.integers(0, 2**32 - 1)
channels = st.sampled_from([1, 3, 32, 33])
shapes = st.tuples(st.integers(1, 2), st.integers(2, 4), st.integers(2, 4), channels) | st.tuples(st.integers(2, 40), channels)
# The last two sizes are those of the groups: their number, and the channels of each.
group_shapes = st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(1, 4), st.integers(1, 9))
SEVERAL_BLOCKS = (257, 33)  # of rows and of channels
slopes = st.sampled_from([0.0, 0.2, 1.0])
HALF_A_STEP = 3.2e-8  # from one float32 near 1000 to the next, relative: the mean is as good as rounded once
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(scope="module")
def cuda(cuda_kernels: types.ModuleType) -> Iterator[types.ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        make_results_full_of_nan(cuda_kernels.norm, patch)
        yield cuda_kernels


def arrays(shape: tuple[int, ...], dtype: Any, seed: int, mean: float = 0.5) -> tuple[Any, ...]:
    """x, g, gamma and beta"""
    random = numpy.random.default_rng(seed)
    x, g = random.standard_normal((2, *shape))
    gamma, beta = random.standard_normal((2, shape[-1]))
    return tuple(in_any_layout(array.astype(dtype), random) for array in (x + mean, g, gamma, beta))


def batch_norm(cuda: Any, x: Any, gamma: Any, beta: Any, eps: float, slope: float) -> list[Any]:
    return [result.get() for result in cuda.batch_norm(on_device(x), on_device(gamma), on_device(beta), eps, slope)]


def expect_sums(cuda: Any, x: Any) -> None:
    sums = cuda.column_sums(on_device(x))
    assert sums.dtype == x.dtype and sums.flags.c_contiguous
    exact = reference.column_sums(x)
    assert sums.shape == exact.shape
    size = numpy.abs(x).sum(axis=tuple(range(x.ndim - 1)))
    assert (numpy.abs(sums.get() - exact) <= 10 * numpy.finfo(x.dtype).eps * size).all()


@every_dtype
@settings(deadline=None, max_examples=8)
@given(shapes | st.sampled_from([(7,), (1, 5), (0, 3), (257, 2), (600, 1)]), seeds)
@example(SEVERAL_BLOCKS, 0)
def test_column_sums(cuda: Any, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    expect_sums(cuda, arrays(shape, dtype, seed)[0])


@every_dtype
def test_the_gradients_of_a_bias_and_a_leaky_relu(cuda: Any, dtype: Any) -> None:
    y, g = arrays((4, 3, 5, 7), dtype, 0)[:2]
    g_z, g_bias = (result.get() for result in cuda.bias_leaky_relu_backward(on_device(g), on_device(y - 1), 0.2))
    exact, sums = reference.bias_leaky_relu_backward(g, y - 1, 0.2)
    numpy.testing.assert_allclose(g_z, exact, rtol=numpy.finfo(dtype).eps)
    assert (numpy.abs(g_bias - sums) <= 10 * numpy.finfo(dtype).eps * numpy.abs(exact).sum(axis=(0, 1, 2))).all()


@pytest.mark.parametrize("rows", [64, 65])
@pytest.mark.parametrize("blocks", [3, 100])
def test_sums_of_many_rows(cuda: Any, monkeypatch: pytest.MonkeyPatch, rows: int, blocks: int) -> None:
    """Runs of 8 rows: a block has several, or the last of 8 or 9 blocks adds the sums of as many."""
    if not cuda.compiler.SIMULATED:
        pytest.skip("the kernel is compiled already, for runs of 256 rows")
    monkeypatch.setattr(cuda.norm, "_RUN", 1)
    monkeypatch.setattr(cuda.norm, "_MOST", blocks)
    expect_sums(cuda, arrays((rows, 35), numpy.float32, rows)[0])


@every_dtype
@settings(deadline=None, max_examples=6)
@given(shapes, slopes, seeds)
@example(SEVERAL_BLOCKS, 0.2, 0)
def test_the_reference_is_met(cuda: Any, dtype: Any, shape: tuple[int, ...], slope: float, seed: int) -> None:
    x, g, gamma, beta = arrays(shape, dtype, seed)
    y, mean, var = batch_norm(cuda, x, gamma, beta, 1e-5, slope)
    tolerance = 100 * numpy.finfo(dtype).eps
    expected = reference.batch_norm(x, gamma, beta, 1e-5, slope)
    z = reference.batch_norm(x, gamma, beta, 1e-5, 1.0)[0]  # what a slope of 0 leaves may be small beside it
    for result, exact, size in zip((y, mean, var), expected, map(numpy.abs, (z, x, var)), strict=True):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert numpy.abs(result - exact).max() < tolerance * size.max()
    given = [on_device(array) for array in (g, x, y, gamma, mean, var)]
    gradients = [gradient.get() for gradient in cuda.batch_norm_backward(*given, 1e-5, slope)]
    expected = reference.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, slope)
    scale = numpy.abs(gamma / numpy.sqrt(var + 1e-5)).max() * numpy.abs(g).max(), numpy.abs(g).sum(), numpy.abs(g).sum()
    for result, exact, size in zip(gradients, expected, scale, strict=True):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert numpy.abs(result - exact).max() < tolerance * size


def test_the_reference_is_met_with_the_means_of_several_processes(cuda: Any) -> None:
    x, g, gamma, beta = arrays((4, 5, 3), numpy.float64, 0)
    y, mean, var = (result.get() for result in cuda.batch_norm(*map(on_device, (x, gamma, beta)), 1e-5, 0.2, lambda m: 0.5 * m + 2.0))
    for result, exact in zip((y, mean, var), reference.batch_norm(x, gamma, beta, 1e-5, 0.2, lambda m: 0.5 * m + 2.0), strict=True):
        numpy.testing.assert_allclose(result, exact, rtol=1e-12, atol=1e-12)
    given = g, x, y, gamma, mean, var
    found = cuda.batch_norm_backward(*map(on_device, given), 1e-5, 0.2, lambda m: 0.5 * m + 2.0)
    for gradient, exact in zip(found, reference.batch_norm_backward(*given, 1e-5, 0.2, lambda m: 0.5 * m + 2.0), strict=True):
        numpy.testing.assert_allclose(gradient.get(), exact, rtol=1e-12, atol=1e-12)


@every_dtype
@settings(deadline=None, max_examples=6)
@given(group_shapes, st.sampled_from([0.5, 100.0]), seeds)
def test_group_norm_is_that_of_the_reference(cuda: Any, dtype: Any, shape: tuple[int, ...], mean: float, seed: int) -> None:
    *leading, groups, size = shape
    x, g, gamma, beta = arrays((*leading, groups * size), dtype, seed, mean)
    expected = reference.group_norm(x, gamma, beta, groups, 0.1)
    for result, exact in zip(cuda.group_norm(on_device(x), on_device(gamma), on_device(beta), groups, 0.1), expected, strict=True):
        assert result.dtype == dtype and result.shape == exact.shape and result.flags.c_contiguous
        numpy.testing.assert_allclose(result.get(), exact, rtol=1e-4, atol=mean * 300 * numpy.finfo(dtype).eps)
    given = g, x, gamma, *expected[1:]
    gradients = reference.group_norm_backward(*given, groups, 0.1)
    for gradient, exact in zip(cuda.group_norm_backward(*map(on_device, given), groups, 0.1), gradients, strict=True):
        assert gradient.dtype == dtype and gradient.shape == exact.shape and gradient.flags.c_contiguous
        numpy.testing.assert_allclose(gradient.get(), exact, rtol=1e-4, atol=mean * 300 * numpy.finfo(dtype).eps * numpy.abs(g).sum())


@every_dtype
@settings(deadline=None, max_examples=6)
@given(shapes | st.sampled_from([(1, 3), (5, 1, 1)]), st.sampled_from([0.5, 100.0]), seeds)
@example(SEVERAL_BLOCKS, 0.5, 0)
def test_the_deviation_in_a_batch_is_that_of_the_reference(cuda: Any, dtype: Any, shape: tuple[int, ...], mean: float, seed: int) -> None:
    x, g = arrays(shape, dtype, seed, mean)[0], arrays((*shape[:-1], shape[-1] + 1), dtype, seed)[1]
    batches = next(n for n in (3, 2, 1) if len(x) % n == 0)
    for average in ((), (lambda sums: 1.01 * sums,)):  # alone, and with the means of several processes
        expected = reference.minibatch_deviation(x, 1e-3, batches, *average)
        found = cuda.minibatch_deviation(on_device(x), 1e-3, batches, *average)
        for result, exact in zip(found, expected, strict=True):
            assert result.dtype == dtype and result.shape == exact.shape and result.flags.c_contiguous
            rounding = 50 * len(x) * numpy.finfo(dtype).eps  # the mean of numbers of both signs is smaller than they are
            numpy.testing.assert_allclose(result.get(), exact, rtol=rounding, atol=rounding * numpy.abs(x).max())
        given = g, x, *expected[1:]
        gradient = cuda.minibatch_deviation_backward(*map(on_device, given), *average).get()
        exact = reference.minibatch_deviation_backward(*given, *average)
        assert gradient.dtype == dtype
        numpy.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=20 * numpy.finfo(dtype).eps * numpy.abs(g).sum())


@every_dtype
@pytest.mark.parametrize("shape", [(3, 11, 12, 3), (600, 2)])
def test_a_mean_a_thousand_times_the_deviation(cuda: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    x, _, gamma, beta = arrays(shape, dtype, 0, mean=1000)
    y, mean, var = batch_norm(cuda, x, gamma, beta, 1e-5, 0.2)
    exact = x.astype(numpy.float64).reshape(-1, shape[-1])
    numpy.testing.assert_allclose(mean, exact.mean(axis=0), rtol=HALF_A_STEP)
    numpy.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-6)
    assert numpy.abs(y - reference.batch_norm(x, gamma, beta, 1e-5, 0.2)[0]).max() < 5e-4


@every_dtype
@pytest.mark.parametrize(("other", "tolerance"), [(slice(0, 1), HALF_A_STEP), (slice(0, None, 3), 2e-7)])  # the latter are the rough mean's
def test_rows_that_are_not_like_the_others(cuda: Any, dtype: Any, other: slice, tolerance: float) -> None:
    """As the corner or the border of padded images is."""
    x, _, gamma, beta = arrays((600, 2), dtype, 0, mean=1000)
    x = x.copy()
    x[other] = 0
    exact = x.astype(numpy.float64)
    _, mean, var = batch_norm(cuda, x, gamma, beta, 1e-5, 0.2)
    numpy.testing.assert_allclose(mean, exact.mean(axis=0), rtol=tolerance)
    numpy.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-6)


@every_dtype
def test_a_constant_channel_has_no_variance(cuda: Any, dtype: Any) -> None:
    x = numpy.full((260, 3), 1234.567, dtype)
    y, mean, var = batch_norm(cuda, x, numpy.ones(3, dtype), numpy.full(3, 0.5, dtype), 1e-5, 1.0)
    assert (var >= 0).all() and (var < 1e-12).all() and (mean == x[0]).all() and (y == 0.5).all()


def test_sums_over_all_processes(cuda: Any) -> None:
    """Of two processes with the same rows, both have the sums of one alone. Only the gradient of x depends on the other's."""
    x, g, gamma, beta = map(on_device, arrays((20, 3), numpy.float32, 0))
    y, mean, var = cuda.batch_norm(x, gamma, beta, 1e-5, 0.2)
    alone = y, mean, var, *cuda.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, 0.2)
    shared = (
        *cuda.batch_norm(x, gamma, beta, 1e-5, 0.2, lambda sums: sums),
        *cuda.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, 0.2, lambda sums: sums),
    )
    for one, other in zip(alone, shared, strict=True):
        assert one.dtype == other.dtype
        numpy.testing.assert_allclose(one.get(), other.get(), rtol=1e-5, atol=1e-6)
    halved = cuda.batch_norm_backward(g, x, y, gamma, mean, var, 1e-5, 0.2, lambda sums: sums / 2)
    assert numpy.abs((halved[0] - alone[3]).get()).max() > 0.01
    assert (halved[1] == alone[4]).all() and (halved[2] == alone[5]).all()


def test_a_nan_stays_in_its_channel(cuda: Any) -> None:
    x, _, gamma, beta = arrays((50, 4), numpy.float32, 0)
    x = x.copy()
    x[17, 2] = numpy.nan
    y = batch_norm(cuda, x, gamma, beta, 1e-5, 0.0)[0]
    for result in (y, cuda.column_sums(on_device(x)).get()[None]):
        assert numpy.isnan(result[:, 2]).all() and numpy.isfinite(result[:, [0, 1, 3]]).all()
