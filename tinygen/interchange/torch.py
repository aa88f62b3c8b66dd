"""Weights in the names and layouts of PyTorch's modules, both ways, without PyTorch.

TABLE has a row for each tensor of each layer: its name there, its names here, and how the one is
made of the others. The same layout of the elements' places gives the way in. What is easily
forgotten:

- A flattened image is (C, H, W) there, so the weights behind it are in another order (`flattened`).
- The gates of a GRU and of an LSTM are in another order, and a second bias is added to the first.
- `running_var` is a mean of biased variances here and of unbiased ones there. It is taken as it is, so
  that both compute the same in evaluation. In training they go on differently, by n / (n - 1).
- A SpectralNorm is written as its layer, with the weight that it computes with.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen import nn
from tinygen.backend import to_device
from tinygen.command_line import UsageError
from tinygen.engine.mode import expect_module
from tinygen.engine.tensor import Shape, Tensor
from tinygen.interchange.flattened import channels_first, flattened
from tinygen.interchange.trace import Input
from tinygen.saving.state import check_state

State = dict[str, numpy.ndarray]
Layout = Callable[..., numpy.ndarray]


@dataclass(frozen=True)
class Row:
    """A tensor of PyTorch's that is made of ours."""

    theirs: str
    ours: tuple[str, ...]
    layout: Layout = lambda array: array


@dataclass(frozen=True)
class Zeros:
    """A bias of PyTorch's that no layer here has: zeros, as long as another tensor. Its first part, of this share, is added to that one."""

    theirs: str
    as_long_as: str
    added: float


def transposed(*arrays: numpy.ndarray) -> numpy.ndarray:
    """(in, out) -> (out, in), one after the other."""
    return numpy.concatenate([array.T for array in arrays])


def oihw(weight: numpy.ndarray) -> numpy.ndarray:
    """(kh, kw, in, out) -> (out, in, kh, kw). Of a transposed convolution: (kh, kw, out, in) -> (in, out, kh, kw)."""
    return weight.transpose(3, 2, 0, 1)


def oik(weight: numpy.ndarray) -> numpy.ndarray:
    """(k, in, out) -> (out, in, k)."""
    return weight.transpose(2, 1, 0)


def chw(array: numpy.ndarray) -> numpy.ndarray:
    """(H, W, C) -> (C, H, W); other shapes as they are."""
    return array.transpose(2, 0, 1) if array.ndim == 3 else array


def _recurrent(*gates: int, added: float = 1.0) -> tuple[Row | Zeros, ...]:
    """The rows of a recurrent layer, whose gates have these places among ours."""

    def ordered(array: numpy.ndarray) -> numpy.ndarray:
        parts = numpy.split(array, len(gates), axis=-1)
        return numpy.concatenate([parts[i] for i in gates], axis=-1).T

    return (
        Row("weight_ih_l0", ("weight",), ordered),
        Row("weight_hh_l0", ("state_weight",), ordered),
        Row("bias_ih_l0", ("bias",), ordered),
        Zeros("bias_hh_l0", "bias_ih_l0", added),
    )


BIAS = Row("bias", ("bias",))
SCALE = Row("weight", ("gamma",), chw), Row("bias", ("beta",), chw)
IMAGES = Row("weight", ("weight",), oihw), BIAS

TABLE: dict[type[nn.Module], tuple[Row | Zeros, ...]] = {
    nn.Dense: (Row("weight", ("weight",), transposed), BIAS),
    nn.Conv1D: (Row("weight", ("weight",), oik), BIAS),
    nn.Conv2D: IMAGES,
    nn.ConvTranspose2D: IMAGES,
    nn.BatchNorm: (*SCALE, Row("running_mean", ("running_mean",)), Row("running_var", ("running_var",))),
    nn.LayerNorm: SCALE,
    nn.GroupNorm: SCALE,
    nn.Embedding: (Row("weight", ("weight",)),),
    nn.PReLU: (Row("weight", ("slope",)),),
    nn.RNN: _recurrent(0),
    nn.GRU: _recurrent(1, 0, 2, added=2 / 3),  # z r n here and r z n there, where a bias stands beside the state within n
    nn.LSTM: _recurrent(0, 2, 3, 1),  # i o f c here and i f g o there
    nn.SelfAttention: (
        Row("in_proj_weight", ("query.weight", "key.weight", "value.weight"), transposed),
        Row("out_proj.weight", ("out.weight",), transposed),
        Row("out_proj.bias", ("out.bias",)),
        Zeros("in_proj_bias", "in_proj_weight", 0.0),
    ),
}


