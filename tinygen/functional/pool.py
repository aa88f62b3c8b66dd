"""Pooling and upsampling of images (N, H, W, C). Windows leave the padding out."""

from dataclasses import dataclass, field

from tinygen_kernels import Padding, Pair, for_array
from tinygen_kernels.geometry import pooled_size, resolve_padding

from tinygen.backend import Array
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike, expect_images, image_size, positive_pair
from tinygen.functional.padding import pad
from tinygen.functional.shape import broadcast_to, index_along, reshape, stack


@dataclass(slots=True, eq=False)
class MaxPool2DFunction(Function):
    kernel_size: Pair
    stride: Pair
    padding: Padding
    indices: Array = field(init=False, repr=False)

    def forward(self, x: Array) -> Array:
        y, self.indices = for_array(x).max_pool2d(x, self.kernel_size, self.stride, self.padding)
        return y

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return MaxPool2DScatterFunction(self.indices, image_size(x), self.kernel_size, self.stride, self.padding)(g)


@dataclass(slots=True, eq=False)
class MaxPool2DScatterFunction(Function):
    indices: Array
    size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Padding

    def forward(self, g: Array) -> Array:
        return for_array(g, self.indices).max_pool2d_scatter(g, self.indices, self.size, self.kernel_size, self.stride, self.padding)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return MaxPool2DGatherFunction(self.indices, self.kernel_size, self.stride, self.padding)(g)


@dataclass(slots=True, eq=False)
class MaxPool2DGatherFunction(Function):
    indices: Array
    kernel_size: Pair
    stride: Pair
    padding: Padding

    def forward(self, x: Array) -> Array:
        return for_array(x, self.indices).max_pool2d_gather(x, self.indices)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return MaxPool2DScatterFunction(self.indices, image_size(x), self.kernel_size, self.stride, self.padding)(g)


@dataclass(slots=True, eq=False)
class AvgPool2DFunction(Function):
    kernel_size: Pair
    stride: Pair
    padding: Padding

    def forward(self, x: Array) -> Array:
        return for_array(x).avg_pool2d(x, self.kernel_size, self.stride, self.padding)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return AvgPool2DDataFunction(image_size(x), self.kernel_size, self.stride, self.padding)(g)


@dataclass(slots=True, eq=False)
class AvgPool2DDataFunction(Function):
    size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Padding

    def forward(self, g: Array) -> Array:
        return for_array(g).avg_pool2d_data(g, self.size, self.kernel_size, self.stride, self.padding)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return AvgPool2DFunction(self.kernel_size, self.stride, self.padding)(g)


def _windows(name: str, x: Tensor, kernel_size: PairLike, stride: PairLike | None, padding: PaddingLike) -> tuple[Pair, Pair, Padding]:
    """Kernel size, stride and padding of a pooling, checked."""
    expect_images(name, x)
    size = positive_pair(kernel_size, "kernel_size")
    strides = size if stride is None else positive_pair(stride, "stride")
    sides = resolve_padding(padding, image_size(x), size, strides, (1, 1))
    pooled_size(image_size(x), size, strides, sides)
    return size, strides, sides


def max_pool2d(x: Tensor, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0) -> Tensor:
    """The maximum of each window. The stride is the kernel size unless given.

    Of equal values the first gets the gradient.
    """
    return MaxPool2DFunction(*_windows("max_pool2d", x, kernel_size, stride, padding))(x)


def avg_pool2d(x: Tensor, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0) -> Tensor:
    """The mean of each window, without the padding. The stride is the kernel size unless given."""
    return AvgPool2DFunction(*_windows("avg_pool2d", x, kernel_size, stride, padding))(x)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """The mean of each channel over the image: (N, H, W, C) -> (N, C)."""
    expect_images("global_avg_pool2d", x)
    return x.mean(axis=(1, 2))


def upsample2d(x: Tensor, factor: PairLike, mode: str = "nearest") -> Tensor:
    """Images f times as large: (N, H, W, C) -> (N, H f, W f, C), with one factor f or (rows, columns).

    "nearest" repeats each pixel. "bilinear" interpolates between the centres of pixels along rows and
    columns, and repeats the outermost pixels beyond their centres. Raises ValueError for another mode.
    """
    expect_images("upsample2d", x)
    (n, h, w, c), (fh, fw) = x.shape, positive_pair(factor, "factor")
    if mode == "bilinear":
        return _interpolated(_interpolated(x, 1, fh), 2, fw)
    if mode != "nearest":
        raise ValueError(f'upsample2d: mode must be "nearest" or "bilinear", got {mode!r}')
    return reshape(broadcast_to(reshape(x, (n, h, 1, w, 1, c)), (n, h, fh, w, fw, c)), (n, h * fh, w * fw, c))


def _interpolated(x: Tensor, axis: int, factor: int) -> Tensor:
    """Linear interpolation along an axis. The centre of new pixel i factor + j lies shift_j away from that of pixel i."""
    size, widths = x.shape[axis], [(1, 1) if i == axis else (0, 0) for i in range(4)]
    wide = pad(x, widths, "replicate") if factor > 1 else x
    before, behind = (wide[index_along(4, axis, slice(start, start + size))] for start in (0, 2))
    phases = []
    for j in range(factor):
        shift = (j + 0.5) / factor - 0.5
        phases.append(x if shift == 0 else x * (1.0 - abs(shift)) + (before if shift < 0 else behind) * abs(shift))
    shape = *x.shape[:axis], size * factor, *x.shape[axis + 1 :]
    return reshape(stack(phases, axis + 1), shape)


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Channels as pixels: (N, H, W, C f^2) -> (N, H f, W f, C) (Shi et al., 2016, the sub-pixel convolution).

    y[n, i f + a, j f + b, c] = x[n, i, j, c f^2 + a f + b], the order of PyTorch's channels. Raises
    ValueError where the factor is below 1 or its square does not divide the channels.
    """
    expect_images("pixel_shuffle", x)
    n, h, w, channels = x.shape
    if factor < 1 or channels % factor**2:
        raise ValueError(
            f"pixel_shuffle: {channels} channels cannot be divided into blocks of {factor**2}, the factor squared; x is {x.shape}"
        )
    c = channels // factor**2
    blocks = reshape(x, (n, h, w, c, factor, factor)).transpose(0, 1, 4, 2, 5, 3)
    return reshape(blocks, (n, h * factor, w * factor, c))
