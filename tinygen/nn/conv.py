"""Convolutions. Images are (N, H, W, C)."""

from tinygen_kernels.geometry import pair

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike
from tinygen.nn.activation import Activation, slope_of
from tinygen.nn.describe import expect_sizes, if_no_bias, one_or_pair
from tinygen.nn.init import glorot
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Conv2D(Module):
    """Convolution, `functional.conv2d`: (N, H, W, in_channels) -> (N, H', W', out_channels).

    weight (kh, kw, in_channels, out_channels) starts as Glorot's, bias (out_channels,) as zeros.
    `forward(x, weight)` uses another weight in place of its own, and `activation`, a ReLU or LeakyReLU,
    follows in the same pass over memory. Raises ValueError for sizes that are not integers of at least 1.
    """

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
        kernel = pair(kernel_size, "kernel_size")
        expect_sizes("Conv2D", in_channels=in_channels, out_channels=out_channels, kernel_size=min(kernel))
        self.weight = Parameter(glorot((*kernel, in_channels, out_channels)))
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.dilation = pair(stride, "stride"), padding, pair(dilation, "dilation")

    def forward(self, x: Tensor, weight: Tensor | None = None, activation: Activation | None = None) -> Tensor:
        weight = self.weight if weight is None else weight
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, slope_of(activation))

    def describe(self) -> str:
        kh, kw, channels, filters = self.weight.shape
        sliding = f"stride {one_or_pair(self.stride)}, padding {self.padding}"
        dilation = f", dilation {one_or_pair(self.dilation)}" if self.dilation != (1, 1) else ""
        return f"Conv2D({channels} -> {filters}, {kh}x{kw}, {sliding}{dilation}{if_no_bias(self.bias)})"


class ConvTranspose2D(Module):
    """Transposed convolution, `functional.conv_transpose2d`: (N, H, W, in_channels) -> (N, H', W', out_channels).

    weight (kh, kw, out_channels, in_channels), that of the convolution that is transposed, starts as
    Glorot's, bias (out_channels,) as zeros. With padding "same", H' = H stride. `forward(x, weight)`
    uses another weight in place of its own, and `activation`, a ReLU or LeakyReLU, follows in the same
    pass over memory. Raises ValueError for sizes that are not integers of at least 1.
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
        kernel = pair(kernel_size, "kernel_size")
        expect_sizes("ConvTranspose2D", in_channels=in_channels, out_channels=out_channels, kernel_size=min(kernel))
        self.weight = Parameter(glorot((*kernel, out_channels, in_channels)))
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.output_padding = pair(stride, "stride"), padding, pair(output_padding, "output_padding")

    def forward(self, x: Tensor, weight: Tensor | None = None, activation: Activation | None = None) -> Tensor:
        weight = self.weight if weight is None else weight
        geometry = self.stride, self.padding, self.output_padding
        return F.conv_transpose2d(x, weight, self.bias, *geometry, negative_slope=slope_of(activation))

    def describe(self) -> str:
        kh, kw, filters, channels = self.weight.shape
        sliding = f"stride {one_or_pair(self.stride)}, padding {self.padding}"
        extra = f", output_padding {one_or_pair(self.output_padding)}" if self.output_padding != (0, 0) else ""
        return f"ConvTranspose2D({channels} -> {filters}, {kh}x{kw}, {sliding}{extra}{if_no_bias(self.bias)})"
