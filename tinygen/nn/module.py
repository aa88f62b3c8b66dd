"""Module: a function with parameters, built of other modules."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy

from tinygen import backend
from tinygen.engine.mode import no_grad
from tinygen.engine.tensor import Tensor, array_of
from tinygen.saving.state import check_state

_observers: list[Callable[["Module", Tensor], None]] = []


@contextmanager
def observed(observer: Callable[["Module", Tensor], None]) -> Iterator[None]:
    """Within, observer(module, output) is called after every module's forward, the innermost first."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


class LayerError(ValueError):
    """An input that a layer cannot take; the message begins with the layer."""


class Module:
    """The base of layers and models. Subclasses set attributes in `__init__` and define `forward`.

    Attributes are found by what they are, in lists, tuples and dicts too: a Tensor that requires gradients is a parameter, another leaf
    Tensor is a buffer (state that is saved but not trained: keep no activations in attributes), and a Module is a part. Names
    join attribute names by dots, in the order of definition.
    """

    training: bool = True

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Any:
        try:
            y = self.forward(*inputs)
        except LayerError:
            raise
        except (TypeError, ValueError) as error:
            raise LayerError(f"{self.describe()}: {error}") from error
        for observer in _observers:
            observer(self, y)
        return y

    def describe(self) -> str:
        """The module in one line, its parts left out."""
        return f"{type(self).__name__}()"

    def __repr__(self) -> str:
        parts = [f"{name}: {part!r}".replace("\n", "\n  ") for name, part in self.children()]
        return "\n  ".join([f"{type(self).__name__}(", *parts]) + "\n)" if parts else self.describe()

    def _members(self) -> Iterator[tuple[str, Any]]:
        """The attributes, containers among them taken apart."""
        for name, value in vars(self).items():
            yield from _unpacked(name, value)

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules that this one is directly made of, with their names."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all that it is made of."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and buffers with their names, in definition order. A shared one comes up under each of its names."""
        for name, value in self._members():
            if isinstance(value, Tensor) and value.node is None:
                yield name, value
            elif isinstance(value, Module):
                yield from ((f"{name}.{inner}", t) for inner, t in value.named_tensors())

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """What is trained: the leaves that require gradients."""
        return ((name, t) for name, t in self.named_tensors() if t.requires_grad)

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """What is saved but not trained."""
        return ((name, t) for name, t in self.named_tensors() if not t.requires_grad)

    def parameters(self) -> list[Tensor]:
        """What is trained, each tensor once, in definition order."""
        return list({id(t): t for _, t in self.named_parameters()}.values())

    def zero_grad(self) -> None:
        """Forget all gradients, those of frozen parameters too."""
        for _, t in self.named_tensors():
            t.grad = None

    def train(self, mode: bool = True) -> Self:
        """Put this module and its parts in training mode (dropout drops, batch norm uses the batch), or out of it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Leave training mode."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move all parameters, their gradients, and buffers to the device, in place: all of them, or none where that fails."""
        tensors = {id(t): t for _, t in self.named_tensors()}.values()
        moved = [(backend.to_device(t.data, device), None if t.grad is None else t.grad.to(device)) for t in tensors]
        for t, (data, gradient) in zip(tensors, moved, strict=True):
            t.data, t.grad = data, gradient
        return self

    def _by_name(self) -> dict[str, Tensor]:
        """Raises ValueError where two tensors have one name, which keys of a dict can lead to."""
        by_name: dict[str, Tensor] = {}
        for name, t in self.named_tensors():
            if name in by_name:
                raise ValueError(f"{type(self).__name__}: two tensors have the name {name}")
            by_name[name] = t
        return by_name

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """A copy on the host of every parameter and buffer, by name."""
        return {name: numpy.array(t.numpy()) for name, t in self._by_name().items()}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Set every parameter and buffer from what `state_dict` gave.

        Raises ValueError, with nothing changed, that lists the names that are missing, unexpected, or of another shape or dtype.
        """
        own = self._by_name()
        check_state({name: t.data for name, t in own.items()}, state, type(self).__name__)
        for name, t in own.items():
            t.data[...] = backend.to_device(array_of(state[name]), t.device)


def _unpacked(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A value, or what a list, tuple or dict of values holds, each with its name."""
    if isinstance(value, list | tuple | dict):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unpacked(f"{name}.{key}", part)
    else:
        yield name, value


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Within, the model is in evaluation mode and nothing is recorded. Afterwards, even after an error,
    each of its modules is in the mode that it had before.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        with no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
