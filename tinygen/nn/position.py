"""Codes of a place in a sequence or of a time as layers."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.describe import expect_sizes
from tinygen.nn.init import normal
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter
from tinygen.nn.recurrent import expect_sequences


class SinusoidalEncoding(Module):
    """The sines and cosines of times, `functional.sinusoidal_encoding`: (...) -> (..., features).

    The time of a diffusion or flow becomes an input of its network by it (Ho et al., 2020):

        nn.Sequential(nn.SinusoidalEncoding(64), nn.Dense(64, 256), nn.SiLU(), nn.Dense(256, 256))

    Raises ValueError unless features is even and at least 2.
    """

    def __init__(self, features: int, max_period: float = 10_000.0) -> None:
        expect_sizes("SinusoidalEncoding", features=features)
        if features % 2:
            raise ValueError(f"SinusoidalEncoding: features must be even, a sine and a cosine for each frequency, got {features}")
        self.features, self.max_period = features, max_period

    def forward(self, t: Tensor) -> Tensor:
        return F.sinusoidal_encoding(t, self.features, self.max_period)

    def describe(self) -> str:
        return f"SinusoidalEncoding({self.features})"


class SinusoidalPosition(Module):
    """x plus the sinusoidal encoding of each step's number, (N, T, features) -> (N, T, features) (Vaswani et al., 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3:
            raise ValueError(f"SinusoidalPosition: input must be (N, T, features), got {x.shape}")
        return x + F.sinusoidal_encoding(F.arange(x.shape[1], dtype=x.dtype, device=x.device), x.shape[2])


class LearnedPosition(Module):
    """x plus a learned row for each step, (N, T, features) -> (N, T, features), with T up to `length` (Gehring et al., 2017).

    weight (length, features) starts as normal numbers of deviation 0.02. Raises ValueError for sizes
    that are not integers of at least 1.
    """

    def __init__(self, length: int, features: int) -> None:
        expect_sizes("LearnedPosition", length=length, features=features)
        self.weight = Parameter(normal((length, features)))

    def forward(self, x: Tensor) -> Tensor:
        length, features = self.weight.shape
        expect_sequences(x, features)
        if x.shape[1] > length:
            raise ValueError(f"LearnedPosition: the input has {x.shape[1]} steps, but only {length} have a code")
        return x + self.weight[: x.shape[1]]

    def describe(self) -> str:
        return f"LearnedPosition({self.weight.shape[0]}, {self.weight.shape[1]})"
