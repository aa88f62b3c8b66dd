"""The convolutions of the CPU against the reference, and against each other."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import CHANNELS, DTYPES, Convolution, convolutions, error, in_any_layout
from tinygen_kernels import cpu, reference

# Relative to the size of the exact numbers. The rounding error of a sum grows with its length, and
# a weight gradient sums over the batch.
TOLERANCE = {numpy.float32: {"y": 2e-6, "x": 2e-6, "w": 2e-5}, numpy.float64: {"y": 1e-14, "x": 1e-14, "w": 1e-13}}
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=100)
@given(convolutions(), st.booleans(), st.sampled_from([1.0, 0.3]), seeds)
def test_the_reference_is_met(dtype: Any, c: Convolution, with_bias: bool, slope: float, seed: int) -> None:
    x, w, g = c.arrays(dtype, seed)
    b, d = (w[0, 0, 0], w[0, 0, :, 0]) if with_bias else (None, None)
    exact = [None if array is None else array.astype(numpy.float64) for array in (x, w, g, b, d)]
    for array in (x, w, g):
        array.flags.writeable = False
    results = {
        "y": (cpu.conv2d(x, w, b, *c.window, slope), reference.conv2d(exact[0], exact[1], exact[3], *c.window, slope)),
        "x": (
            cpu.conv2d_data(g, w, d, c.size, *c.window, slope),
            reference.conv2d_data(exact[2], exact[1], exact[4], c.size, *c.window, slope),
        ),
        "w": (cpu.conv2d_weight(x, g, c.kernel_size, *c.window), reference.conv2d_weight(exact[0], exact[2], c.kernel_size, *c.window)),
    }
    for name, (result, expected) in results.items():
        assert result.dtype == dtype and result.flags.c_contiguous and result.flags.writeable
        assert error(result, expected, c.terms[name]) < TOLERANCE[dtype][name], name


@pytest.mark.parametrize("module", [cpu, reference], ids=lambda module: module.__name__)
@settings(deadline=None, max_examples=100)
@given(convolutions(), seeds)
def test_the_three_are_adjoint(module: Any, c: Convolution, seed: int) -> None:
    """<conv2d(x, w), g> = <x, conv2d_data(g, w)> = <w, conv2d_weight(x, g)>"""
    x, w, g = c.arrays(numpy.float64, seed)
    y = module.conv2d(x, w, None, *c.window)
    products = y * g, x * module.conv2d_data(g, w, None, c.size, *c.window), w * module.conv2d_weight(x, g, c.kernel_size, *c.window)
    assert numpy.ptp([product.sum() for product in products]) <= 1e-12 * max(numpy.abs(product).sum() for product in products)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "c",
    [
        Convolution(13, (15, 17), 32, 40, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),  # blocks of images, the last one smaller
        Convolution(1, (2, 1700), 12, 20, (2, 3), (1, 1), ((0, 1), (1, 1)), (1, 1)),  # rows divided into ranges
        Convolution(5, (13, 12), 64, 64, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),  # pixels that are copied, for a weight gradient
        Convolution(2, (50, 60), 12, 33, (3, 3), (2, 1), ((0, 1), (2, 0)), (1, 1)),  # images divided into ranges of pixels
        Convolution(19, (50, 45), 3, 20, (4, 4), (1, 1), ((1, 2), (1, 2)), (1, 1)),  # the same with few channels
        Convolution(9, (5, 5), 12, 300, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),  # many strips
    ],
)
def test_batches_larger_than_a_block(dtype: Any, c: Convolution) -> None:
    x, w, g = c.arrays(dtype, 0)
    assert error(cpu.conv2d(x, w, None, *c.window), reference.conv2d(x, w, None, *c.window)) < 5e-6
    assert error(cpu.conv2d_data(g, w, None, c.size, *c.window), reference.conv2d_data(g, w, None, c.size, *c.window)) < 5e-6
    assert error(cpu.conv2d_weight(x, g, c.kernel_size, *c.window), reference.conv2d_weight(x, g, c.kernel_size, *c.window)) < 2e-5


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=100)
@given(st.integers(1, 150), st.sampled_from(CHANNELS), st.sampled_from([*CHANNELS, 64, 100]), seeds)
def test_matmul(dtype: Any, rows: int, length: int, columns: int, seed: int) -> None:
    random = numpy.random.default_rng(seed)
    a = in_any_layout(random.standard_normal((rows, length)).astype(dtype), random)
    b = in_any_layout(random.standard_normal((length, columns)).astype(dtype), random)
    c = cpu.matmul(a, b)
    assert c.dtype == dtype and c.flags.c_contiguous
    assert error(c, reference.matmul(a.astype(numpy.float64), b.astype(numpy.float64)), length) < TOLERANCE[dtype]["y"]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=30)
@given(convolutions(), st.sampled_from([0.0, 0.3, 2.0]), seeds)
def test_leaky_relu_in_the_same_pass_gives_the_same_bits(dtype: Any, c: Convolution, slope: float, seed: int) -> None:
    """Of a NaN and of infinities, too."""
    x, w, g = c.arrays(dtype, seed)
    x, g = (
        a * numpy.random.default_rng(seed).choice([numpy.nan, numpy.inf, 1], a.shape, p=[0.05, 0.05, 0.9]).astype(dtype) for a in (x, g)
    )
    numpy.testing.assert_array_equal(cpu.conv2d(x, w, None, *c.window, slope), cpu.leaky_relu(cpu.conv2d(x, w, None, *c.window), slope))
    plain = cpu.conv2d_data(g, w, None, c.size, *c.window)
    numpy.testing.assert_array_equal(cpu.conv2d_data(g, w, None, c.size, *c.window, slope), cpu.leaky_relu(plain, slope))


@settings(deadline=None, max_examples=50)
@given(convolutions(), seeds)
def test_a_nan_comes_out(c: Convolution, seed: int) -> None:
    x, w, g = c.arrays(numpy.float32, seed)
    x = numpy.where(numpy.random.default_rng(seed).random(x.shape) < 0.1, numpy.float32(numpy.nan), x)
    with numpy.errstate(invalid="ignore"):
        expected = reference.conv2d(x, w, None, *c.window), reference.conv2d_weight(x, g, c.kernel_size, *c.window)
    results = cpu.conv2d(x, w, None, *c.window), cpu.conv2d_weight(x, g, c.kernel_size, *c.window)
    for result, exact in zip(results, expected, strict=True):
        assert (numpy.isnan(result) >= numpy.isnan(exact)).all()
    numpy.testing.assert_array_equal(numpy.isnan(results[0]), numpy.isnan(expected[0]))
