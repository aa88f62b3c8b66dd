"""The embedding of labels."""

from tinygen import functional as F
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Embedding(Module):
    """A learned row for each label, `functional.embedding`: labels (...) from 0 to num_embeddings - 1 -> (..., features).

    weight (num_embeddings, features) starts as standard normal numbers.
    """

    def __init__(self, num_embeddings: int, features: int) -> None:
        self.weight = Parameter(F.randn((num_embeddings, features)))

    def forward(self, labels: Tensor | Array, weight: Tensor | None = None) -> Tensor:
        return F.embedding(self.weight if weight is None else weight, labels)

    def describe(self) -> str:
        return f"Embedding({self.weight.shape[0]} -> {self.weight.shape[1]})"
