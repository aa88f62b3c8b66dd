"""The layers without parameters: activations, dropout, pooling and changes of shape. Images are (N, H, W, C)."""

from tinygen_kernels.geometry import pair

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import PaddingLike, PairLike
from tinygen.nn.module import Module


def brief(steps: tuple[int, int]) -> int | tuple[int, int]:
    """One number for (rows, columns) where they are equal, for descriptions."""
    return steps[0] if steps[0] == steps[1] else steps


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope x elsewhere."""

    def __init__(self, negative_slope: float = 0.2) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def describe(self) -> str:
        return f"LeakyReLU({self.negative_slope})"


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Dropout(Module):
    """In training, each element is set to 0 with probability p and the others are divided by 1 - p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def describe(self) -> str:
        return f"Dropout({self.p})"


class _Pool2D(Module):
    def __init__(self, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0) -> None:
        self.kernel_size = pair(kernel_size, "kernel_size")
        self.stride = self.kernel_size if stride is None else pair(stride, "stride")
        self.padding = padding

    def describe(self) -> str:
        kh, kw = self.kernel_size
        stride = f", stride {brief(self.stride)}" if self.stride != self.kernel_size else ""
        padding = f", padding {self.padding}" if self.padding != 0 else ""
        return f"{type(self).__name__}({kh}x{kw}{stride}{padding})"


class MaxPool2D(_Pool2D):
    """The maximum of each window; stride is the kernel size unless given."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2D(_Pool2D):
    """The mean of each window over its pixels inside the image; stride is the kernel size unless given."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2D(Module):
    """The mean of each channel: (N, H, W, C) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.global_avg_pool2d(x)


class Upsample2D(Module):
    """Each pixel repeated factor times along rows and columns."""

    def __init__(self, factor: PairLike = 2) -> None:
        self.factor = pair(factor, "factor")

    def forward(self, x: Tensor) -> Tensor:
        return F.upsample2d(x, self.factor)

    def describe(self) -> str:
        return f"Upsample2D({self.factor[0]}x{self.factor[1]})"


class Flatten(Module):
    """(N, ...) -> (N, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x)


class Reshape(Module):
    """(N, ...) -> (N, *shape)."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return F.reshape(x, (x.shape[0], *self.shape))

    def describe(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"
