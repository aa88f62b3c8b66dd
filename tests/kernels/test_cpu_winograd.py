"""Winograd's convolutions on the CPU: as exact as the direct ones, for any padding, size and batch."""

from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from kernel_shapes import Convolution, error, pairs
from test_cpu_conv import TOLERANCE
from tinygen_kernels import cpu, reference
from tinygen_kernels.cpu import parallel, winograd, winograd_weight
from tinygen_kernels.cpu.simd import PIXELS
from tinygen_kernels.cpu.winograd_matrices import ALGORITHMS, F_2_2, F_2_3, F_4_2, F_4_3, F
from tinygen_kernels.geometry import source_tables

SAME, HALVING = ((1, 1), ((1, 1), (1, 1)), (1, 1)), ((2, 2), ((1, 1), (1, 1)), (1, 1))
# How much larger errors of tiles of 4x4 may be than those of 2x2: the bound that the docstring gives
# grows with the square of the sum of factors, which is 22 for F(4, 3) and 8 for F(2, 3).
LARGE_TILES = (22 / 8) ** 2
# An image one pixel high, whose error was three times what is taken from tiles of 2x2.
FLAT = Convolution(3, (1, 13), 96, 64, (3, 3), (1, 1), ((3, 3), (0, 0)), (1, 1))
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def also_few_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(winograd, "_WORTH", 1e9)
    monkeypatch.setattr(winograd_weight, "_LEAST_ITEMS", 0)
    monkeypatch.setattr(winograd_weight, "_SUM_TILES", 20)
    winograd._least.cache_clear()
    yield
    winograd._least.cache_clear()


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    """Some pad by more than the kernel reaches, so that the gradient of the image crops."""
    padding, output = (draw(pairs(0, 3)), draw(pairs(0, 3))), draw(pairs(5, 13))
    side, step = draw(st.sampled_from([(3, 1), (4, 2)]))
    size = tuple(max(1, step * (o - 1) + side - sum(p) + draw(st.integers(0, step - 1))) for o, p in zip(output, padding, strict=True))
    channels, outputs = draw(st.sampled_from([(32, 32), (32, 128), (96, 64)]))
    return Convolution(draw(st.integers(1, 3)), size, channels, outputs, (side, side), (step, step), padding, (1, 1))


def taken(images: Any, c: Convolution, shape: tuple[int, ...], data: bool) -> bool:
    return winograd.choice(images, (c.kernel_size, *c.window), shape, data) is not None


@pytest.mark.parametrize("least_tiles", [1, 1000])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(convolutions(), st.booleans(), st.sampled_from([1.0, 0.3]), seeds)
@example(FLAT, True, 1.0, 392)
def test_the_reference_is_met_as_by_the_direct_convolution(
    least_tiles: int, c: Convolution, with_bias: bool, slope: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "_LEAST_TILES", least_tiles)
        winograd._least.cache_clear()
        x, w, g = c.arrays(numpy.float32, seed)
        b, d = (w[0, 0, 0], w[0, 0, :, 0]) if with_bias else (None, None)
        exact = [None if array is None else array.astype(numpy.float64) for array in (x, w, g, b, d)]
        y, dx = cpu.conv2d(x, w, b, *c.window, slope), cpu.conv2d_data(g, w, d, c.size, *c.window, slope)
        assert taken(x, c, y.shape, False) and taken(g, c, dx.shape, True)
        assert winograd_weight.choice(x, g, (c.kernel_size, *c.window)) is not None
        for name, result, expected in (
            ("w", cpu.conv2d_weight(x, g, c.kernel_size, *c.window), reference.conv2d_weight(exact[0], exact[2], c.kernel_size, *c.window)),
            ("y", y, reference.conv2d(exact[0], exact[1], exact[3], *c.window, slope)),
            ("x", dx, reference.conv2d_data(exact[2], exact[1], exact[4], c.size, *c.window, slope)),
        ):
            assert result.dtype == numpy.float32 and result.flags.c_contiguous and result.flags.writeable
            assert error(result, expected, c.terms[name]) < (LARGE_TILES if least_tiles == 1 else 1) * TOLERANCE[numpy.float32][name], name


@pytest.mark.parametrize("f", ALGORITHMS, ids=lambda f: f"F({f.tile}, {f.taps})")
def test_the_matrices_give_the_correlation(f: F) -> None:
    random, (B_T, G, A_T) = numpy.random.default_rng(0), (numpy.array(matrix) for matrix in (f.B_T, f.G, f.A_T))
    d, g = random.standard_normal(f.size), random.standard_normal(f.taps)
    numpy.testing.assert_allclose(A_T @ ((G @ g) * (B_T @ d)), numpy.correlate(d, g), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("f", "factors"), [(F_2_2, 4), (F_2_3, 8), (F_4_2, 13), (F_4_3, 22)], ids=["2, 2", "2, 3", "4, 2", "4, 3"])
