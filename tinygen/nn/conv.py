"""Convolutions. Images are (N, H, W, C)."""

from tinygen_kernels.geometry import pair

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike
from tinygen.nn.describe import brief, missing
from tinygen.nn.init import weight_of
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Conv2D(Module):
    """Convolution, `functional.conv2d`: (N, H, W, in_channels) -> (N, H', W', out_channels). weight (kh, kw, in, out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        bias: bool = True,
    ) -> None:
        self.weight = weight_of(*pair(kernel_size, "kernel_size"), in_channels, out_channels)
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.dilation = pair(stride, "stride"), padding, pair(dilation, "dilation")

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return F.conv2d(x, self.weight if weight is None else weight, self.bias, self.stride, self.padding, self.dilation)

    def describe(self) -> str:
        kh, kw, channels, filters = self.weight.shape
        sliding = f"stride {brief(self.stride)}, padding {self.padding}"
        dilation = f", dilation {brief(self.dilation)}" if self.dilation != (1, 1) else ""
        return f"Conv2D({channels} -> {filters}, {kh}x{kw}, {sliding}{dilation}{missing(self.bias)})"


class ConvTranspose2D(Module):
    """Transposed convolution, `functional.conv_transpose2d`: (N, H, W, in_channels) -> (N, H', W', out_channels).

    weight (kh, kw, out, in): that of the convolution it transposes. With padding "same", H' = H stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        output_padding: PairLike = 0,
        bias: bool = True,
    ) -> None:
        self.weight = weight_of(*pair(kernel_size, "kernel_size"), out_channels, in_channels)
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.output_padding = pair(stride, "stride"), padding, pair(output_padding, "output_padding")

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        weight = self.weight if weight is None else weight
        return F.conv_transpose2d(x, weight, self.bias, self.stride, self.padding, self.output_padding)

    def describe(self) -> str:
        kh, kw, filters, channels = self.weight.shape
        sliding = f"stride {brief(self.stride)}, padding {self.padding}"
        extra = f", output_padding {brief(self.output_padding)}" if self.output_padding != (0, 0) else ""
        return f"ConvTranspose2D({channels} -> {filters}, {kh}x{kw}, {sliding}{extra}{missing(self.bias)})"
