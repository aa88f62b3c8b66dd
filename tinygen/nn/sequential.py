"""Layers one after the other."""

from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module


class Sequential(Module):
    """The layers one after the other."""

    def __init__(self, *layers: Module) -> None:
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
