"""Empty batches and images without channels go through every kernel: a sum over nothing is 0. Only a maximum or a mean needs pixels."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from kernel_shapes import Convolution
from tinygen_kernels import for_array, reference

from tinygen.backend import to_device

# images, channels, outputs
EMPTY = [(0, 2, 3), (0, 20, 3), (2, 0, 3), (2, 2, 0), (2, 20, 0), (0, 0, 0)]


@pytest.fixture(params=["reference", "for_array"])
def call(request: pytest.FixtureRequest, device: str) -> Callable[..., Any]:
    """Calls the kernel of this name on the device, and gives its results in NumPy's memory."""

    def call(name: str, *arguments: Any) -> Any:
        if request.param == "reference":
            return getattr(reference, name)(*arguments)
        moved = [to_device(a, device) if isinstance(a, numpy.ndarray) else a for a in arguments]
        results = getattr(for_array(moved[0]), name)(*moved)
        return tuple(to_device(r, "cpu") for r in results) if isinstance(results, tuple) else to_device(results, "cpu")

    return call


@pytest.mark.parametrize(("images", "channels", "outputs"), EMPTY)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
def test_convolutions(call: Callable[..., Any], images: int, channels: int, outputs: int, kernel: int, stride: int) -> None:
    padding = 2 * ((kernel // 2, kernel // 2),)
    expect_zeros(call, Convolution(images, (5, 4), channels, outputs, (kernel, kernel), (stride, stride), padding, (1, 1)))


@pytest.mark.parametrize("channels", [2, 20])
def test_convolutions_of_padding_alone(call: Callable[..., Any], channels: int) -> None:
    expect_zeros(call, Convolution(2, (0, 4), channels, 3, (3, 3), (1, 1), ((2, 1), (1, 1)), (1, 1)))


@pytest.mark.parametrize(("images", "channels", "outputs"), [(0, 64, 64), (2, 0, 64), (2, 64, 0), (0, 0, 0)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2)])
def test_convolutions_by_winograds_algorithm(
    call: Callable[..., Any], images: int, channels: int, outputs: int, kernel: int, stride: int
) -> None:
    expect_zeros(call, Convolution(images, (16, 16), channels, outputs, (kernel, kernel), (stride, stride), ((1, 1), (1, 1)), (1, 1)))


def expect_zeros(call: Callable[..., Any], c: Convolution) -> None:
    """Plus the bias."""
    x, w, g = c.arrays(numpy.float32, 0)
    to_y, to_x = numpy.full(c.outputs, 2, "float32"), numpy.full(c.channels, 3, "float32")
    numpy.testing.assert_array_equal(call("conv2d", x, w, to_y, *c.window), numpy.full_like(g, 2))
    numpy.testing.assert_array_equal(call("conv2d", x, w, -to_y, *c.window, 0.25), numpy.full_like(g, -0.5))
    numpy.testing.assert_array_equal(call("conv2d_weight", x, g, c.kernel_size, *c.window), numpy.zeros_like(w))
    numpy.testing.assert_array_equal(call("conv2d_data", g, w, to_x, c.size, *c.window), numpy.full_like(x, 3))
    numpy.testing.assert_array_equal(call("conv2d_data", g, w, None, c.size, *c.window), numpy.zeros_like(x))


@pytest.mark.parametrize(("rows", "length", "columns"), EMPTY)
def test_matmul(call: Callable[..., Any], rows: int, length: int, columns: int) -> None:
    a, b = numpy.ones((rows, length)), numpy.ones((length, columns))
    numpy.testing.assert_array_equal(call("matmul", a, b), numpy.zeros((rows, columns)))


@pytest.mark.parametrize(("images", "channels"), [(0, 3), (2, 0), (0, 0)])
def test_pooling(call: Callable[..., Any], images: int, channels: int) -> None:
    x, y, window = numpy.ones((images, 5, 4, channels)), numpy.ones((images, 3, 3, channels)), ((2, 2), (2, 2), ((1, 0), (1, 1)))
    values, indices = call("max_pool2d", x, *window)
    numpy.testing.assert_array_equal(values, y)
    assert indices.shape == y.shape and indices.dtype == numpy.int32
    numpy.testing.assert_array_equal(call("max_pool2d_gather", x, indices), y)
    numpy.testing.assert_array_equal(call("max_pool2d_scatter", y, indices, (5, 4), *window), x)
    numpy.testing.assert_array_equal(call("avg_pool2d", x, *window), y)
    numpy.testing.assert_array_equal(call("avg_pool2d_data", y, (5, 4), *window), x)


@pytest.mark.parametrize("kernel", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_pooling_needs_pixels(call: Callable[..., Any], kernel: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no pixel to pool"):
        call(kernel, numpy.ones((2, *size, 3)), (2, 2), (2, 2), ((1, 1), (1, 1)))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0), (0, 2, 2, 3), (2, 2, 2, 0)])
def test_elements_and_channels(call: Callable[..., Any], shape: tuple[int, ...]) -> None:
    x, of_channels = numpy.ones(shape), numpy.ones(shape[-1])
    numpy.testing.assert_array_equal(call("column_sums", x), numpy.zeros_like(of_channels))
    numpy.testing.assert_array_equal(call("leaky_relu", x, 0.2), x)
    numpy.testing.assert_array_equal(call("leaky_relu_backward", x, x, 0.2), x)
    numpy.testing.assert_array_equal(call("dropout", x, 0.5, 0), x)
    g_z, g_bias = call("bias_leaky_relu_backward", x, x, 0.2)
    numpy.testing.assert_array_equal(g_z, x)
    numpy.testing.assert_array_equal(g_bias, numpy.zeros_like(of_channels))
