"""What modules are: they have tensors by name, and load them strictly."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch_by_hand.tensor import Tensor


class Module:
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise NotImplementedError

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from vars(self).items()

    def tensors(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.members():
            if isinstance(value, Tensor):
                yield name, value
            elif isinstance(value, Module):
                yield from ((f"{name}.{inner}", t) for inner, t in value.tensors())

    def load_state_dict(self, state: Any) -> None:
        own = dict(self.tensors())
        assert own.keys() == state.keys()
        for name, t in own.items():
            assert t.shape == state[name].shape, name
            t[...] = state[name]

    def eval(self) -> None:
        pass


class Sequential(Module):
    def __init__(self, *layers: Any) -> None:
        self.layers = layers[0] if isinstance(layers[0], OrderedDict) else {str(i): layer for i, layer in enumerate(layers)}

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self.layers.items()

    def forward(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer(x)
        return x


class ModuleList(Sequential):
    def __init__(self, layers: Any) -> None:
        super().__init__(*layers)


class Function(Module):
    """A module without tensors, as a function."""

    def __init__(self, function: Any) -> None:
        self.forward = function
