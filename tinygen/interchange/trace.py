"""What a model computes, as the graph that autograd records of one call in evaluation mode.

ONNX writes this graph down. `flattened` reads from it which weights see the pixels of a flattened
image.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen.backend import Array, to_device
from tinygen.command_line import UsageError
from tinygen.engine.arguments import shown
from tinygen.engine.fused import Alias, Fused
from tinygen.engine.mode import evaluating, switched
from tinygen.engine.tensor import Shape, Tensor
from tinygen.nn import Module

Input = Shape | Tensor | Array


@dataclass(frozen=True)
class Step:
    """One function of the graph: y = node(*inputs)."""

    node: Any  # a Function, each with parameters of its own
    inputs: tuple[Any, ...]  # Tensors, Python numbers and None
    y: Tensor


@dataclass(frozen=True)
class Trace:
    """One call of a model: the steps from its inputs to its outputs, each after those that it needs.

    The same array is the same value, also where it is held by another Tensor, as after `detach()`.
    """

    inputs: list[Array]
    outputs: dict[str, Tensor]
    steps: list[Step]


def module_of(call: Callable[..., Any]) -> Module:
    """The module that is called: `call` is a Module, or a method of one. Raises TypeError for anything else."""
    module = getattr(call, "__self__", call)
    if not isinstance(module, Module):
        raise TypeError(f"takes a Module or a method of one, such as vae.encode, got a {type(call).__name__}")
    return module


def trace(call: Callable[..., Any], inputs: Sequence[Input], batch: int = 2, whole: Container[type] = ()) -> Trace:
    """Call a module, or a method of one, in evaluation mode on a batch of so many examples.

    Each input is a shape with the batch as its first axis, which stands for random numbers, or an
    array like those that the model takes. All parameters and buffers take part, frozen ones too. In
    place of a fused function stand those of its composite, unless it is one of `whole`. The model stays
    as it was.
    """
    module = module_of(call)
    arrays = examples(module, inputs, batch)
    given = [Tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in arrays]
    with evaluating(module), switched("recording", True), _unfrozen(module), numpy.errstate(all="ignore"):
        result = call(*given)
        outputs = _named(result)
        steps = list(_steps(list(outputs.values()), whole))
    return Trace(arrays, outputs, steps)


def examples(module: Module, inputs: Sequence[Input], batch: int = 2) -> list[Array]:
    """A batch of so many random examples of each input, in the dtype and on the device of the module."""
    like = next((p for p in module.parameters()), Tensor(numpy.zeros(0, numpy.float32)))
    return [to_device(_example(x, batch, like.dtype), like.device) for x in inputs]


def _example(x: Input, batch: int, dtype: numpy.dtype) -> numpy.ndarray:
    """`batch` random examples of an input; of integers, those that occur in it. So what depends on the inputs differs from call to call."""
    rng = numpy.random.default_rng(batch)
    if isinstance(x, tuple | list):
        return rng.standard_normal((batch, *x[1:])).astype(dtype)
    rows = x.numpy() if isinstance(x, Tensor) else numpy.asarray(x)
    if not rows.ndim or not rows.size:
        raise UsageError(f"an input is a shape or an array with one row for each example, got {shown(x)}")
    if rows.dtype.kind == "f":
        return rng.standard_normal((batch, *rows.shape[1:])).astype(rows.dtype)
    known = numpy.unique(rows)
    if len(known) == 1:
        raise UsageError(f"an input of integers needs two different numbers at least, to tell it from a constant; all are {known[0]}")
    drawn = rng.choice(known, (batch, *rows.shape[1:]))
    drawn.flat[[0, -1]] = known[[0, -1]]
    return drawn


@contextmanager
def _unfrozen(module: Module) -> Iterator[None]:
    """Within, all parameters and buffers require gradients, so that all that is computed from them is recorded."""
    before = [(t, t.requires_grad) for _, t in module.named_tensors() if t.dtype.kind == "f"]
    try:
        for t, _ in before:
            t.requires_grad = True
        yield
    finally:
        for t, requires_grad in before:
            t.requires_grad = requires_grad


def _named(result: Any) -> dict[str, Tensor]:
    """The tensors that a forward returns: one, or several in a tuple, list or dict."""
    if isinstance(result, Tensor):
        return {"output": result}
    if isinstance(result, tuple | list):
        result = {f"output_{i}": part for i, part in enumerate(result)}
    if not isinstance(result, dict) or not result or not all(isinstance(part, Tensor) for part in result.values()):
        raise UsageError(f"a model must return a Tensor, or Tensors in a tuple, list or dict, not a {type(result).__name__}")
    return {str(name): part for name, part in result.items()}


def _steps(outputs: list[Tensor], whole: Container[type]) -> Iterator[Step]:
    """All functions that the outputs are computed by, each after those that it needs."""
    done: set[int] = set()
    stack: list[Tensor | Step] = list(reversed(outputs))
    while stack:
        top = stack.pop()
        if isinstance(top, Step):
            yield top
        elif top.node is not None and id(top) not in done:
            done.add(id(top))
            step = Step(top.node, top.node.inputs, top)
            if isinstance(step.node, Fused) and type(step.node) not in whole:
                step = Step(Alias(), (step.node.composite(*step.inputs),), top)
            stack.append(step)
            stack.extend(x for x in reversed(step.inputs) if isinstance(x, Tensor))
