"""Dropout as a layer."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module


class Dropout(Module):
    """In training, sets each element to 0 with probability p and divides the others by 1 - p (Srivastava et al., 2014).

    Raises ValueError unless 0 <= p < 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not isinstance(p, int | float) or not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be at least 0 and below 1, got {p!r}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def describe(self) -> str:
        return f"Dropout({self.p})"
