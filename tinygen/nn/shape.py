"""Changes of shape as layers."""

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module


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
