"""The convolutions that are timed, and how much work they are."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy
from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.geometry import output_size, resolve_padding, transposed_size

from tinygen.command_line import UsageError

Direction = Literal["forward", "data", "weight"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "data", "weight")


@dataclass(frozen=True)
class Convolution:
    """images (N, *size, channels) -> (N, *output, outputs), as the kernels take it."""

    size: Pair
    output: Pair
    channels: int
    outputs: int
    kernel_size: Pair
    stride: Pair
    padding: Padding


@dataclass(frozen=True)
class Layer:
    """A convolutional layer: images (N, H, W, channels) to `outputs` channels."""

    images: int
    size: Pair
    channels: int
    outputs: int
    kernel: int
    stride: int
    padding: int | str
    transposed: bool = False

    @classmethod
    def parse(cls, text: str) -> "Layer":
        """The layer N,H,W,C,K,kernel,stride,padding; padding is a number, "same" or "valid".

        Raises UsageError for anything else, and where the kernel does not fit into the image.
        """
        parts = text.split(",")
        if len(parts) != 8 or not all(part.isdecimal() and int(part) > 0 for part in parts[:7]):
            raise UsageError(f"a layer is eight values N,H,W,C,K,kernel,stride,padding, all positive but the padding, not {text!r}")
        images, height, width, channels, outputs, kernel, stride = map(int, parts[:7])
        padding = int(parts[7]) if parts[7].isdecimal() else parts[7]
        layer = cls(images, (height, width), channels, outputs, kernel, stride, padding)
        try:
            layer.convolution()
        except ValueError as error:
            raise UsageError(f"the layer {text}: {error}") from error
        return layer

    def __str__(self) -> str:
        kind = " transposed" if self.transposed else ""
        shape = f"{self.images},{self.size[0]},{self.size[1]},{self.channels}->{self.outputs}"
        return f"{shape} k{self.kernel} s{self.stride} p{self.padding}{kind}"

    def convolution(self) -> Convolution:
        """The convolution that this layer is, or that it transposes."""
        kernel_size, stride = (self.kernel, self.kernel), (self.stride, self.stride)
        if self.transposed:
            size, padding = transposed_size(self.size, kernel_size, stride, self.padding)
            return Convolution(size, self.size, self.outputs, self.channels, kernel_size, stride, padding)
        padding = resolve_padding(self.padding, self.size, kernel_size, stride, (1, 1))
        output = output_size(self.size, kernel_size, stride, padding)
        return Convolution(self.size, output, self.channels, self.outputs, kernel_size, stride, padding)

    def flops(self) -> int:
        """Two for each multiply-add, in each direction. As is usual, those with the zeros of the border count as well."""
        output = self.convolution().output
        return 2 * self.images * output[0] * output[1] * self.kernel**2 * self.channels * self.outputs

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the images x, weights w and results y of the convolution."""
        c = self.convolution()
        return [(self.images, *c.size, c.channels), (*c.kernel_size, c.channels, c.outputs), (self.images, *c.output, c.outputs)]

    def arrays(self, dtype: str) -> list[Array]:
        """Random x, w and y."""
        random = numpy.random.default_rng(0)
        return [random.standard_normal(shape).astype(dtype) for shape in self.shapes()]

    def bytes(self, dtype: str) -> int:
        """What each direction must read and write at least: two of x, w and y are read, the third is written."""
        return sum(map(math.prod, self.shapes())) * numpy.dtype(dtype).itemsize


LAYERS = [
    Layer(64, (28, 28), 1, 32, 3, 1, 1),
    Layer(64, (32, 32), 3, 32, 3, 1, 0),
    Layer(64, (15, 15), 32, 64, 3, 1, 0),
    Layer(64, (6, 6), 64, 128, 3, 1, 0),
    Layer(64, (32, 32), 3, 64, 4, 2, 1),
    Layer(64, (16, 16), 64, 128, 4, 2, 1),
    Layer(64, (8, 8), 128, 128, 4, 2, 1),
    Layer(64, (28, 28), 1, 64, 5, 2, "same"),
    Layer(64, (4, 4), 256, 128, 4, 2, 1, transposed=True),
    Layer(64, (8, 8), 128, 64, 4, 2, 1, transposed=True),
    Layer(64, (16, 16), 64, 3, 4, 2, 1, transposed=True),
    Layer(64, (32, 32), 3, 64, 3, 2, 1),
    Layer(64, (16, 16), 64, 128, 3, 2, 1),
    Layer(16, (64, 64), 64, 64, 3, 1, 1),
    Layer(8, (128, 128), 32, 64, 4, 2, 1),
]
