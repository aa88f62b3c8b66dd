"""Layers one after the other."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, overload

from tinygen.engine.tensor import Tensor
from tinygen.nn.activation import LeakyReLU, ReLU
from tinygen.nn.conv import Conv2D, ConvTranspose2D
from tinygen.nn.linalg import Dense
from tinygen.nn.module import Module
from tinygen.nn.norm import BatchNorm


class Sequential(Module):
    """The layers one after the other.

    A ReLU or LeakyReLU behind a Dense, Conv2D, ConvTranspose2D or BatchNorm is computed in the same
    pass over memory, to the same bits. So are their gradients, but the sum that is the gradient of a
    bias may be rounded differently. Listeners hear of the two as one layer, the first, of which the
    second is an input. `model[i]` is a layer, and `model[i:j]` is a Sequential of the same layers.
    Raises TypeError if a layer is not a Module.
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes Modules, but layer {i} is {_said(layer)}")
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        in_one_pass = False
        for layer, following in zip_longest(self.layers, self.layers[1:]):
            if in_one_pass:
                in_one_pass = False
                continue
            in_one_pass = _is(layer, Dense, Conv2D, ConvTranspose2D, BatchNorm) and _is(following, ReLU, LeakyReLU)
            x = layer(x, activation=following) if in_one_pass else layer(x)
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


def _is(layer: Any, *kinds: type[Module]) -> bool:
    """Whether the layer has the forward of one of these classes."""
    forward = getattr(getattr(layer, "forward", None), "__func__", None)
    return any(forward is kind.forward for kind in kinds)


def _said(layer: Any) -> str:
    """What is not a Module, and what to write instead."""
    if isinstance(layer, type):
        return f"the class {layer.__name__}; write {layer.__name__}()"
    if isinstance(layer, list | tuple):
        return f"a {type(layer).__name__}; write Sequential(*layers)"
    return f"a {type(layer).__name__}; a function becomes one in the forward of a Module"
