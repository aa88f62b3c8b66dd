"""Winograd's convolutions on the CPU: as exact as the direct ones, for any padding, size and batch."""

from typing import Any

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_shapes import Convolution, error, pairs
from test_cpu_conv import TOLERANCE
from tinygen_kernels import cpu, reference
from tinygen_kernels.cpu import winograd, winograd_weight
from tinygen_kernels.geometry import source_tables

SAME = (1, 1), ((1, 1), (1, 1)), (1, 1)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def also_few_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_WORTH", 1e9)
    monkeypatch.setattr(winograd_weight, "_LEAST_SUMS", 0)
    monkeypatch.setattr(winograd_weight, "_SUM_TILES", 20)


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    """Some pad by more than the kernel reaches, so that the gradient of the image crops."""
    padding, output = (draw(pairs(0, 3)), draw(pairs(0, 3))), draw(pairs(5, 13))
    size = output[0] + 2 - sum(padding[0]), output[1] + 2 - sum(padding[1])
    channels, outputs = draw(st.sampled_from([(32, 32), (32, 64), (96, 32)]))
    return Convolution(draw(st.integers(1, 3)), size, channels, outputs, (3, 3), (1, 1), padding, (1, 1))


def taken(images: Any, c: Convolution, shape: tuple[int, ...], data: bool) -> bool:
    return winograd.pays(images, (c.kernel_size, *c.window), shape, data)


@settings(deadline=None, max_examples=25)
@given(convolutions(), st.booleans(), st.sampled_from([1.0, 0.3]), seeds)
def test_the_reference_is_met_as_by_the_direct_convolution(c: Convolution, with_bias: bool, slope: float, seed: int) -> None:
    x, w, g = c.arrays(numpy.float32, seed)
    b, d = (w[0, 0, 0], w[0, 0, :, 0]) if with_bias else (None, None)
    exact = [None if array is None else array.astype(numpy.float64) for array in (x, w, g, b, d)]
    y, dx = cpu.conv2d(x, w, b, *c.window, slope), cpu.conv2d_data(g, w, d, c.size, *c.window, slope)
    assert taken(x, c, y.shape, False) and taken(g, c, dx.shape, True) and winograd_weight.pays(x, g, (c.kernel_size, *c.window))
    for name, result, expected in (
        ("w", cpu.conv2d_weight(x, g, c.kernel_size, *c.window), reference.conv2d_weight(exact[0], exact[2], c.kernel_size, *c.window)),
        ("y", y, reference.conv2d(exact[0], exact[1], exact[3], *c.window, slope)),
        ("x", dx, reference.conv2d_data(exact[2], exact[1], exact[4], c.size, *c.window, slope)),
    ):
        assert result.dtype == numpy.float32 and result.flags.c_contiguous and result.flags.writeable
        assert error(result, expected, c.terms[name]) < TOLERANCE[numpy.float32][name], name


def test_the_error_stays_within_the_bound_that_the_docstring_derives() -> None:
    """Numbers of one sign and nearly one size: no errors cancel in the sums."""
    random = numpy.random.default_rng(0)
    for channels in (64, 512):
        x, w = random.uniform(0.9, 1, (1, 8, 8, channels)).astype("f4"), random.uniform(0.9, 1, (3, 3, channels, 64)).astype("f4")
        difference = numpy.abs(cpu.conv2d(x, w, None, *SAME) - reference.conv2d(x.astype("f8"), w.astype("f8"), None, *SAME)).max()
        assert 0 < difference < 64 * (channels + 10) * 2**-24 * channels


def test_an_image_has_the_same_bits_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    x, w, _ = Convolution(7, (9, 12), 64, 64, (3, 3), *SAME).arrays(numpy.float32, 0)
    whole = cpu.conv2d(x, w, None, *SAME)
    for n in range(len(x)):
        numpy.testing.assert_array_equal(cpu.conv2d(x[n : n + 1], w, None, *SAME)[0], whole[n])


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_nan_and_infinity_come_out_through_leaky_relu_as_without_it(slope: float) -> None:
    c = Convolution(2, (9, 10), 64, 64, (3, 3), *SAME)
    x, w, _ = c.arrays(numpy.float32, 0)
    x = numpy.where(numpy.random.default_rng(0).random(x.shape) < 3e-4, numpy.float32(numpy.inf), x)
    x[0, 4, 4, 7] = numpy.nan
    with numpy.errstate(invalid="ignore"):
        expected = reference.conv2d(x, w, None, *SAME)
    plain = cpu.conv2d(x, w, None, *SAME)
    assert numpy.isfinite(plain).any() and (numpy.isnan(plain) >= numpy.isnan(expected)).all()
    numpy.testing.assert_array_equal(cpu.conv2d(x, w, None, *SAME, slope), cpu.leaky_relu(plain, slope))


def test_it_is_taken_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def weight_pays(images: int, side: int, channels: int) -> bool:
        x = numpy.empty((images, side, side, channels), "f4")
        return winograd_weight.pays(x, x, ((3, 3), *SAME))

    def pays(images: int, side: int, channels: int, outputs: int, dtype: str = "f4", window: Any = ((3, 3), *SAME)) -> bool:
        return winograd.pays(numpy.empty((images, side, side, channels), dtype), window, (images, side, side, outputs))

    assert pays(16, 16, 32, 64) and pays(16, 16, 64, 32) and pays(16, 6, 96, 128) and pays(1, 23, 64, 64)
    assert weight_pays(8, 16, 64) and weight_pays(8, 16, 256) and not weight_pays(7, 16, 64) and not weight_pays(8, 16, 288)
    assert not pays(16, 16, 16, 64) and not pays(16, 16, 64, 16) and not pays(16, 16, 80, 64) and not pays(16, 16, 0, 64)
    assert not pays(64, 5, 64, 64) and not pays(16, 16, 64, 64, "f8")
    small, large, window = (64, 4, 4, 64), (64, 6, 6, 64), ((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    assert winograd.pays(numpy.empty(large, "f4"), window, small)  # all taps are inside the image: 64 of 144 multiplications
    assert not winograd.pays(numpy.empty(small, "f4"), window, large, data=True)  # 144 of 144
    for size, stride, dilation in (((3, 4), (1, 1), (1, 1)), ((3, 3), (2, 1), (1, 1)), ((3, 3), (1, 1), (1, 2))):
        assert not pays(16, 16, 64, 64, window=(size, stride, SAME[1], dilation))


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
def test_taps_outside_the_image_do_not_count(size: int, before: int, after: int) -> None:
    assume(size + before + after >= 3)
    rows, _ = source_tables((size, 1), (3, 1), (1, 1), ((before, after), (0, 0)), (1, 1))
    assert winograd._used_taps(size, len(rows), before) == (rows >= 0).sum()
