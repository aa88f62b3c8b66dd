"""Module: a function with parameters, built of other modules."""

import reprlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy
from numpy.typing import DTypeLike

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.arguments import checked, expect_types, shown
from tinygen.engine.grad import leaves
from tinygen.engine.listeners import announced, everywhere
from tinygen.engine.tensor import Tensor, array_of
from tinygen.inspection.notebook import module_html
from tinygen.nn.parameter import Buffer, Parameter
from tinygen.saving.state import check_state

FLOATING = ("float32", "float64", numpy.float32, numpy.float64)


class _Forwards(threading.local):
    running = 0  # how many, each within the one before, in this thread


_forwards = _Forwards()


class Module:
    """The base of layers and models. Subclasses set attributes in `__init__` and define `forward`.

    State is declared: an `nn.Parameter` is trained, an `nn.Buffer` is saved but not trained, and a
    Module is a part. All three are found in attributes, and in lists, tuples and dicts there. Their
    names are the attribute names joined by dots, in the order of definition.

    Any other tensor in an attribute is not part of the state, so `forward` may keep activations. But
    a tensor that requires gradients and is not a Parameter looks as if it were trained. Outside of
    `forward`, setting one raises TypeError, unless it is computed from a Parameter. Replacing a
    Parameter or Buffer by anything but another one or None raises TypeError, too.
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward; define forward(self, x), which gives the output")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call `forward`. If it raises an error, a note names this module; type and traceback stay."""
        if everywhere:
            return announced("layer", lambda: self._run(inputs, options), self, (*inputs, *options.values()))
        return self._run(inputs, options)

    def _run(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        _forwards.running += 1
        try:
            return self.forward(*inputs, **options)
        except Exception as error:
            error.add_note(f"in {self.describe()}")
            expect_types(self.forward, type(self).__name__, inputs, options, error)
            raise
        finally:
            _forwards.running -= 1

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, Parameter | Buffer) and not (value is None or isinstance(value, type(before))):
            kind = type(before).__name__
            cure = f"write its values into {name}.data[...], or make another nn.{kind}(...)"
            raise TypeError(f"{type(self).__name__}.{name} is a {kind} and cannot become a {type(value).__name__}; {cure}")
        if not _forwards.running:
            for path, part in _unpacked(name, value):
                if isinstance(part, Tensor) and not _is_declared(part):
                    why = "requires gradients but is not a Parameter, so it would not be trained"
                    cure = "make it one, as in nn.Parameter(tg.randn((3, 3)) * 0.1), or keep its values with detach()"
                    raise TypeError(f"{type(self).__name__}.{path} {why}; {cure}")
        super().__setattr__(name, value)

    def describe(self) -> str:
        """The module in one line, without its parts."""
        return f"{type(self).__name__}()"

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        parts = [f"{name}: {part!r}".replace("\n", "\n  ") for name, part in self.children()]
        return "\n  ".join([f"{type(self).__name__}(", *parts]) + "\n)" if parts else self.describe()

    def _repr_html_(self) -> str:
        return module_html(self)

    def _members(self) -> Iterator[tuple[str, Any]]:
        """The attributes, with the elements of containers in place of the containers."""
        for name, value in vars(self).items():
            yield from _unpacked(name, value)

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """The modules among the attributes, with their names."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def _contents(self, within: tuple["Module", ...] = ()) -> Iterator[tuple[str, "Tensor | Module"]]:
        """All modules, parameters and buffers in this one with their names, in definition order.

        A reference back to a module that this one is part of is left out.
        """
        within = (*within, self)
        for name, value in self._members():
            if isinstance(value, Parameter | Buffer):
                yield name, value
            elif isinstance(value, Module) and value not in within:
                yield name, value
                yield from ((f"{name}.{inner}", part) for inner, part in value._contents(within))

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """This module under the name "", and all of its parts. A shared part appears under each of its names."""
        yield "", self
        yield from ((name, part) for name, part in self._contents() if isinstance(part, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all of its parts."""
        return (module for _, module in self.named_modules())

    @checked
    def apply(self, function: Callable[["Module"], Any]) -> Self:
        """Call function with this module and each of its parts, once each."""
        for module in dict.fromkeys(self.modules()):
            function(module)
        return self

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and buffers with their names, in definition order. A shared one appears under each of its names."""
        return ((name, part) for name, part in self._contents() if isinstance(part, Tensor))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters, frozen ones too."""
        return ((name, t) for name, t in self.named_tensors() if isinstance(t, Parameter))

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """All buffers."""
        return ((name, t) for name, t in self.named_tensors() if isinstance(t, Buffer))

    def parameters(self) -> list[Tensor]:
        """All parameters, frozen ones too, each once, in definition order."""
        return list({id(t): t for _, t in self.named_parameters()}.values())

    def zero_grad(self) -> None:
        """Clear all gradients, those of frozen parameters too."""
        for p in self.parameters():
            p.grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """With False, freeze all parameters: they get no gradients and no optimiser moves them. With True, unfreeze them."""
        _expect_flag("requires_grad_", requires_grad)
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this module and all of its parts in training mode, or with False in evaluation mode.

        In training mode, dropout drops and batch norm uses the statistics of the batch.
        """
        _expect_flag("train", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all of its parts in evaluation mode."""
        return self.train(False)

    def to(self, target: str | DTypeLike) -> Self:
        """Move the module to a device ("cpu", "cuda", "cuda:1"), or convert it to a dtype ("float32", "float64").

        That changes all parameters, their gradients and all buffers in place, or none of them if it
        fails; a dtype leaves buffers of integers alone. An optimiser follows to another device. After
        a change of dtype, make a new one.
        """

        def converted(array: Array) -> Array:
            if not isinstance(target, str | type | numpy.dtype) or target not in FLOATING:
                return backend.to_device(array, str(target))
            return array.astype(target, copy=False) if array.dtype.kind == "f" else array

        tensors = {id(t): t for _, t in self.named_tensors()}.values()
        moved = [(converted(t.data), None if t.grad is None else Tensor(converted(t.grad.data))) for t in tensors]
        for t, (data, gradient) in zip(tensors, moved, strict=True):
            if data is not t.data:
                t.writable("to")
            t.data, t.grad = data, gradient
        return self

    def _by_name(self) -> dict[str, Tensor]:
        """The named tensors. Raises ValueError if two have the same name, as with the keys 1 and "1" of a dict."""
        by_name: dict[str, Tensor] = {}
        for name, t in self.named_tensors():
            if name in by_name:
                raise ValueError(f"{type(self).__name__}: two tensors have the name {name}")
            by_name[name] = t
        return by_name

    def state_dict(self, copy: bool = True) -> dict[str, numpy.ndarray]:
        """Every parameter and buffer on the host, by name: copies, or, without `copy`, on a CPU the arrays that a step will change."""
        return {name: numpy.array(t.numpy(), copy=copy or None) for name, t in self._by_name().items()}

    @checked
    def load_state_dict(self, state: Mapping[str, numpy.ndarray], strict: bool = True) -> tuple[list[str], list[str]]:
        """Set every parameter and buffer from what `state_dict` returned.

        Returns the names that are missing from the state, and the names in it that this module does
        not have. Without `strict` both are passed over. Raises ValueError, with nothing changed, that
        lists all names that are missing or unexpected, if strict, and all of another shape or dtype.
        """
        own = self._by_name()
        missing, unexpected = [name for name in own if name not in state], [name for name in state if name not in own]
        if not strict:
            own = {name: t for name, t in own.items() if name in state}
            state = {name: state[name] for name in own}
        check_state({name: t.data for name, t in own.items()}, state, type(self).__name__)
        for name, t in own.items():
            t.writable("load_state_dict")[...] = backend.to_device(array_of(state[name]), t.device)
        return missing, unexpected

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def float(self) -> Self:
        """`to("float32")`."""
        return self.to("float32")


def _expect_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool | numpy.bool_):
        raise TypeError(f"{name}: takes True or False, got {shown(value)}")


def _is_declared(t: Tensor) -> bool:
    """Whether t is a constant, a Parameter, or computed from one."""
    return not t.requires_grad or any(isinstance(leaf, Parameter) for leaf in leaves(t))


def _unpacked(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The value, or all values in a list, tuple or dict, each with its name."""
    if isinstance(value, list | tuple | dict):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unpacked(f"{name}.{key}", part)
    else:
        yield name, value
