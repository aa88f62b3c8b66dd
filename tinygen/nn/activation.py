"""Activations as layers."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.describe import expect_sizes
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class ReLU(Module):
    """max(x, 0)."""

    negative_slope = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, negative_slope x elsewhere (Maas et al., 2013)."""

    def __init__(self, negative_slope: float = 0.2) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)

    def describe(self) -> str:
        return f"LeakyReLU({self.negative_slope})"


Activation = ReLU | LeakyReLU  # those that other layers compute in the same pass as their own result


def slope_of(activation: Activation | None) -> float:
    """Its negative slope: 1, which changes nothing, where there is none."""
    return 1.0 if activation is None else activation.negative_slope


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


class Softplus(Module):
    """log(1 + e^x)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)


class SiLU(Module):
    """x sigmoid(x), also called swish (Ramachandran, Zoph & Le, 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)


class GELU(Module):
    """x P(Z <= x) for a standard normal Z, by the tanh approximation, `functional.gelu` (Hendrycks & Gimpel, 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x)


class ELU(Module):
    """x where x > 0, alpha (e^x - 1) elsewhere (Clevert, Unterthiner & Hochreiter, 2016)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)

    def describe(self) -> str:
        return f"ELU({self.alpha})"


class PReLU(Module):
    """x where x > 0, slope x elsewhere: a leaky ReLU that learns its slope, one for all channels or one for each (He et al., 2015).

    Raises ValueError unless channels is an integer of at least 1.
    """

    def __init__(self, channels: int = 1, negative_slope: float = 0.25) -> None:
        expect_sizes("PReLU", channels=channels)
        self.slope = Parameter(F.full((channels,), negative_slope))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.slope)

    def describe(self) -> str:
        return f"PReLU({self.slope.size})"
