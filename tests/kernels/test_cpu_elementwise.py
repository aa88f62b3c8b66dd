"""The elementwise kernels of the CPU against their formulas.

The noise of dropout is compared with its statistics and with published numbers.
"""

import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import ADAM, DTYPES, error, in_any_layout
from numpy.testing import assert_array_equal
from tinygen_kernels import cpu, reference

seeds = st.integers(0, 2**64 - 1)
shapes = st.sampled_from([(), (0, 3), (1,), (7,), (64,), (5, 4, 3), (300, 7), (2, 70001), (131072,), (3, 65536)])
slopes = st.sampled_from([0.0, 0.2, 1.0])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
modest = settings(deadline=None, max_examples=40)


def arrays(count: int, shape: tuple[int, ...], dtype: Any, seed: int) -> list[Any]:
    """Random arrays with every kind of number in them."""
    random = numpy.random.default_rng(seed)
    values = random.standard_normal((count, *shape))
    special = random.integers(20, size=values.shape)
    for i, number in enumerate([0.0, -0.0, numpy.nan, numpy.inf, -numpy.inf]):
        values = numpy.where(special == i, number, values)
    return [in_any_layout(value.astype(dtype), random) if shape else numpy.array(value, dtype) for value in values]


@every_dtype
@modest
@given(shapes, slopes, seeds)
def test_leaky_relu_and_its_gradient(dtype: Any, shape: tuple[int, ...], slope: float, seed: int) -> None:
    x, g = arrays(2, shape, dtype, seed)
    with numpy.errstate(invalid="ignore"):
        expected = reference.leaky_relu(x, slope)
        gradient = reference.leaky_relu_backward(g, expected, slope)
    y = cpu.leaky_relu(x, slope)
    for result, exact in ((y, expected), (cpu.leaky_relu_backward(g, y, slope), gradient)):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert_array_equal(result, exact)


def test_numbers_as_numpy_makes_them_of_arrays_of_no_axes() -> None:
    x = numpy.float32(-1)
    for y in (cpu.leaky_relu(x, 0.5), cpu.leaky_relu_backward(x, x, 0.5)):
        assert y.shape == () and y == -0.5
    assert cpu.dropout(x, 0.0, 0) == -1


@pytest.mark.parametrize("module", [cpu, reference], ids=lambda module: module.__name__)
def test_the_gradient_at_zero_is_the_slope(module: Any) -> None:
    x, g = numpy.array([-1.0, -0.0, 0.0, 1.0, numpy.nan]), numpy.full(5, 8.0)
    y = module.leaky_relu(x, 0.25)
    assert_array_equal(y, [-0.25, 0, 0, 1, numpy.nan])
    assert_array_equal(module.leaky_relu_backward(g, y, 0.25), [2, 2, 2, 8, 8])


@pytest.mark.parametrize("module", [cpu, reference], ids=lambda module: module.__name__)
@pytest.mark.parametrize("first", [1, 2, 65_535, 65_537])
def test_dropout_of_a_part_is_that_part_of_all(module: Any, first: int) -> None:
    x = numpy.ones(140_000, numpy.float32)
    assert_array_equal(module.dropout(x[first:], 0.5, 2**40 + 1, first), module.dropout(x, 0.5, 2**40 + 1)[first:])


@every_dtype
@modest
@given(shapes, st.sampled_from([0.0, 1e-9, 0.3, 0.5, 0.999, 1 - 2**-53]), seeds)
def test_dropout_is_the_reference_bit_for_bit(dtype: Any, shape: tuple[int, ...], p: float, seed: int) -> None:
    (x,) = arrays(1, shape, dtype, seed)
    y = cpu.dropout(x, p, seed)
    with numpy.errstate(invalid="ignore"):
        expected = reference.dropout(x, p, seed)
    assert y.dtype == expected.dtype == dtype and y.flags.c_contiguous
    assert_array_equal(numpy.isnan(y), numpy.isnan(expected))
    kept = ~numpy.isnan(y)
    assert y[kept].tobytes() == expected[kept].tobytes()


