"""The state of the engine in one thread: whether it records, and which listeners there are.

Each thread has its own, so that one thread can train while another one samples.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tinygen.engine.listeners import Listener

F = TypeVar("F", bound=Callable[..., Any])


class _Switches(threading.local):
    recording = True
    listeners: "tuple[Listener, ...]" = ()

    def __init__(self) -> None:
        self.before: list[Any] = []  # the values that the open blocks will restore, the innermost last


switches = _Switches()


class switched(ContextDecorator):
    """A context in which the switch of this name has this value, for this thread. Also a decorator.

    Contexts nest, and one object may be entered repeatedly, also by several threads. A generator must
    not yield within one: the code that loops over the generator would run with that value, too. For the
    same reason it raises TypeError if it decorates a generator or coroutine function.
    """

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def __enter__(self) -> None:
        switches.before.append(getattr(switches, self.name))
        setattr(switches, self.name, self.value)

    def __exit__(self, *_: object) -> None:
        setattr(switches, self.name, switches.before.pop())

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} is a generator: the code that loops over it would run within the block, too; "
                "write `with` around the lines between its yields"
            )
        return super().__call__(function)


def no_grad() -> switched:
    """Nothing is recorded within `with no_grad():`, or in a function decorated with `@no_grad()`.

    Results require no gradients and keep no graph. A generator must not yield within such a block:
    nothing would be recorded in the code that loops over it.
    """
    return switched("recording", False)


def is_recording() -> bool:
    """Whether functions of tensors that require gradients are recorded now, in this thread."""
    return switches.recording


def expect_module(name: str, model: Any) -> None:
    """Raise TypeError where the model that the function `name` was given is not an `nn.Module`."""
    if not hasattr(model, "named_modules"):
        raise TypeError(f"{name} takes a Module, got a {type(model).__name__}")


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within, the model (an `nn.Module`) is in evaluation mode and nothing is recorded. Afterwards, even
    after an error, each of its modules is in the mode that it had before.
    """
    expect_module("evaluating", model)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode
