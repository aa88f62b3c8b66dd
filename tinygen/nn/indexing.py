"""The embedding of labels."""

from collections.abc import Sequence

from tinygen import functional as F
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.nn.describe import expect_sizes
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


class Embedding(Module):
    """A learned row for each label, `functional.embedding`: integers (...) -> (..., features).

    Labels are from 0 to num_embeddings - 1. weight (num_embeddings, features) starts as standard
    normal numbers. `forward(labels, weight)` uses another weight in place of its own. Raises
    ValueError for sizes that are not integers of at least 1.
    """

    def __init__(self, num_embeddings: int, features: int) -> None:
        expect_sizes("Embedding", num_embeddings=num_embeddings, features=features)
        self.weight = Parameter(F.randn((num_embeddings, features)))

    def forward(self, labels: Tensor | Array | Sequence[int], weight: Tensor | None = None) -> Tensor:
        return F.embedding(self.weight if weight is None else weight, labels)

    def describe(self) -> str:
        return f"Embedding({self.weight.shape[0]} -> {self.weight.shape[1]})"
