"""The dense layer."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.activation import Activation, slope_of
from tinygen.nn.describe import expect_sizes, if_no_bias
from tinygen.nn.init import glorot
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Dense(Module):
    """x @ weight + bias: (..., in_features) -> (..., out_features).

    weight (in_features, out_features) starts as Glorot's, bias (out_features,) as zeros.
    `forward(x, weight)` uses another weight in place of its own, and `activation`, a ReLU or LeakyReLU,
    follows in the same pass over memory. Raises ValueError for sizes that are not integers of at least
    1.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        expect_sizes("Dense", in_features=in_features, out_features=out_features)
        self.weight = Parameter(glorot((in_features, out_features)))
        self.bias = Parameter(F.zeros((out_features,))) if bias else None

    def forward(self, x: Tensor, weight: Tensor | None = None, activation: Activation | None = None) -> Tensor:
        return F.dense(x, self.weight if weight is None else weight, self.bias, slope_of(activation))

    def describe(self) -> str:
        return f"Dense({self.weight.shape[0]} -> {self.weight.shape[1]}{if_no_bias(self.bias)})"
