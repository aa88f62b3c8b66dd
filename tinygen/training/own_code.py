"""tinygen with functions of your files in the place of its own: `python examples/dcgan.py --with FILE...`.

The names say what is replaced: those of the kernels (`tinygen_kernels.Kernels`), such as
`conv2d_weight`, which take what the kernels take (a convolution may leave out negative_slope); and
`backpropagate(outputs, gs, inputs)`, the walk, which returns the gradient of each input, or None for
one that no gradient reaches.
"""

import importlib.util
import inspect
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy
from tinygen_kernels import Kernels, for_array

from tinygen.backend import keeping_random_state
from tinygen.command_line import UsageError
from tinygen.engine import backward, grad
from tinygen.engine.mode import switched
from tinygen.engine.tensor import Tensor
from tinygen.training.parts import Stateful

WALK = "backpropagate"
KERNELS = [name for name in vars(Kernels) if not name.startswith("_")]


@contextmanager
def own_code(files: Sequence[Path]) -> Iterator[list[str]]:
    """Within, the functions of the files take the place of tinygen's on the CPU. Gives their names.

    Of several functions of one name the last one counts. Raises UsageError if a file does not exist
    or has no such function, and where one that is used is still to be written.
    """
    functions = {name: function for file in files for name, function in functions_of(file, (*KERNELS, WALK)).items()}
    with ExitStack() as stack:
        for name, function in functions.items():
            if name == WALK:
                stack.enter_context(replaced(grad, name, _as_walk(function)))
            else:
                kernels = for_array(numpy.zeros(1, numpy.float32))  # the fast ones, or the reference
                stack.enter_context(replaced(kernels, name, _as_kernel(name, function, kernels)))
        try:
            yield list(functions)
        except NotImplementedError as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            if Path(last.filename).resolve() in [file.resolve() for file in files]:
                raise UsageError(f"{last.name} in {last.filename} is still to be written") from None
            raise


def functions_of(file: Path, names: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """A file's functions of these names, of which it has at least one. Raises UsageError if it has none."""
    spec = importlib.util.spec_from_file_location(f"own_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UsageError(f"--with takes a Python file, and {file} is not one")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {name: getattr(module, name) for name in names if callable(getattr(module, name, None))}
    if not found:
        raise UsageError(f"{file} has no function that can take the place of one of tinygen's: {', '.join(names[:-1])} or {names[-1]}")
    return found


@contextmanager
def replaced(module: Any, name: str, function: Any) -> Iterator[None]:
    """Within, the module has this function under the name."""
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)


def _as_kernel(name: str, function: Callable[..., Any], kernels: Any) -> Callable[..., Any]:
    """A convolution that does not take the contract's negative_slope, and the leaky ReLU after it. Others as they are."""
    if name not in ("conv2d", "conv2d_data") or "negative_slope" in inspect.signature(function).parameters:
        return function
    taken = len(inspect.signature(getattr(Kernels, name)).parameters) - 2  # without self and negative_slope

    def kernel(*arguments: Any) -> Any:
        z = function(*arguments[:taken])
        return kernels.leaky_relu(z, *arguments[taken:]) if arguments[taken:] else z

    return kernel


def _as_walk(function: Callable[..., Any]) -> Callable[..., list[Tensor | None]]:
    """The walk as the engine calls it. It keeps the graph."""

    def walk(outputs: Sequence[Tensor], gs: Sequence[Tensor], inputs: Sequence[Tensor], create_graph: bool, *_: Any) -> list[Tensor | None]:
        with switched("recording", create_graph):
            return list(function(outputs, gs, inputs))

    return walk


def backward_of(y: Tensor, g: Tensor) -> list[Tensor | None]:
    """The gradients that y's node passes to its inputs, `y.node.inputs`, if g is that of y.

    None stands for an input that takes none. Where an input was broadcast, its gradient is summed.
    """
    node: Any = y.node
    takes = [isinstance(x, Tensor) and x.requires_grad for x in node.inputs]
    result = node.backward(g, y, takes, *node.inputs) if node.selective else node.backward(g, y, *node.inputs)
    gradients = result if isinstance(result, tuple) else (result,)
    return [
        backward._unbroadcast(gx, x, y) if take and gx is not None else None
        for gx, x, take in zip(gradients, node.inputs, takes, strict=True)
    ]


def rehearsed(step: Callable[..., Any], batch: Sequence[Any], parts: Mapping[str, Stateful]) -> float:
    """How many seconds step(*batch) takes. What it changes in the parts and in the stream of random numbers is undone."""
    states = {name: part.state_dict() for name, part in parts.items()}
    with keeping_random_state():
        step(*(rows[:2] for rows in batch))  # compiles the kernels
        start = time.perf_counter()
        step(*batch)
        taken = time.perf_counter() - start
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return taken
