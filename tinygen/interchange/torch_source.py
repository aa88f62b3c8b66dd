"""The lines of PyTorch that build a model and load its weights, as text.

`torch_layers` says how PyTorch calls each layer. The parts of one that stands as several get names, so
that the numbers of all other layers stay, and with them the names of the weights.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from textwrap import indent
from typing import Any

import numpy

from tinygen import nn
from tinygen.engine.arguments import shown
from tinygen.engine.listeners import Event, Listener, listening
from tinygen.engine.mode import evaluating
from tinygen.engine.tensor import Shape, Tensor
from tinygen.interchange.torch_layers import CLASSES, LAYERS, RECURRENT, Parts
from tinygen.interchange.trace import Input, examples


def torch_source(model: nn.Module, file: str, *inputs: Input) -> str:
    """The lines of PyTorch that build the model and load the weights that `to_torch` gives, from a safetensors file of that name.

    Where the model has modules with a forward of its own, the lines have their parts, and you write
    their forward. Inputs are as those of `to_torch`, and cannot be left out.

    Raises UsageError for a layer that PyTorch's modules cannot express, and TypeError where `file`
    is not a name.
    """
    if not isinstance(file, str):
        example = '(model, "model.safetensors", (1, 28, 28, 1))'
        raise TypeError(f"torch_source: file is the name of the file of the weights, as in {example}, got {shown(file)}")
    lines = _Lines(model, inputs)
    name, built = re.sub(r"\W|^(?=\d)", "_", PurePath(file).name.partition(".")[0]), lines.module(model)
    classes = "".join(f"\n\n{text}" for text in lines.classes.values())
    imports = ["from safetensors.torch import load_file", "from torch import nn"]
    if "torch." in classes:
        imports.insert(0, "import torch")
    if "OrderedDict" in classes + built:
        imports.insert(0, "from collections import OrderedDict\n")
    load = [f"{name} = {built}", f'{name}.load_state_dict(load_file("{file}"))', f"{name}.eval()  # images are (N, C, H, W)"]
    return "\n".join([*imports, classes, *([""] if classes else []), *load, ""])


class _Lines(Listener):
    """The text for each module of a model, and the classes that it needs."""

    def __init__(self, model: nn.Module, inputs: Sequence[Input]) -> None:
        self.shapes: dict[int, Shape] = {}  # of the first input of each module
        self.classes: dict[str, str] = {}
        with evaluating(model), listening(self), numpy.errstate(all="ignore"):
            model(*(Tensor(x) if x.dtype.kind == "f" else x for x in examples(model, inputs)))

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        if inputs and hasattr(inputs[0], "shape"):
            self.shapes.setdefault(id(module), inputs[0].shape)
        yield

    def module(self, module: nn.Module) -> str:
        parts = self.parts(module)
        return parts[""] if len(parts) == 1 else f"nn.Sequential(OrderedDict([{', '.join(_named('0', parts))}]))"

    def parts(self, module: nn.Module) -> Parts:
        if isinstance(module, nn.SpectralNorm):
            return self.parts(module.layer)
        if isinstance(module, nn.Residual):
            self._need("Residual")
            return {"": f"Residual({', '.join(self.module(part) for _, part in module.children())})"}
        kind = next((kind for kind in type(module).__mro__ if kind in LAYERS), None)
        if kind is not None:
            parts = LAYERS[kind](module, self.shapes.get(id(module), ()))
            self._need(parts[""].partition("(")[0])
            return parts
        return {"": self.sequential(module) if isinstance(module, nn.Sequential) else self.custom(module)}

    def sequential(self, module: nn.Sequential) -> str:
        parts = [self.parts(layer) for layer in module]
        if all(len(part) == 1 for part in parts):
            return f"nn.Sequential(\n{_rows(part[''] for part in parts)})"
        named = (line for i, part in enumerate(parts) for line in _named(str(i), part))
        return f"nn.Sequential(OrderedDict([\n{_rows(named)}]))"

    def _need(self, name: str) -> None:
        """Take up the class of this name, if it is none of torch.nn."""
        text = CLASSES.get("Recurrent" if name in RECURRENT else name)
        if text is not None:
            self.classes[name] = text.format(name=name) if name in RECURRENT else text

    def custom(self, module: nn.Module) -> str:
        """A module with a forward of its own, as a class with the same parts."""
        lines = [f"self.{key} = {self.attribute(value)}" for key, value in vars(module).items() if _holds_modules(value)]
        lines += [_tensor(key, value) for key, value in vars(module).items() if isinstance(value, Tensor)]
        start = ["def __init__(self):", "    super().__init__()", *(indent(line, " " * 4) for line in lines), ""] if lines else []
        kind, arguments = type(module).__name__, ", ".join(["self", *inspect.signature(module.forward).parameters])
        rest = f'    raise NotImplementedError("write what the forward of {kind} does, for images (N, C, H, W)")'
        body = indent("\n".join([*start, f"def forward({arguments}):", rest, ""]), " " * 4)
        name, number = kind, 1
        while self.classes.setdefault(name, f"class {name}(nn.Module):\n{body}") != f"class {name}(nn.Module):\n{body}":
            number += 1
            name = f"{kind}{number}"
        return f"{name}()"

    def attribute(self, value: Any) -> str:
        if isinstance(value, nn.Module):
            return self.module(value)
        return f"nn.ModuleList([{', '.join(self.module(part) for part in value)}])"


def _rows(lines: Iterable[str]) -> str:
    return indent("".join(f"{line},\n" for line in lines), " " * 4)


def _named(number: str, parts: Parts) -> list[str]:
    return [f'("{number}{suffix}", {code})' for suffix, code in parts.items()]


def _holds_modules(value: Any) -> bool:
    return isinstance(value, nn.Module) or (isinstance(value, list | tuple) and any(isinstance(part, nn.Module) for part in value))


def _tensor(name: str, t: Tensor) -> str:
    if isinstance(t, nn.Parameter):
        return f"self.{name} = nn.Parameter(torch.zeros({t.shape}))"
    return f'self.register_buffer("{name}", torch.zeros({t.shape}))'
