"""One batch on its way through one training step, from the program to the compiled inner loop and back.

The step runs and is traced for real. Of its some thousand calls the journey keeps those that lead
to one convolution, the one that is given the most numbers; then those that lead to its gradients,
and those that lead to the first kernel of the optimiser.
"""

import ast
import functools
import inspect
import itertools
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tinygen_kernels import Kernels

from tinygen.engine import arguments
from tinygen.engine.tensor import Tensor

CONVOLUTIONS = ("conv2d", "conv2d_data", "conv2d_weight")  # the kernels' names, on every device


@dataclass(eq=False)
class Stop:
    """A call on the way: where its code is, what it says of itself, what it was given, and how long it took.

    `given` has the name and the shape of each array that it was given, `bytes` is their size. What was
    compiled into the stop before has no seconds of its own.
    """

    name: str
    file: str
    line: int
    sentence: str
    layer: str = ""
    given: list[tuple[str, str]] = field(default_factory=list)
    bytes: int = 0
    seconds: float | None = None
    kernel: Callable[..., None] | None = None  # what the call launches
    caller: "Stop | None" = None
    calls: list["Stop"] = field(default_factory=list)

    @property
    def shapes(self) -> list[str]:
        return [shape for _, shape in self.given]

    def way(self) -> list["Stop"]:
        """The calls from the first one to this one."""
        return [*(self.caller.way() if self.caller else []), self]

    def within(self) -> Iterator["Stop"]:
        """This call and all calls within it, in their order."""
        yield self
        for call in self.calls:
            yield from call.within()


class Arrived(BaseException):
    """Ends the traced program when the step is over. No handler of errors should stop it."""


def trace(program: Callable[[], Any], file: Path, function: str, folders: Sequence[Path]) -> Stop:
    """Run the program until the function of this name in this file returns from its third call. That call, traced.

    The calls before are not looked at: kernels are compiled in the first, and training profiles the
    second. Calls into files outside of `folders`
    are left out. Raises LookupError if the program ends before.
    """
    within = tuple(f"{folder}/" for folder in folders)
    waiting, found = 3, list[Stop]()
    frames: list[tuple[Stop | None, float]] = []  # of the traced step: each with its start

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal waiting
        code = frame.f_code
        if event == "call":
            if not frames:
                if code.co_name != function or code.co_filename != str(file):
                    return
                waiting -= 1
                if waiting:
                    return
            caller = next((stop for stop, _ in reversed(frames) if stop), None)
            stop = _entered(frame, caller) if code.co_filename.startswith(within) else None
            frames.append((stop, time.perf_counter()))
        elif event == "return" and frames:
            stop, start = frames.pop()
            if stop:
                stop.seconds = time.perf_counter() - start
            if not frames and stop:
                found.append(stop)
                sys.setprofile(None)
                raise Arrived

    sys.setprofile(profile)
    try:
        program()
    except Arrived:
        return found[0]
    finally:
        sys.setprofile(None)
    raise LookupError(f"{function} in {file} did not run three times")


def _entered(frame: FrameType, caller: Stop | None) -> Stop:
    owner: Any = frame.f_locals.get("self")
    code, kernel = frame.f_code, frame.f_locals.get("kernel")
    name = f"{type(owner).__name__}.{code.co_name}" if owner is not None else code.co_name
    stop = Stop(name, code.co_filename, code.co_firstlineno, _sentence(code), kernel=kernel, caller=caller)
    if hasattr(owner, "describe") and not list(owner.children()):
        stop.layer = owner.describe()
    for argument, value in _arguments(frame, kernel):
        array: Any = getattr(value, "data", None) if isinstance(value, Tensor) else value  # a tensor that is being made has no data yet
        if hasattr(array, "nbytes") and not isinstance(array, type):
            stop.given.append((argument, str(tuple(array.shape))))
            stop.bytes += array.nbytes
    if caller:
        caller.calls.append(stop)
    return stop


