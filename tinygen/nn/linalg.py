"""The dense layer."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.describe import missing
from tinygen.nn.init import weight_of
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Dense(Module):
    """x @ weight + bias: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = weight_of(in_features, out_features)
        self.bias = Parameter(F.zeros((out_features,))) if bias else None

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return F.dense(x, self.weight if weight is None else weight, self.bias)

    def describe(self) -> str:
        return f"Dense({self.weight.shape[0]} -> {self.weight.shape[1]}{missing(self.bias)})"
