"""The convolutions of the GPU against the reference.

All cases are small, because the simulator runs every GPU thread as a Python thread.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from device_arrays import on_device
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import DTYPES, Convolution, convolutions, error, in_any_layout
from tinygen_kernels import Pair, reference

pytestmark = pytest.mark.gpu

TOLERANCE = {numpy.float32: 5e-6, numpy.float64: 1e-13}
CHANNELS = [1, 3, 4, 5, 8]
seeds = st.integers(0, 2**32 - 1)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

# images, size, channels, outputs, kernel_size, stride, padding, dilation. No size is a multiple of
# the tile's.
CASES = {
    "plain": Convolution(2, (5, 4), 3, 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "wide": Convolution(1, (5, 6), 8, 20, (2, 3), (1, 1), ((0, 1), (2, 1)), (1, 1)),  # four channels at once, two tiles of them
    "pieces": Convolution(2, (9, 5), 4, 4, (1, 2), (1, 1), ((0, 0), (1, 0)), (1, 1)),  # of the sum of conv2d_weight
    "phases in pieces": Convolution(1, (6, 5), 4, 20, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    "phases apart": Convolution(1, (5, 4), 3, 36, (4, 3), (3, 2), ((2, 1), (0, 1)), (1, 1)),  # not in pieces, however many taps they have
    "lopsided": Convolution(2, (7, 6), 4, 8, (3, 2), (2, 1), ((1, 0), (0, 2)), (1, 2)),
    "even": Convolution(1, (9, 7), 5, 4, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1)),  # all phases in one launch
    "uneven": Convolution(1, (8, 7), 3, 4, (4, 3), (3, 2), ((2, 1), (0, 1)), (1, 1)),  # phases of one tap and of two
    "common": Convolution(1, (9, 8), 5, 4, (2, 3), (3, 2), ((0, 1), (2, 0)), (2, 2)),  # stride and dilation have a common divisor
    "holes": Convolution(3, (4, 3), 2, 6, (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),  # pixels that meet no tap
    "far": Convolution(1, (11, 9), 12, 4, (3, 2), (2, 3), ((3, 2), (1, 4)), (3, 1)),
}


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (9, 4, 20), (3, 40, 8), (0, 2, 3), (2, 0, 3)])
@every_dtype
def test_a_product_of_matrices_in_any_layout(conv: Any, dtype: Any, shape: tuple[int, int, int]) -> None:
    (m, k, n), random = shape, numpy.random.default_rng(0)
    a, b = random.standard_normal((m, k)).astype(dtype), random.standard_normal((k, n)).astype(dtype)
    expected = a.astype(numpy.float64) @ b
    for left in (a, numpy.asfortranarray(a), numpy.repeat(a, 2, axis=1)[:, ::2]):
        for right in (b, numpy.asfortranarray(b)):
            y = conv.pointwise(on_device(left), on_device(right))
            assert y.dtype == dtype and y.flags.c_contiguous
            assert not y.size or error(y.get(), expected) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("stack", "shape"), [((2, 3), (5, 7, 3)), ((4,), (17, 8, 20)), ((2,), (3, 70, 4)), ((0,), (2, 3, 4)), ((3,), (2, 0, 4))]
)
def test_products_of_stacked_matrices(conv: Any, stack: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    (m, k, n), random = shape, numpy.random.default_rng(0)
    a, b = random.standard_normal((*stack, m, k)).astype("f"), random.standard_normal((*stack, n, k)).astype("f").swapaxes(-1, -2)
    y = conv.pointwise(on_device(a), on_device(numpy.ascontiguousarray(b)))
    exact = reference.matmul(a.astype(float), b.astype(float))
    assert y.shape == exact.shape and (not y.size or error(y.get(), exact, k) < 5e-6)


@pytest.fixture
def launches(conv: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """The kernel and the number of blocks of each launch, of which none is started."""
    found: list[tuple[Any, int]] = []

    def repeated(kernel: Any, blocks: int, *_: Any) -> Any:
        found.append((kernel, blocks))
        return SimpleNamespace(start=lambda *arrays: None)

    monkeypatch.setattr(conv, "_plan", conv._plan.__wrapped__)  # which keeps none for other tests
    monkeypatch.setattr(conv, "Repeated", repeated)
    return found


def test_no_grid_is_larger_than_cuda_allows(conv: Any, launches: list[tuple[Any, int]]) -> None:
    """At most 2^31 - 1 blocks along x, and 65,535 along y and along z."""
    import cupy

    for images, k in (65_535, 3), (200_000, 1), (3, 100_000):
        conv.pointwise(cupy.zeros((images, 1, k), "float32"), cupy.zeros((images, k, 1), "float32"))
    grids = [blocks for _, blocks in launches]
    assert grids[:2] == [65_535, 200_000] and 3 < grids[2] < 2**31


def check(
    conv: Any, c: Convolution, dtype: Any, seed: int, with_bias: bool, slope: float = 1.0, factor: Callable[[Any], Any] = numpy.asarray
) -> None:
    """All three against the reference in double precision, arrays in random memory layouts. factor(x) is x as it is multiplied."""
    x, w, g = c.arrays(dtype, seed)
    b, d = (w[0, 0, 0], w[0, 0, :, 0]) if with_bias else (None, None)
    given = factor(x), factor(w), factor(g), b, d
    exact = {name: None if array is None else array.astype(numpy.float64) for name, array in zip("xwgbd", given, strict=True)}
    x, w, g = map(on_device, (x, w, g))
    b, d = (w[0, 0, 0], w[0, 0, :, 0]) if with_bias else (None, None)
    results = [
        (conv.conv2d(x, w, b, *c.window, slope), reference.conv2d(exact["x"], exact["w"], exact["b"], *c.window, slope)),
        (
            conv.conv2d_data(g, w, d, c.size, *c.window, slope),
            reference.conv2d_data(exact["g"], exact["w"], exact["d"], c.size, *c.window, slope),
        ),
        (conv.conv2d_weight(x, g, c.kernel_size, *c.window), reference.conv2d_weight(exact["x"], exact["g"], c.kernel_size, *c.window)),
    ]
    for (result, expected), terms in zip(results, c.terms.values(), strict=True):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert error(result.get(), expected, terms) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", CASES)
def test_awkward_cases(conv: Any, case: str) -> None:
    check(conv, CASES[case], numpy.float32, 0, with_bias=True, slope=0.2)


def small(c: Convolution) -> Convolution:
    """The same geometry with fewer images and channels."""
    channels, outputs = CHANNELS[c.channels % 5], CHANNELS[c.outputs % 5]
    return c._replace(images=1 + c.images % 2, channels=channels, outputs=outputs if channels < 8 else min(outputs, 4))


@every_dtype
@settings(deadline=None, max_examples=12)
@given(convolutions().map(small), seeds, st.booleans(), st.sampled_from([0.0, 1.0]))
def test_the_reference_is_met(conv: Any, dtype: Any, c: Convolution, seed: int, with_bias: bool, slope: float) -> None:
    check(conv, c, dtype, seed, with_bias, slope)


@settings(deadline=None, max_examples=8)
@given(convolutions().map(small), seeds)
def test_the_three_are_adjoint(conv: Any, c: Convolution, seed: int) -> None:
    """<conv2d(x, w), g> = <x, conv2d_data(g, w)> = <w, conv2d_weight(x, g)>"""
    x, w, g = map(on_device, c.arrays(numpy.float64, seed))
    y, g_x = conv.conv2d(x, w, None, *c.window), conv.conv2d_data(g, w, None, c.size, *c.window)
    g_w = conv.conv2d_weight(x, g, c.kernel_size, *c.window)
    products = (y * g).get(), (x * g_x).get(), (w * g_w).get()
    assert numpy.ptp([product.sum() for product in products]) <= 1e-12 * max(numpy.abs(product).sum() for product in products)


# Garbage times zero is zero. So what a sum reads beyond its end changes the result only if it is
# infinite.


def test_pixels_that_no_window_meets_may_be_infinite(conv: Any) -> None:
    c = Convolution(1, (6, 7), 5, 3, (2, 2), (3, 3), ((0, 0), (0, 0)), (1, 1))
    x, w, _ = c.arrays(numpy.float32, 0)
    x = x.copy()
    x[:, 2::3], x[:, :, 2::3] = numpy.inf, numpy.inf
    x[:, :, 6:] = numpy.inf
    y = conv.conv2d(on_device(x), on_device(w), None, *c.window)
    assert error(y.get(), reference.conv2d(numpy.where(numpy.isinf(x), 0, x), w, None, *c.window)) < 5e-6


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_the_taps_of_another_phase_may_be_infinite(conv: Any) -> None:
    c = Convolution(1, (6, 4), 3, 5, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    _, w, g = c.arrays(numpy.float32, 0)
    w = w.copy()
    expected = reference.conv2d_data(g, w, None, c.size, *c.window)[:, ::2, ::2]
    w[0, 1] = numpy.inf
    x = conv.conv2d_data(on_device(g), on_device(w), None, c.size, *c.window)
    assert error(x.get()[:, ::2, ::2], expected) < 5e-6


@pytest.mark.parametrize(
    ("name", "c"),
    [
        ("NARROW", Convolution(1, (9, 8), 4, 3, (2, 2), (1, 1), ((1, 0), (1, 0)), (1, 1))),
        ("SMALL", Convolution(1, (7, 10), 4, 68, (1, 2), (1, 1), ((0, 0), (1, 0)), (1, 1))),
        ("SMALL", Convolution(1, (7, 10), 3, 67, (1, 2), (1, 1), ((0, 0), (1, 0)), (1, 1))),  # in its shallow form
        ("TALL", Convolution(1, (11, 12), 4, 20, (1, 2), (1, 1), ((0, 0), (1, 0)), (1, 1))),
        ("LARGE", Convolution(1, (11, 12), 4, 132, (1, 2), (1, 1), ((0, 0), (1, 0)), (1, 1))),
    ],
)
def test_the_tiles_of_a_real_gpu(conv: Any, monkeypatch: pytest.MonkeyPatch, name: str, c: Convolution) -> None:
    from tinygen_kernels.cuda import products, tile

    monkeypatch.setattr(products, "choose", lambda *_: getattr(tile, name))
    x, w, g = c.arrays(numpy.float32, 0)
    b = numpy.ascontiguousarray(w[0, 0, 0])
    assert error(conv.conv2d(*map(on_device, (x, w, b)), *c.window, 0.2).get(), reference.conv2d(x, w, b, *c.window, 0.2)) < 5e-6
    g_w = conv.conv2d_weight(on_device(x), on_device(g), c.kernel_size, *c.window)
    assert error(g_w.get(), reference.conv2d_weight(x, g, c.kernel_size, *c.window)) < 5e-6


@pytest.mark.usefixtures("planned_as_for_a_gpu")
def test_large_tiles_are_for_products_that_fill_the_gpu() -> None:
    from tinygen_kernels.cuda import products, tensor_cores
    from tinygen_kernels.cuda.tile import LARGE, NARROW, SMALL, TALL

    assert products.choose(10**6, 256, 1, "float32", 132) == LARGE
    assert products.choose(10**6, 64, 1, "float32", 132) == TALL
    assert products.choose(10**6, 3, 1, "float32", 132) == NARROW
    assert products.choose(10**6, 256, 1, "float64", 132) == SMALL
    assert products.choose(4096, 256, 1, "float32", 132) == SMALL
    assert products.choose(4096, 256, 1, "float32", 16) == LARGE
    assert products.choose(4096, 256, 5, "float32", 132) == LARGE
    assert products.choose(10**6, 64, 1, "tf32", 132) == tensor_cores.SMALL
    assert products.choose(10**6, 256, 1, "tf32", 132) == tensor_cores.LARGE


@pytest.mark.parametrize(("offset", "channels", "widths"), [(0, 8, (4, 4)), (4, 8, (4, 4)), (1, 8, (1, 4)), (0, 6, (1, 4))])
def test_four_at_once_only_where_memory_allows(
    conv: Any, launches: list[tuple[Any, int]], monkeypatch: pytest.MonkeyPatch, offset: int, channels: int, widths: Pair
) -> None:
    import cupy

    monkeypatch.setattr(conv, "_kernel", lambda weight, tile, dtype, *widths: widths)
    x = cupy.zeros(offset + 9 * channels, numpy.float32)[offset:].reshape(1, 3, 3, channels)
    conv.conv2d(x, cupy.zeros((2, 2, channels, 4), numpy.float32), None, (1, 1), ((0, 0), (0, 0)), (1, 1))
    assert [kernel for kernel, _ in launches] == [widths]


def test_a_batch_without_images(conv: Any, launches: list[tuple[Any, int]]) -> None:
    c = Convolution(0, (3, 4), 2, 3, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x, w, g = map(on_device, c.arrays(numpy.float32, 0))
    assert conv.conv2d(x, w, None, *c.window).shape == (0, 2, 3, 3)
    assert conv.conv2d_data(g, w, None, c.size, *c.window).shape == (0, 3, 4, 2)
    assert not conv.conv2d_weight(x, g, c.kernel_size, *c.window).get().any()
    assert launches == []  # a GPU refuses to start no blocks, the simulator does not


def test_images_without_channels(conv: Any) -> None:
    c = Convolution(2, (3, 4), 0, 3, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
    x, w, _ = map(on_device, c.arrays(numpy.float32, 0))
    y = conv.conv2d(x, w, on_device(numpy.array([1, -1, 0], numpy.float32)), *c.window, 0.2)
    assert (y.get() == numpy.array([1, -0.2, 0], numpy.float32)).all()


@every_dtype
def test_matmul(conv: Any, dtype: Any) -> None:
    random = numpy.random.default_rng(0)
    a, b = (in_any_layout(random.standard_normal(shape).astype(dtype), random) for shape in ((5, 7), (7, 3)))
    c = conv.matmul(on_device(a), on_device(b))
    assert c.dtype == dtype and error(c.get(), reference.matmul(a, b)) < 1e-6
