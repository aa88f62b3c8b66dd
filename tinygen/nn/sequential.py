"""Layers one after the other."""

from collections.abc import Iterator
from typing import Any, overload

from tinygen.engine.tensor import Tensor
from tinygen.nn.module import Module


class Sequential(Module):
    """The layers one after the other.

    `model[i]` is a layer, and `model[i:j]` is a Sequential of the same layers. Raises TypeError if a
    layer is not a Module.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes Modules, but layer {i} is {_said(layer)}")
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]


def _said(layer: Any) -> str:
    """What is not a Module, and what to write instead."""
    if isinstance(layer, type):
        return f"the class {layer.__name__}; write {layer.__name__}()"
    if isinstance(layer, list | tuple):
        return f"a {type(layer).__name__}; write Sequential(*layers)"
    return f"a {type(layer).__name__}; a function becomes one in the forward of a Module"
