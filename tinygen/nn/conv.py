"""Convolutions. Images are (N, H, W, C), and sequences (N, T, C)."""

from typing import Literal

from tinygen_kernels.geometry import pair, resolve_padding

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike, expect_images, image_size
from tinygen.functional.conv1d import EndsLike
from tinygen.nn.activation import Activation, slope_of
from tinygen.nn.describe import expect_sizes, if_no_bias, one_or_pair
from tinygen.nn.init import glorot
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Conv2D(Module):
    """Convolution, `functional.conv2d`: (N, H, W, in_channels) -> (N, H', W', out_channels).

    weight (kh, kw, in_channels / groups, out_channels) starts as Glorot's, bias (out_channels,) as zeros.
    `forward(x, weight)` uses another weight in place of its own, and `activation`, a ReLU or LeakyReLU,
    follows in the same pass over memory. With a `padding_mode` the padding is that of `functional.pad`,
    instead of zeros. Raises ValueError for sizes that are not integers of at least 1, where groups does
    not divide both numbers of channels, and for another mode.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PaddingLike = 0,
        dilation: PairLike = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate"] = "zeros",
    ) -> None:
        kernel = pair(kernel_size, "kernel_size")
        _expect_channels("Conv2D", in_channels, out_channels, min(kernel), groups)
        if padding_mode not in ("zeros", "reflect", "replicate"):
            raise ValueError(f'Conv2D: padding_mode must be "zeros", "reflect" or "replicate", got {padding_mode!r}')
        self.weight = Parameter(glorot((*kernel, in_channels // groups, out_channels)))
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.dilation = pair(stride, "stride"), padding, pair(dilation, "dilation")
        self.groups, self.padding_mode = groups, padding_mode

    def forward(self, x: Tensor, weight: Tensor | None = None, activation: Activation | None = None) -> Tensor:
        weight, padding = self.weight if weight is None else weight, self.padding
        if self.padding_mode != "zeros":
            expect_images("conv2d", x)
            sides = resolve_padding(padding, image_size(x), (weight.shape[0], weight.shape[1]), self.stride, self.dilation)
            x, padding = F.pad(x, [(0, 0), *sides, (0, 0)], self.padding_mode), 0
        return F.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups, slope_of(activation))

    def describe(self) -> str:
        kh, kw, channels, filters = self.weight.shape
        mode = f" {self.padding_mode}" if self.padding_mode != "zeros" else ""
        sliding = f"stride {one_or_pair(self.stride)}, padding {self.padding}{mode}"
        dilation = f", dilation {one_or_pair(self.dilation)}" if self.dilation != (1, 1) else ""
        groups = f", groups {self.groups}" if self.groups != 1 else ""
        return f"Conv2D({channels * self.groups} -> {filters}, {kh}x{kw}, {sliding}{dilation}{groups}{if_no_bias(self.bias)})"


class Conv1D(Module):
    """Convolution of sequences, `functional.conv1d`: (N, T, in_channels) -> (N, T', out_channels).

    weight (kernel_size, in_channels / groups, out_channels) starts as Glorot's, bias (out_channels,) as
    zeros. With padding (dilation (kernel_size - 1), 0) a step sees none that come later (van den Oord et
    al., 2016). Raises ValueError for sizes that are not integers of at least 1, and where groups does not
    divide both numbers of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: EndsLike = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        _expect_channels("Conv1D", in_channels, out_channels, kernel_size, groups)
        self.weight = Parameter(glorot((kernel_size, in_channels // groups, out_channels)))
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def describe(self) -> str:
        taps, channels, filters = self.weight.shape
        dilation = f", dilation {self.dilation}" if self.dilation != 1 else ""
        groups = f", groups {self.groups}" if self.groups != 1 else ""
        sliding = f"stride {self.stride}, padding {self.padding}{dilation}{groups}"
        return f"Conv1D({channels * self.groups} -> {filters}, {taps}, {sliding}{if_no_bias(self.bias)})"


class ConvTranspose2D(Module):
    """Transposed convolution, `functional.conv_transpose2d`: (N, H, W, in_channels) -> (N, H', W', out_channels).

    weight (kh, kw, out_channels, in_channels), that of the convolution that is transposed, starts as
    Glorot's, bias (out_channels,) as zeros. With padding "same", H' = H stride. `forward(x, weight)`
    uses another weight in place of its own, `activation`, a ReLU or LeakyReLU, follows in the same pass
    over memory, and `output_size` chooses among the sizes that the convolution maps to that of x, such as
    that of an image to concatenate with. Raises ValueError for sizes that are not integers of at least 1.
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
        dilation: PairLike = 1,
    ) -> None:
        kernel = pair(kernel_size, "kernel_size")
        expect_sizes("ConvTranspose2D", in_channels=in_channels, out_channels=out_channels, kernel_size=min(kernel))
        self.weight = Parameter(glorot((*kernel, out_channels, in_channels)))
        self.bias = Parameter(F.zeros((out_channels,))) if bias else None
        self.stride, self.padding, self.output_padding = pair(stride, "stride"), padding, pair(output_padding, "output_padding")
        self.dilation = pair(dilation, "dilation")

    def forward(
        self, x: Tensor, weight: Tensor | None = None, activation: Activation | None = None, output_size: PairLike | None = None
    ) -> Tensor:
        weight, extra = self.weight if weight is None else weight, self.output_padding if output_size is None else 0
        return F.conv_transpose2d(x, weight, self.bias, self.stride, self.padding, extra, output_size, self.dilation, slope_of(activation))

    def describe(self) -> str:
        kh, kw, filters, channels = self.weight.shape
        sliding = f"stride {one_or_pair(self.stride)}, padding {self.padding}"
        extra = f", output_padding {one_or_pair(self.output_padding)}" if self.output_padding != (0, 0) else ""
        dilation = f", dilation {one_or_pair(self.dilation)}" if self.dilation != (1, 1) else ""
        return f"ConvTranspose2D({channels} -> {filters}, {kh}x{kw}, {sliding}{extra}{dilation}{if_no_bias(self.bias)})"


def _expect_channels(layer: str, in_channels: int, out_channels: int, kernel_size: int, groups: int) -> None:
    """Raise ValueError, naming the layer, unless all are integers of at least 1 and groups divides both numbers of channels."""
    expect_sizes(layer, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, groups=groups)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"{layer}: {in_channels} and {out_channels} channels cannot both be divided into {groups} groups")
