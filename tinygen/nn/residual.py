"""Layers made of others: a sum with the input, the input itself, and a function."""

from collections.abc import Callable
from typing import Any

from tinygen.engine.arguments import shown
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module


class Residual(Module):
    """shortcut(x) + layer(x), and x + layer(x) without a shortcut (He et al., 2016).

        nn.Residual(nn.Sequential(nn.GroupNorm(8, 64), nn.SiLU(), nn.Conv2D(64, 64, 3, padding="same")))

    A layer that changes the shape needs a shortcut to that shape, such as a 1x1 convolution. Raises
    TypeError where one of the two is not a Module, and ValueError where the shapes of the two differ.
    """

    def __init__(self, layer: Module, shortcut: Module | None = None) -> None:
        for name, part in (("layer", layer), ("shortcut", shortcut)):
            if not isinstance(part, Module) and (name == "layer" or part is not None):
                raise TypeError(f"Residual: {name} must be a Module, got {shown(part)}")
        self.layer, self.shortcut = layer, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        short = x if self.shortcut is None else self.shortcut(x)
        if short.shape != y.shape:
            cure = "; give a shortcut, such as a 1x1 convolution" if self.shortcut is None else ""
            raise ValueError(f"Residual: the layer turns {x.shape} into {y.shape}, which {short.shape} cannot be added to{cure}")
        return short + y


class Identity(Module):
    """x itself: in the place of a layer that a model can do without."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Lambda(Module):
    """function(x): `nn.Lambda(tg.exp)`, in a Sequential. Raises TypeError where it cannot be called.

    It declares no parameters. A function that has some is a Module of its own.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: function must be a function, got {shown(function)}")
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)

    def describe(self) -> str:
        return f"Lambda({getattr(self.function, '__name__', type(self.function).__name__)})"