@pytest.mark.parametrize(
    ("counter", "stream", "key", "words"),
    [
        (0, 0, 0, (0xFF1DAE59, 0x6CD10DF2)),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_the_random_words_are_those_of_philox(counter: int, stream: int, key: int, words: tuple[int, int]) -> None:
    """The numbers that Salmon et al. publish with their code, Random123."""
    found = reference._philox(numpy.array([counter], numpy.uint64), (stream << 32) + key)
    assert tuple(int(word[0]) for word in found) == words


def test_an_element_stays_whose_word_is_not_below_the_rate() -> None:
    for i, word in enumerate((0xFF1DAE59, 0x6CD10DF2)):
        assert cpu.dropout(numpy.ones(2), word / 2**32, 0)[i] != 0
        assert cpu.dropout(numpy.ones(2), (word + 1) / 2**32, 0)[i] == 0


def dropped(n: int, p: float, seed: int) -> Any:
    return cpu.dropout(numpy.ones(n, numpy.float32), p, seed) == 0


class TestNoise:
    """Bounds are five standard deviations of the statistic for independent elements."""

    n = 1 << 20

    @pytest.mark.parametrize("p", [0.001, 0.1, 0.3, 0.5, 0.9])
    def test_rate(self, p: float) -> None:
        for seed in range(5):
            assert abs(dropped(self.n, p, seed).mean() - p) < 5 * math.sqrt(p * (1 - p) / self.n)

    def expect_uncorrelated(self, a: Any, b: Any) -> None:
        assert abs(numpy.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(a.size)

    @pytest.mark.parametrize("distance", [1, 2, 3, 4, 8, 64, 512, 4096, 65536])
    def test_neighbours_rows_and_parts_are_independent(self, distance: int) -> None:
        mask = dropped(self.n, 0.4, 1)
        self.expect_uncorrelated(mask[distance:], mask[:-distance])

    @pytest.mark.parametrize("distance", [1, 2, 2**16, 2**31, 2**32, 2**33, 2**63])
    def test_seeds_are_independent(self, distance: int) -> None:
        first, second = dropped(self.n, 0.4, 12345), dropped(self.n, 0.4, 12345 + distance)
        for shift in (0, 1, 2):
            self.expect_uncorrelated(first[shift:], second[: self.n - shift])

    def test_runs_of_elements_are_as_frequent_as_independence_says(self) -> None:
        """The 256 patterns of eight neighbours: chi squared of 255 degrees of freedom.

        Its mean is 255 and its variance 510.
        """
        counts = numpy.bincount(numpy.packbits(dropped(self.n, 0.5, 2)), minlength=256)
        expected = self.n / 8 / 256
        assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * math.sqrt(510)

    def test_an_element_does_not_depend_on_how_many_there_are(self) -> None:
        whole = dropped(200_001, 0.4, 3)
        for n in (1, 2, 1001, 65536, 65537, 131_075):
            assert_array_equal(dropped(n, 0.4, 3), whole[:n])


@every_dtype
@modest
@given(shapes, seeds)
def test_adam(dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    random = numpy.random.default_rng(seed)
    p, g, m, v = (in_any_layout(a, random) if shape else a for a in random.standard_normal((4, *shape)).astype(dtype))
    own = [numpy.array(a, order="K") for a in (p, m, abs(v))]
    expected = [a.copy() for a in own]
    reference.adam(expected[0], g, *expected[1:], ADAM.astype(dtype))
    cpu.adam(own[0], g, *own[1:], ADAM.astype(dtype))
    for moved, exact in zip(own, expected, strict=True):
        assert moved.dtype == dtype
        assert not moved.size or error(moved, exact) < 20 * numpy.finfo(dtype).eps


@every_dtype
def test_adam_moves_arrays_of_any_layout_and_leaves_the_gradient(dtype: Any) -> None:
    g = numpy.random.default_rng(0).standard_normal((30, 20)).astype(dtype)
    plain = [numpy.ones((30, 20), dtype) for _ in range(3)]
    backing = numpy.ones((3, 30, 40), dtype)
    views = [numpy.asfortranarray(plain[0]), backing[1, :, ::2], backing[2, ::-1, :20]]
    before = g.copy()
    cpu.adam(plain[0], g, *plain[1:], ADAM.astype(dtype))
    cpu.adam(views[0], g, *views[1:], ADAM.astype(dtype))
    for a, b in zip(plain, views, strict=True):
        assert_array_equal(a, b)
    assert_array_equal(g, before)
    assert (backing[1, :, 1::2] == 1).all()


def test_adam_refuses_what_it_may_not_write() -> None:
    p, m, v = numpy.ones((3, 5))
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        cpu.adam(p, m.copy(), m, v, ADAM.astype(p.dtype))


def test_a_nan_stays_where_it_is() -> None:
    x = numpy.ones(70_000, numpy.float32)
    x[[0, 777, 69_999]] = numpy.nan
    p, m, v = (numpy.ones(x.size, numpy.float32) for _ in range(3))
    cpu.adam(p, x, m, v, ADAM.astype(p.dtype))
    for result in (cpu.leaky_relu(x, 0.0), cpu.leaky_relu_backward(x, m, 0.0), cpu.dropout(x, 0.9, 0), p, m, v):
        assert_array_equal(numpy.flatnonzero(numpy.isnan(result)), [0, 777, 69_999])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_small_losses_of_right_answers_have_all_their_digits(dtype: Any) -> None:
    """log(1 + e^z) of z far below 0 is about e^z, which 1 + e^z would lose."""
    z = numpy.linspace(-80, 0, 2001).astype(dtype)
    expected = numpy.log1p(numpy.exp(z.astype(numpy.longdouble)))
    numpy.testing.assert_allclose(cpu.binary_cross_entropy(z, 0.0), expected, rtol=8 * numpy.finfo(dtype).eps)
