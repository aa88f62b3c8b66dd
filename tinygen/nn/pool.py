"""Pooling and its opposite. Images are (N, H, W, C)."""

from typing import Literal

from tinygen_kernels.geometry import pair

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike
from tinygen.nn.describe import expect_sizes, one_or_pair
from tinygen.nn.module import Module


class _Pool2D(Module):
    def __init__(self, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0) -> None:
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, "stride")
        self.padding = padding

    def describe(self) -> str:
        kh, kw = self.kernel_size
        stride = f", stride {one_or_pair(self.stride)}" if self.stride != self.kernel_size else ""
        padding = f", padding {self.padding}" if self.padding != 0 else ""
        return f"{type(self).__name__}({kh}x{kw}{stride}{padding})"


class MaxPool2D(_Pool2D):
    """The maximum of each window. The default stride is the kernel size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2D(_Pool2D):
    """The mean of each window, over the pixels that lie inside the image. The default stride is the kernel size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2D(Module):
    """The mean of each channel: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.global_avg_pool2d(x)


class Upsample2D(Module):
    """Images factor times as large, `functional.upsample2d`: each pixel repeated, or "bilinear". Raises ValueError for another mode."""

    def __init__(self, factor: PairLike = 2, mode: Literal["nearest", "bilinear"] = "nearest") -> None:
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f'Upsample2D: mode must be "nearest" or "bilinear", got {mode!r}')
        self.factor, self.mode = pair(factor, "factor"), mode

    def forward(self, x: Tensor) -> Tensor:
        return F.upsample2d(x, self.factor, self.mode)

    def describe(self) -> str:
        return f"Upsample2D({self.factor[0]}x{self.factor[1]}{', bilinear' if self.mode == 'bilinear' else ''})"


class PixelShuffle(Module):
    """Channels as pixels, `functional.pixel_shuffle`: (N, H, W, C f^2) -> (N, H f, W f, C) (Shi et al., 2016).

    Raises ValueError unless factor is an integer of at least 1.
    """

    def __init__(self, factor: int) -> None:
        expect_sizes("PixelShuffle", factor=factor)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.factor)

    def describe(self) -> str:
        return f"PixelShuffle({self.factor})"