def _arguments(frame: FrameType, kernel: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of a call's arguments; those that it passes on to a kernel have the names that the kernel gives them."""
    given = inspect.getargvalues(frame)
    yield from ((name, frame.f_locals.get(name)) for name in given.args)  # Numba's frames have no locals
    if given.varargs:
        values = frame.f_locals[given.varargs]
        inner = inspect.unwrap(kernel).__code__.co_varnames[1:] if kernel is not None else itertools.repeat(given.varargs)
        yield from zip(inner, values, strict=False)


@functools.cache
def _sentences(file: str) -> dict[int, str]:
    """What each function in a file says of itself in one sentence, by its line.

    A public method without a docstring has its class's, and a public function of any kind at last
    the file's.
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    found: dict[int, str] = {}

    def visit(node: ast.AST, above: str) -> None:
        for part in ast.iter_child_nodes(node):
            own = ast.get_docstring(part) if isinstance(part, ast.ClassDef | ast.FunctionDef) else None
            if isinstance(part, ast.FunctionDef):
                private = part.name.startswith("_") and not part.name.endswith("_")
                lines = [part.lineno, *(decorator.lineno for decorator in part.decorator_list)]
                found[min(lines)] = own or ("" if private else above)
            visit(part, own or above)

    visit(tree, ast.get_docstring(tree) or "")
    return {line: _first(text) for line, text in found.items()}


def _first(text: str) -> str:
    return re.split(r"(?<=\S)[.:](?:\s|$)", " ".join(text.split("\n\n")[0].split()))[0]


def _sentence(code: CodeType) -> str:
    """A function's first sentence about itself; a kernel's is that of the contract."""
    contract = getattr(Kernels, code.co_name, None) if "tinygen_kernels" in code.co_filename else None
    return _first(contract.__doc__ or "") if contract else _sentences(code.co_filename).get(code.co_firstlineno, "")


def journey(step: Stop) -> tuple[list[Stop], list[Stop]]:
    """The stops on the way there, and those on the way back.

    Raises LookupError if the step has no convolution, no backward, or no optimiser.
    """
    every = list(step.within())
    turn = next((i for i, stop in enumerate(every) if stop.name == "backpropagate"), len(every))
    there = [stop for stop in every[:turn] if _is_convolution(stop)]
    if not there:
        raise LookupError("the step has no convolution before its backward")
    largest = max(there, key=lambda stop: (stop.name == "conv2d", stop.bytes))
    gradients = [stop for stop in every[turn:] if _is_convolution(stop) and set(largest.shapes) & set(stop.shapes)]
    moving = [stop for stop in every[turn:] if stop.kernel is not None and stop.caller and stop.caller.name == "adam"]
    if len(gradients) < 2 or not moving:
        raise LookupError("the step has no gradients of its convolution, or no kernel of Adam after them")
    back = [stop for kernel in (*gradients[:2], moving[0]) for stop in _to_the_tile(kernel) if stop is not step]
    way = _folded(_to_the_tile(largest))
    return way, _folded(back, before=way)


def _is_convolution(stop: Stop) -> bool:
    return stop.name in CONVOLUTIONS and "tinygen_kernels" in stop.file


def _to_the_tile(kernel: Stop) -> list[Stop]:
    """The way to the kernel and on to the launch that is given most, the compiled loop, and the tile in it."""
    launch = max((stop for stop in kernel.within() if stop.kernel is not None), key=lambda stop: stop.bytes, default=kernel)
    return [*launch.way(), *(_compiled(launch.kernel) if launch.kernel else [])]


def _compiled(kernel: Any) -> list[Stop]:
    """The kernel and the register tile in it. Both are compiled, so no trace sees them."""
    inner = (getattr(kernel.__globals__.get(name), "_defn", None) for name in kernel.__code__.co_names if name.endswith("_tile"))
    codes = [inspect.unwrap(function).__code__ for function in (kernel, *filter(None, inner))]
    return [Stop(c.co_name, c.co_filename, c.co_firstlineno, _sentence(c)) for c in codes]


def _folded(stops: Sequence[Stop], before: Sequence[Stop] = ()) -> list[Stop]:
    """Each function that was not met before, once, without helpers.

    Helpers are private functions that say nothing of themselves, and the check of arguments.
    """
    met = {(stop.file, stop.line) for stop in before}
    kept: dict[tuple[str, int], Stop] = {}
    for stop in stops:
        private = stop.name.rpartition(".")[2].startswith("_") and not stop.sentence and stop.caller
        if not private and stop.file != arguments.__file__:
            kept.setdefault((stop.file, stop.line), stop)
    return [stop for place, stop in kept.items() if place not in met]
