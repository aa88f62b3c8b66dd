"""Changes of shape as layers."""

from tinygen import functional as F
from tinygen.engine.tensor import Shape, Tensor
from tinygen.functional.shape import shape_arguments
from tinygen.nn.module import Module


class Flatten(Module):
    """(N, ...) -> (N, features)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.flatten(x)


class Reshape(Module):
    """(N, ...) -> (N, *shape). `Reshape(4, 4, 32)` and `Reshape((4, 4, 32))` are the same."""

    def __init__(self, *shape: int | Shape) -> None:
        self.shape = shape_arguments(shape)

    def forward(self, x: Tensor) -> Tensor:
        return F.reshape(x, (*x.shape[:1], *self.shape))

    def describe(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"
