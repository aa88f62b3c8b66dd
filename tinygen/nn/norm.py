"""Normalisation layers."""

from tinygen import functional as F
from tinygen.engine.tensor import Shape, Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Buffer, Parameter


class BatchNorm(Module):
    """Batch normalisation over all axes but the last, `functional.batch_norm`; outside training by the running statistics.

    `negative_slope` is that of the (leaky) ReLU that follows, in the same pass; 1 is none.
    """

    def __init__(self, channels: int, momentum: float = 0.9, eps: float = 1e-5, negative_slope: float = 1.0) -> None:
        self.gamma = Parameter(F.ones((channels,)))
        self.beta = Parameter(F.zeros((channels,)))
        self.running_mean = Buffer(F.zeros((channels,)))
        self.running_var = Buffer(F.ones((channels,)))
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
        self.gamma = Parameter(F.ones(normalized))
        self.beta = Parameter(F.zeros(normalized))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma, self.beta, self.eps)

    def describe(self) -> str:
        return f"LayerNorm({', '.join(map(str, self.gamma.shape))})"
