"""The state of the engine in one thread: whether it records, who listens, and the gradients wanted now.

Each thread has its own, so that one thread may train while another one samples.
"""

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tinygen.engine.listeners import Listener

F = TypeVar("F", bound=Callable[..., Any])


class _Switches(threading.local):
    recording = True
    listeners: "tuple[Listener, ...]" = ()
    needs: Sequence[bool] = ()  # of the node whose backward runs: which inputs' gradients are wanted

    def __init__(self) -> None:
        self.before: list[Any] = []  # what the blocks that are open have to restore, the innermost last


switches = _Switches()


class switched(ContextDecorator):
    """Within, the switch of this name has this value, for this thread. Also a decorator of functions.

    Blocks nest, and one object may be entered again, also by another thread. A generator must not
    yield within a block: the code that loops over the generator would run with the block's value.
    Raises TypeError where it decorates a generator or coroutine function, for the same reason.
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
    """Within `with no_grad():`, or in a function decorated with `@no_grad()`, nothing is recorded.

    Results require no gradients and keep no graph. A generator must not yield within such a block,
    as nothing would be recorded in the code that loops over it.
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
