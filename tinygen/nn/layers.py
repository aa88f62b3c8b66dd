"""The layers with parameters: dense and convolutional ones, embedding, and normalisation. Images are (N, H, W, C)."""

from typing import Any

from tinygen_kernels.geometry import pair

from tinygen import functional as F
from tinygen.backend import Array
from tinygen.engine.tensor import Axis, Shape, Tensor
from tinygen.functional.conv import PaddingLike, PairLike
from tinygen.nn import init
from tinygen.nn.module import Module
from tinygen.nn.plain import brief


def weight_of(*shape: int) -> Tensor:
    """A weight, Glorot-initialised; `init.initialize` sets those of a whole model anew."""
    if any(n < 1 for n in shape):
        raise ValueError(f"a weight of shape {shape}: every size must be at least 1")
    return Tensor(init.glorot(shape), requires_grad=True)


def _missing(bias: Tensor | None) -> str:
    return "" if bias is not None else ", no bias"


def expect_sequences(x: Tensor, features: int) -> None:
    """Refuse what is no batch of sequences of one step or more."""
    if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != features:
        raise ValueError(f"input must be (N, T, {features}) with T at least 1, got {x.shape}")


class Dense(Module):
    """x @ weight + bias: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = weight_of(in_features, out_features)
        self.bias = F.zeros((out_features,), requires_grad=True) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.dense(x, self.weight, self.bias)

    def describe(self) -> str:
        return f"Dense({self.weight.shape[0]} -> {self.weight.shape[1]}{_missing(self.bias)})"


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
        self.bias = F.zeros((out_channels,), requires_grad=True) if bias else None
        self.stride, self.padding, self.dilation = pair(stride, "stride"), padding, pair(dilation, "dilation")

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)

    def describe(self) -> str:
        kh, kw, channels, filters = self.weight.shape
        sliding = f"stride {brief(self.stride)}, padding {self.padding}"
        dilation = f", dilation {brief(self.dilation)}" if self.dilation != (1, 1) else ""
        return f"Conv2D({channels} -> {filters}, {kh}x{kw}, {sliding}{dilation}{_missing(self.bias)})"


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
        self.bias = F.zeros((out_channels,), requires_grad=True) if bias else None
        self.stride, self.padding, self.output_padding = pair(stride, "stride"), padding, pair(output_padding, "output_padding")

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)

    def describe(self) -> str:
        kh, kw, filters, channels = self.weight.shape
        sliding = f"stride {brief(self.stride)}, padding {self.padding}"
        extra = f", output_padding {brief(self.output_padding)}" if self.output_padding != (0, 0) else ""
        return f"ConvTranspose2D({channels} -> {filters}, {kh}x{kw}, {sliding}{extra}{_missing(self.bias)})"


class Embedding(Module):
    """A learned row for each label, `functional.embedding`: labels (...) from 0 to num_embeddings - 1 -> (..., features).

    weight (num_embeddings, features) starts as standard normal numbers.
    """

    def __init__(self, num_embeddings: int, features: int) -> None:
        self.weight = F.randn((num_embeddings, features), requires_grad=True)

    def forward(self, labels: Tensor | Array) -> Tensor:
        return F.embedding(self.weight, labels)

    def describe(self) -> str:
        return f"Embedding({self.weight.shape[0]} -> {self.weight.shape[1]})"


class SpectralNorm(Module):
    """A layer with its weight W divided by W's largest singular value, which bounds the layer's slope (Miyato et al., 2018).

    As a matrix, W is (everything but its last axis, its last axis): a transposed convolution counts as the one it transposes, since the
    two have the same singular values. One power iteration from the buffer u estimates the largest:

        v = W u / |W u|,    sigma = |W^T v|,    and in training u becomes W^T v / sigma,

    so that sigma grows exact from step to step. Gradients pass through both products: they are those of the estimate, to any order.
    """

    def __init__(self, layer: Module) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor):
            raise ValueError(f"SpectralNorm: takes a layer with a weight, such as Dense or Conv2D, not {layer.describe()}")
        self.layer: Any = layer
        self.u = F.randn(weight.shape[-1:])

    def sigma(self) -> Tensor:
        """The estimate of the largest singular value."""
        matrix = F.reshape(self.layer.weight, (-1, self.u.size))
        v = matrix @ self.u.detach()
        product = matrix.T @ (v / length(v))
        sigma = length(product)
        if self.training:
            self.u.data = product.data / sigma.data  # a new array: the graph needs the old one
        return sigma

    def forward(self, *inputs: Any) -> Any:
        weight = self.layer.weight
        self.layer.weight = weight / self.sigma()
        try:
            return self.layer(*inputs)
        finally:
            self.layer.weight = weight


def length(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(sum of x^2 over axis), and a little more, which keeps the gradient at 0 finite."""
    return F.sqrt((x * x).sum(axis, keepdims) + 1e-12)


class BatchNorm(Module):
    """Batch normalisation over all axes but the last, `functional.batch_norm`; outside training by the running statistics.

    `negative_slope` is that of the (leaky) ReLU that follows, in the same pass; 1 is none.
    """

    def __init__(self, channels: int, momentum: float = 0.9, eps: float = 1e-5, negative_slope: float = 1.0) -> None:
        self.gamma = F.ones((channels,), requires_grad=True)
        self.beta = F.zeros((channels,), requires_grad=True)
        self.running_mean = F.zeros((channels,))
        self.running_var = F.ones((channels,))
        self.momentum, self.eps, self.negative_slope = momentum, eps, negative_slope

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var, self.training, self.momentum
        return F.batch_norm(x, self.gamma, self.beta, *statistics, self.eps, self.negative_slope)

    def describe(self) -> str:
        activation = f", negative_slope {self.negative_slope}" if self.negative_slope != 1 else ""
        return f"BatchNorm({self.gamma.shape[0]}{activation})"


class LayerNorm(Module):
    """Layer normalisation over the last axes of each example, those of `shape`, `functional.layer_norm`."""

    def __init__(self, shape: int | Shape, eps: float = 1e-5) -> None:
        normalized = (shape,) if isinstance(shape, int) else tuple(shape)
        self.gamma = F.ones(normalized, requires_grad=True)
        self.beta = F.zeros(normalized, requires_grad=True)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma, self.beta, self.eps)

    def describe(self) -> str:
        return f"LayerNorm({', '.join(map(str, self.gamma.shape))})"