def test_the_error_stays_within_the_bound_that_the_docstring_derives(f: F, factors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of one sign and nearly one size: no errors cancel in the sums."""
    B, G, A = (numpy.abs(numpy.array(matrix)) for matrix in (f.B_T, f.G, f.A_T))
    assert (A @ (G.sum(axis=1) * B.sum(axis=1))).max() == pytest.approx(factors)
    random, (side, step), geometry = numpy.random.default_rng(0), ((3, 1) if f.taps == 3 else (4, 2)), SAME if f.taps == 3 else HALVING
    monkeypatch.setattr(winograd, "_BY_WINDOW", {((side, side), (step, step), (1, 1)): (f,)})
    for channels in (64, 512):
        x = random.uniform(0.9, 1, (1, 8 * step, 8 * step, channels)).astype("f4")
        w = random.uniform(0.9, 1, (side, side, channels, 64)).astype("f4")
        difference = numpy.abs(cpu.conv2d(x, w, None, *geometry) - reference.conv2d(x.astype("f8"), w.astype("f8"), None, *geometry)).max()
        terms = step**2 * channels
        assert 0 < difference < factors**2 * (terms + 4 * f.size) * 2**-24 * terms


@pytest.mark.parametrize(("side", "size", "geometry"), [(3, (9, 12), SAME), (4, (18, 14), HALVING)])
def test_an_image_has_the_same_bits_alone_and_in_a_batch(
    side: int, size: tuple[int, int], geometry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    c = Convolution(7, size, 64, 64, (side, side), *geometry)
    x, w, _ = c.arrays(numpy.float32, 0)
    whole = cpu.conv2d(x, w, None, *geometry)
    assert taken(x, c, whole.shape, False)
    for n in range(len(x)):
        numpy.testing.assert_array_equal(cpu.conv2d(x[n : n + 1], w, None, *geometry)[0], whole[n])


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("images", [1, 7, 32, 61])
def test_each_thread_gets_the_same_number_of_blocks(images: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more than it must, unless there are too few tiles for all threads. The bits do not depend on it."""
    c, launched = Convolution(images, (4, 4), 32, 32, (3, 3), *SAME), []
    x, w, _ = c.arrays(numpy.float32, 0)
    expected = cpu.conv2d(x, w, None, *SAME)

    def alone(kernel: Any, items: int, *arguments: Any) -> None:
        if kernel is winograd._convolve:
            launched.append(items)
        parallel.launch_shared(kernel, items, 1, *arguments)

    monkeypatch.setattr(winograd, "threads", lambda: threads)
    monkeypatch.setattr(winograd, "launch", alone)
    numpy.testing.assert_array_equal(cpu.conv2d(x, w, None, *SAME), expected)
    tiles, (blocks,) = 4 * images, launched
    if tiles <= threads * PIXELS:
        assert blocks == -(-tiles // PIXELS)
    else:
        assert blocks % threads == 0 and (blocks - threads) * winograd._TILES < tiles


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


def test_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    def weight_choice(images: int, side: int, channels: int) -> F | None:
        x = numpy.empty((images, side, side, channels), "f4")
        return winograd_weight.choice(x, x, ((3, 3), *SAME))

    def choice(side: int, channels: int, outputs: int, dtype: str = "f4", window: Any = ((3, 3), *SAME)) -> F | None:
        return winograd.choice(
            numpy.empty((1, side, side, channels), dtype), window, (1, side // window[1][0], side // window[1][0], outputs)
        )

    assert choice(16, 32, 64) == choice(16, 64, 32) == choice(8, 96, 128) == choice(23, 64, 64) == F_4_3
    assert choice(4, 64, 64) == choice(6, 96, 128) == F_2_3 and choice(5, 64, 64) is None
    assert choice(16, 64, 96, window=((4, 4), *HALVING)) == F_4_2 and choice(8, 64, 96, window=((4, 4), *HALVING)) == F_2_2
    assert choice(6, 64, 96, window=((4, 4), *HALVING)) is None
    assert weight_choice(32, 16, 64) == weight_choice(1, 16, 256) == F_4_3 and weight_choice(31, 16, 64) is None
    for channels, outputs, dtype in ((16, 64, "f4"), (64, 16, "f4"), (80, 64, "f4"), (0, 64, "f4"), (64, 64, "f8")):
        assert choice(16, channels, outputs, dtype) is None
    small, large, window = (64, 4, 4, 64), (64, 6, 6, 64), ((3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))
    assert winograd.choice(numpy.empty(large, "f4"), window, small)  # all taps are inside the image: 64 of 144 multiplications
    assert not winograd.choice(numpy.empty(small, "f4"), window, large, data=True)  # 144 of 144
    for size, stride, dilation in (((3, 4), (1, 1), (1, 1)), ((3, 3), (2, 1), (1, 1)), ((3, 3), (1, 1), (1, 2)), ((4, 4), (1, 1), (1, 1))):
        assert choice(16, 64, 64, window=(size, stride, SAME[1], dilation)) is None


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 3), st.sampled_from([(3, 1), (4, 2)]))
def test_taps_outside_the_image_do_not_count(size: int, before: int, after: int, taps_and_stride: tuple[int, int]) -> None:
    taps, stride = taps_and_stride
    assume(size + before + after >= taps)
    rows, _ = source_tables((size, 1), (taps, 1), (stride, 1), ((before, after), (0, 0)), (1, 1))
    assert winograd._used_taps(size, len(rows), before, taps, stride) == (rows >= 0).sum()
