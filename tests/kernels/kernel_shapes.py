"""Random geometries of convolutions and pooling, small but awkward, and arrays for them."""

from typing import Any, NamedTuple

import numpy
from hypothesis import strategies as st
from tinygen_kernels import Padding, Pair
from tinygen_kernels.geometry import output_size

DTYPES = [numpy.float32, numpy.float64]
ADAM = numpy.array([0.999, 0.9, 0.1, 0.99, 0.01, 1e-2, 1e-3])  # constants of a step
CHANNELS = [1, 2, 3, 5, 10, 11, 12, 20, 33, 37]  # on both sides of the borders of the register tiles


class Convolution(NamedTuple):
    images: int
    size: Pair
    channels: int
    outputs: int
    kernel_size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair

    @property
    def output(self) -> Pair:
        return output_size(self.size, self.kernel_size, self.stride, self.padding, self.dilation)

    @property
    def window(self) -> tuple[Pair, Padding, Pair]:
        return self.stride, self.padding, self.dilation

    @property
    def terms(self) -> dict[str, int]:
        """The largest number of products in the sum for each element of y, x and w."""
        taps, pixels = self.kernel_size[0] * self.kernel_size[1], self.images * self.output[0] * self.output[1]
        return {"y": taps * self.channels, "x": taps * self.outputs, "w": pixels}

    def arrays(self, dtype: Any, seed: int) -> tuple[Any, Any, Any]:
        """x, w and g"""
        random = numpy.random.default_rng(seed)
        shapes = (
            (self.images, *self.size, self.channels),
            (*self.kernel_size, self.channels, self.outputs),
            (self.images, *self.output, self.outputs),
        )
        x, w, g = (in_any_layout(random.standard_normal(shape).astype(dtype), random) for shape in shapes)
        return x, w, g


def in_any_layout(array: Any, random: numpy.random.Generator) -> Any:
    """The same numbers unchanged, transposed in memory, as every other element, or read-only."""
    layout = random.integers(4)
    if layout == 1:
        return numpy.asfortranarray(array)
    if layout == 2:
        larger = numpy.full((*array.shape[:-1], 2 * array.shape[-1]), numpy.nan, array.dtype)
        larger[..., ::2] = array
        return larger[..., ::2]
    array.flags.writeable = layout != 3
    return array


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    kernel_size, stride = draw(pairs(1, 4)), draw(st.just((1, 1)) | pairs(1, 3))  # stride 1 has code of its own
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (3, 2)]))
    padding = draw(pairs(0, 3)), draw(pairs(0, 3))
    smallest = [max(1, (k - 1) * d + 1 - sum(p)) for k, d, p in zip(kernel_size, dilation, padding, strict=True)]
    size = smallest[0] + draw(st.integers(0, 8)), smallest[1] + draw(st.integers(0, 8))
    channels, outputs = draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(CHANNELS))
    return Convolution(draw(st.integers(1, 6)), size, channels, outputs, kernel_size, stride, padding, dilation)


@st.composite
def poolings(draw: st.DrawFn) -> Convolution:
    kernel_size, stride = draw(pairs(1, 4)), draw(pairs(1, 4))
    padding = draw(pairs(0, kernel_size[0] - 1)), draw(pairs(0, kernel_size[1] - 1))
    smallest = [max(1, k - sum(p)) for k, p in zip(kernel_size, padding, strict=True)]
    size = smallest[0] + draw(st.integers(0, 7)), smallest[1] + draw(st.integers(0, 7))
    channels = draw(st.sampled_from([1, 2, 3, 16, 45]))
    return Convolution(draw(st.integers(1, 4)), size, channels, channels, kernel_size, stride, padding, (1, 1))


def error(result: Any, exact: Any, terms: int = 0) -> float:
    """The largest difference, relative to the largest exact number or to sqrt(terms).

    The latter is the size of a sum of so many products of normal random numbers. The error of a sum
    depends on the size of its terms, even if the sum itself is close to 0.
    """
    assert result.shape == exact.shape
    return float(numpy.abs(result - exact).max() / max(numpy.abs(exact).max(), terms**0.5, 1e-30))