def rows_of(layer: nn.Module) -> tuple[Row | Zeros, ...] | None:
    """The rows of TABLE for a layer, or for the layer that its class is derived from."""
    return next((TABLE[kind] for kind in type(layer).__mro__ if kind in TABLE), None)


def parts_of(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a module that has no rows of its own, by PyTorch's names: a Sequential there only counts its layers."""
    for name, part in module.children():
        yield name.removeprefix("layers.") if isinstance(module, nn.Sequential) else name, part


@dataclass(frozen=True)
class _Entry:
    """A tensor of PyTorch's. Element i of it is element places[i] of our tensors, flattened and one after the other."""

    ours: list[Tensor]
    places: numpy.ndarray
    norm: nn.SpectralNorm | None

    def arrays(self) -> numpy.ndarray:
        """The elements of our tensors."""
        values = [to_device(t.data, "cpu").ravel() for t in self.ours]
        if self.norm is not None and self.ours[0] is self.norm.layer.weight:
            values = [values[0] / self.norm.sigma().numpy()]
        return numpy.concatenate(values)


def _entries(module: nn.Module, images: Mapping[int, Mapping[int, Shape]], prefix: str = "", norm: Any = None) -> Iterator[tuple[str, Any]]:
    """All tensors of PyTorch's module of the same structure, by name, each as an _Entry or as Zeros."""
    if isinstance(module, nn.SpectralNorm):
        yield from _entries(module.layer, images, prefix, module)
        return
    own = dict(module.named_tensors())
    rows = rows_of(module)
    if rows is None:
        inner = [f"{name}." for name, _ in module.children()]
        rows = tuple(Row(name, (name,)) for name in own if not name.startswith(tuple(inner)))
        for name, part in parts_of(module):
            yield from _entries(part, images, f"{prefix}{name}.")
    for row in rows:
        if isinstance(row, Zeros):
            yield prefix + row.theirs, row
        elif all(name in own for name in row.ours):
            tensors = [own[name] for name in row.ours]
            yield prefix + row.theirs, _Entry(tensors, row.layout(*_places(tensors, images)), norm)


def _places(tensors: list[Tensor], images: Mapping[int, Mapping[int, Shape]]) -> Iterator[numpy.ndarray]:
    """For each tensor an array of its shape with the places of its elements, flattened images in PyTorch's order."""
    start = 0
    for t in tensors:
        places = numpy.arange(start, start + t.size).reshape(t.shape)
        for axis, image in images.get(id(t), {}).items():
            places = places.take(channels_first(image), axis)
        yield places
        start += t.size


def _named_entries(model: nn.Module, inputs: tuple[Input, ...], function: str) -> dict[str, Any]:
    """`_entries` by name. Raises UsageError where inputs are missing, or where a tensor has no place in PyTorch."""
    expect_module(function, model)
    if not inputs and _may_flatten(model):
        raise UsageError(
            f"{function}: a flattened image is in another order in PyTorch, so the shape of the model's input is needed, as in "
            f"{function}(..., (1, 28, 28, 1)) for images or (1, 100) for noise"
        )
    tensors = list(dict(model.named_tensors()).values())
    entries = dict(_entries(model, flattened(model, inputs, tensors) if inputs else {}))
    placed = {id(t) for entry in entries.values() if isinstance(entry, _Entry) for t in entry.ours}
    placed |= {id(part.u) for part in model.modules() if isinstance(part, nn.SpectralNorm)}
    if homeless := [name for name, t in model.named_tensors() if id(t) not in placed]:
        raise UsageError(f"{function}: PyTorch's modules have no place for {', '.join(homeless)}")
    return entries


def _may_flatten(model: nn.Module) -> bool:
    """Whether a dense layer may see a flattened image: there are dense layers, images, and something that reshapes."""
    parts = list(model.modules())
    images = (nn.Conv2D, nn.ConvTranspose2D, nn.Flatten, nn.Reshape)
    known = (*TABLE, nn.Sequential, nn.SpectralNorm, nn.SelfAttention2D, nn.Residual)
    custom = any(part.parameters() and not isinstance(part, known) for part in parts)
    reshapes = any(isinstance(part, nn.Flatten | nn.Reshape) for part in parts)
    return any(isinstance(part, nn.Dense) for part in parts) and (reshapes or (custom and any(isinstance(part, images) for part in parts)))


def to_torch(model: nn.Module, *inputs: Input) -> State:
    """The weights of a model as the state dict of the same model in PyTorch.

    A Sequential is one of the equivalent modules of torch.nn, whose places are the numbers of the
    layers; any other module is one of yours with parts of the same names. Each input is a shape with
    the batch as its first axis, or an array, as for `nn.summary`. It may be left out where no image is
    flattened. `safetensors.numpy.save_file` writes the state dict.

    Raises UsageError where inputs are missing, and for what PyTorch's modules have no place for.
    """
    entries = _named_entries(model, inputs, "to_torch")
    # safetensors writes what lies in memory, and does not look at strides.
    state = {name: numpy.ascontiguousarray(entry.arrays()[entry.places]) for name, entry in entries.items() if isinstance(entry, _Entry)}
    return {name: state[name] if name in state else _zeros(name, entry, state) for name, entry in entries.items()}


def _beside(name: str, zeros: Zeros) -> str:
    """The name of the tensor that zeros are as long as."""
    return name.removesuffix(zeros.theirs) + zeros.as_long_as


def _zeros(name: str, zeros: Zeros, state: State) -> numpy.ndarray:
    other = state[_beside(name, zeros)]
    return numpy.zeros(len(other), other.dtype)


def from_torch(model: nn.Module, state: Mapping[str, Any], *inputs: Input) -> None:
    """Set the weights of a model from the state dict of the same model in PyTorch: `to_torch`, backwards.

    The arrays are NumPy's, as `safetensors.numpy.load_file` gives them, or PyTorch's on the CPU.

    Raises ValueError, with nothing changed, that lists all names that are missing or unexpected and all
    tensors of another shape; UsageError for what tinygen has no place for.
    """
    entries = _named_entries(model, inputs, "from_torch")
    if norms := [name for name, part in model.named_modules() if isinstance(part, nn.SpectralNorm)]:
        raise UsageError(f"from_torch: {', '.join(norms)} would divide the weights once more; give a model with the layers themselves")
    expected = to_torch(model, *inputs)
    given = {name: numpy.asarray(array) for name, array in state.items() if not name.endswith("num_batches_tracked")}
    given = {
        name: array.astype(expected[name].dtype) if name in expected and array.dtype.kind == "f" else array for name, array in given.items()
    }
    check_state(expected, given, f"{type(model).__name__} in PyTorch's layout")
    for name, zeros in entries.items():
        if isinstance(zeros, Zeros):
            given[_beside(name, zeros)] = _with_added(name, zeros, given)
    for name, entry in entries.items():
        if isinstance(entry, _Entry):
            _set(entry, given[name])


def _with_added(name: str, zeros: Zeros, given: State) -> numpy.ndarray:
    """The tensor beside zeros, with that part added which may be. Raises UsageError unless the others are zeros."""
    other, extra = given[_beside(name, zeros)], given[name]
    added = round(zeros.added * len(extra))
    if extra[added:].any():
        raise UsageError(f"from_torch: tinygen's layer has no bias in the place of {name}[{added}:], which must be zeros")
    return other + numpy.concatenate([extra[:added], numpy.zeros_like(extra[added:])]) if added else other


def _set(entry: _Entry, array: numpy.ndarray) -> None:
    """Write a tensor of PyTorch's into ours."""
    elements = numpy.empty(array.size, array.dtype)
    elements[entry.places] = array
    start = 0
    for t in entry.ours:
        t.writable("from_torch")[...] = to_device(elements[start : start + t.size].reshape(t.shape), t.device)
        start += t.size
