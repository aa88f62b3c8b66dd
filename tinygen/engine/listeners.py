"""Listeners: how a program hears what the engine does, function by function and layer by layer.

The profile, `detect_anomaly` and `nn.summary` are listeners. While there is none they cost one test for
each function and each walk.
"""

import inspect
from collections.abc import Callable, Generator, Sequence, Set
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tinygen.engine.mode import switched, switches

if TYPE_CHECKING:
    from tinygen.engine.function import Function
    from tinygen.engine.tensor import Tensor

T = TypeVar("T")
Event: TypeAlias = Generator[None, Any, None]
EVENTS = ("forward", "backward", "layer")

# The listeners of all threads. While it is empty, no thread has to look for its own.
everywhere: list[Any] = []


class Listener:
    """The base of listeners. A subclass overrides the methods of the events that it listens to.

    Each is a generator that yields once. The lines before the yield run before the event, and the lines
    after it run after the event. The yield returns the result of the event:

        class Shapes(tg.Listener):
            def layer(self, module, inputs):
                output = yield
                print(module.describe(), output.shape)

        with tg.listening(Shapes()):
            model(x)

    If the event raises an error, so does the yield: `try`, `finally` and `with` work as usual. Events
    nest: a function may be applied within a layer, and within another function's backward.
    """

    def forward(self, node: "Function", inputs: Sequence[Any]) -> Event:
        """The forward of a function runs on the arrays of its inputs. The result is its output, an array."""
        yield

    def backward(self, node: "Function", g: "Tensor", y: "Tensor", inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        """A walk passes a node. g is the gradient of its output y; the result is a tuple with that of each input.

        `needs` says which of them are wanted. The others may be None.
        """
        yield

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        """A module runs on its inputs, of which those given by name come last. The result is whatever its forward returns."""
        yield


class listening(switched):
    """Within, the listener hears the events of this thread. Listeners nest in the order in which they are entered.

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
    """run(), between the two halves of each listener's method for this event. The last listener is the innermost."""
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
        except BaseException as error:  # a listener may raise another error, which says more
            failure = error
    if failure is not None:
        raise failure
    return result


def telling(
    step: Callable[..., T], order: "Sequence[Any]", wanted: "Set[Tensor]", passed: "Callable[[dict[Tensor, Tensor]], object]"
) -> Callable[..., T]:
    """The step of a walk, after which `passed` is told the gradients of the wanted tensors that no function still to come reads.

    `order` has the tensors that the walk will come to, the oldest first.
    """
    oldest_reader = {x: y for y in reversed(order) for x in y.node.inputs if x in wanted}

    def told(g: "Tensor", y: Any, needs: Sequence[bool], pending: "dict[Tensor, Tensor]", sums: set[int]) -> T:
        read = [x for x in y.node.inputs if oldest_reader.get(x) is y]
        result = step(g, y, needs, pending, sums)
        passed({x: pending[x] for x in read if x in pending})
        return result

    return told


def with_activation(layer: str, inputs: Sequence[Any]) -> str:
    """The name of a layer, and of the activation among its inputs, which it computes in the same pass."""
    return " + ".join([layer, *(x.describe() for x in inputs if hasattr(x, "describe"))])


def notes(node: "Function") -> dict[Any, Any]:
    """What listeners keep with a node, each under its own key."""
    if not hasattr(node, "notes"):
        node.notes = {}
    return node.notes
