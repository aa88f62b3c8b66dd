"""Listeners: how a program hears what the engine does, function by function and layer by layer.

The profile, the search for values that are not finite, and `nn.summary` are listeners. Nothing is
paid for them while nobody listens: the engine asks once for each function, and once for each walk.
"""

import inspect
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tinygen.engine.mode import switched, switches

if TYPE_CHECKING:
    from tinygen.engine.function import Function
    from tinygen.engine.tensor import Tensor

T = TypeVar("T")
Event: TypeAlias = Generator[None, Any, None]
EVENTS = ("forward", "backward", "layer")

# The listeners of all threads: while it is empty, no thread need look for its own.
everywhere: list[Any] = []


class Listener:
    """The base of listeners. A subclass overrides the events that it wants to hear of.

    Each is a generator that yields once. What is written before the yield runs before the event, what
    is written after it runs after the event, and the yield gives what the event gave:

        class Shapes(tg.Listener):
            def layer(self, module, inputs):
                output = yield
                print(module.describe(), output.shape)

        with tg.listening(Shapes()):
            model(x)

    Where the event raises an error, the yield raises it, so `try`, `finally` and `with` work as ever.
    Events nest: a function may be applied within a layer, and within another function's backward.
    """

    def forward(self, node: "Function", inputs: Sequence[Any]) -> Event:
        """A function is applied to its inputs. Gives the output, a Tensor."""
        yield

    def backward(self, node: "Function", g: "Tensor", y: "Tensor", inputs: Sequence[Any]) -> Event:
        """Gradients pass a node: g, that of its output y, comes in. Gives those of the inputs, one for each.

        `node.needs` says which of them are wanted. Those that are not may be None.
        """
        yield

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        """A module runs. Gives whatever its forward gave."""
        yield


class listening(switched):
    """Within, the listener hears what this thread does, after the listeners that are there already.

    Raises TypeError where it is not a Listener, and where one of its events is not a generator.
    """

    def __init__(self, listener: Listener) -> None:
        if not isinstance(listener, Listener):
            raise TypeError(f"listening takes a Listener, got a {type(listener).__name__}")
        for event in EVENTS:
            if not inspect.isgeneratorfunction(getattr(listener, event)):
                raise TypeError(f"{type(listener).__name__}.{event} must be a generator: let it yield once, where the event happens")
        super().__init__("listeners", listener)

    def __enter__(self) -> None:
        switches.before.append(switches.listeners)
        switches.listeners = (*switches.listeners, self.value)
        everywhere.append(self.value)

    def __exit__(self, *_: object) -> None:
        everywhere.remove(self.value)
        super().__exit__()


def announced(event: str, run: Callable[[], T], *what: Any) -> T:
    """run(), within the event of this name of every listener; the last one stands nearest to it."""
    hooks = [getattr(listener, event)(*what) for listener in switches.listeners]
    for hook in hooks:
        next(hook)
    result: Any = None
    failure: BaseException | None = None
    try:
        result = run()
    except BaseException as error:
        failure = error
    for hook in reversed(hooks):
        try:
            if failure is None:
                hook.send(result)
            else:
                hook.throw(failure)
        except StopIteration:
            pass
        except BaseException as error:  # which may say more than the one that was thrown in
            failure = error
    if failure is not None:
        raise failure
    return result


def notes(node: "Function") -> dict[Any, Any]:
    """What listeners keep with a node, each under a key of its own."""
    if not hasattr(node, "notes"):
        node.notes = {}
    return node.notes
