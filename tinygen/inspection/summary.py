"""A model at a glance: its layers, what comes out of each, and how many parameters it has."""

from collections.abc import Sequence
from typing import Any

import numpy

from tinygen.backend import Array
from tinygen.engine.listeners import Event, Listener, listening, with_activation
from tinygen.engine.mode import evaluating, expect_module
from tinygen.engine.tensor import Shape, Tensor
from tinygen.functional import zeros


def summary(model: Any, *inputs: Shape | Tensor | Array) -> str:
    """A table of the layers in the order in which they run, with their output shapes and parameter counts.

    Each input is a shape, which stands for zeros of that shape, with the batch as its first axis; or a
    Tensor or array, for a model that takes other inputs, such as the labels for an Embedding. The model
    runs once in evaluation mode and is left as it was. A module that has both sub-modules and parameters
    of its own is listed after its sub-modules. Raises TypeError where there is no input, or one of
    another kind.
    """
    expect_module("summary", model)
    if not inputs or not all(isinstance(x, tuple | list) or hasattr(x, "dtype") for x in inputs):
        raise TypeError(f"summary: takes the shape of each input, as in summary(model, (1, 28, 28, 1)), got {inputs}")
    rows = Rows()
    some = next((t for _, t in model.named_parameters()), Tensor(numpy.zeros(0, numpy.float32)))
    arguments = [zeros(tuple(x), some.dtype, some.device) if isinstance(x, tuple | list) else x for x in inputs]
    with evaluating(model), listening(rows):
        model(*arguments)
    return rows.table(model, arguments)


class Rows(Listener):
    """Adds a row for each layer that runs."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def table(self, model: Any, inputs: Sequence[Any]) -> str:
        """The summary of a model that has run once on the inputs."""
        table = [("layer", "output", "parameters"), ("input", ", ".join(_shapes(x) for x in inputs), ""), *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(3)]
        lines = [f"{layer:<{widths[0]}}  {output:<{widths[1]}}  {count:>{widths[2]}}".rstrip() for layer, output, count in table]
        total = sum(t.size for t in model.parameters())
        return "\n".join([lines[0], "-" * (sum(widths) + 4), *lines[1:], f"{type(model).__name__}: {total:,} parameters"])

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        output = yield
        own, parameters = _own(module), set(module.parameters())
        if own or not any(True for _ in module.children()):
            count = sum(t.size for t in own if t in parameters)
            self.rows.append((with_activation(module.describe(), inputs), _shapes(output), f"{count:,}" if count else ""))


def _own(module: Any) -> set[Tensor]:
    """The parameters and buffers of a module that do not belong to its sub-modules."""
    return {t for _, t in module.named_tensors()} - {t for _, part in module.children() for _, t in part.named_tensors()}


def _shapes(output: Any) -> str:
    """The shape of a tensor, or the shapes of all tensors in a tuple, list or dict."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return ", ".join(_shapes(part) for part in output)
    return str(output.shape) if hasattr(output, "shape") else type(output).__name__
