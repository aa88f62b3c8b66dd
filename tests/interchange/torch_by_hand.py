"""The modules of torch.nn as their documentation defines them, in NumPy and single operators of ONNX, to run the lines of `torch_source`.

Images are (N, C, H, W). A tensor of a module is whatever attribute is an array; `load_state_dict` is strict.
"""

import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tinygen.saving import checkpoint


class Tensor(numpy.ndarray):
    """An array with the methods of PyTorch's tensors that the lines use."""

    device = None

    def permute(self, *axes: int) -> Any:
        return numpy.ndarray.transpose(self, axes)

    def transpose(self, i: int, j: int) -> Any:
        return self.swapaxes(i, j)

    def flatten(self, start: int = 0) -> Any:
        return self.reshape(*self.shape[:start], -1)

    def sin(self) -> Any:
        return numpy.sin(self)

    def cos(self) -> Any:
        return numpy.cos(self)

    def softmax(self, dim: int) -> Any:
        return softmax(self, dim)


def as_tensor(array: Any) -> Any:
    return numpy.array(array).view(Tensor)


def zeros(*shape: Any) -> Any:
    return as_tensor(numpy.zeros(shape[0] if isinstance(shape[0], tuple) else shape, numpy.float32))


def softmax(x: Any, axis: int) -> Any:
    e = numpy.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + numpy.exp(-x))


def onnx(operator: str, *inputs: Any, **attributes: Any) -> Any:
    names = [f"input_{i}" for i in range(len(inputs))]
    node = helper.make_node(operator, names, ["output"], **attributes)
    return as_tensor(ReferenceEvaluator(node).run(None, {n: numpy.asarray(x) for n, x in zip(names, inputs, strict=True)})[0])


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


class Module:
    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise NotImplementedError

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from vars(self).items()

    def tensors(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.members():
            if isinstance(value, Tensor):
                yield name, value
            elif isinstance(value, Module):
                yield from ((f"{name}.{inner}", t) for inner, t in value.tensors())

    def load_state_dict(self, state: Any) -> None:
        own = dict(self.tensors())
        assert own.keys() == state.keys()
        for name, t in own.items():
            assert t.shape == state[name].shape, name
            t[...] = state[name]

    def eval(self) -> None:
        pass


class Sequential(Module):
    def __init__(self, *layers: Any) -> None:
        self.layers = layers[0] if isinstance(layers[0], OrderedDict) else {str(i): layer for i, layer in enumerate(layers)}

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self.layers.items()

    def forward(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer(x)
        return x


class ModuleList(Sequential):
    def __init__(self, layers: Any) -> None:
        super().__init__(*layers)


class Linear(Module):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        self.weight = zeros(outputs, inputs)
        self.bias = zeros(outputs) if bias else 0.0

    def forward(self, x: Any) -> Any:
        return x @ self.weight.T + self.bias


class Conv2d(Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ) -> None:
        self.weight = zeros(outputs, inputs // groups, *pair(kernel))
        self.bias = zeros(outputs) if bias else None
        zero = padding_mode == "zeros"
        self.options = {"strides": pair(stride), "pads": pair(padding if zero else 0) * 2, "dilations": pair(dilation), "group": groups}
        rows, columns = pair(padding)
        self.padded = pad2d({"zeros": "constant", "replicate": "edge"}.get(padding_mode, padding_mode))(
            (0, 0, 0, 0) if zero else (columns, columns, rows, rows)
        )

    def forward(self, x: Any) -> Any:
        x = self.padded(x)
        return onnx("Conv", x, self.weight, *([] if self.bias is None else [self.bias]), **self.options)


class Conv1d(Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self.weight = zeros(outputs, inputs // groups, kernel)
        self.bias = zeros(outputs) if bias else None
        self.options = {"strides": (stride,), "pads": (padding, padding), "dilations": (dilation,), "group": groups}

    def forward(self, x: Any) -> Any:
        return onnx("Conv", x, self.weight, *([] if self.bias is None else [self.bias]), **self.options)


class ConvTranspose2d(Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        bias: bool = True,
        dilation: Any = 1,
    ) -> None:
        self.weight = zeros(inputs, outputs, *pair(kernel))
        self.bias = zeros(outputs) if bias else None
        self.options = {"strides": pair(stride), "pads": pair(padding) * 2, "output_padding": pair(output_padding)}
        self.options["dilations"] = pair(dilation)

    def forward(self, x: Any) -> Any:
        return onnx("ConvTranspose", x, self.weight, *([] if self.bias is None else [self.bias]), **self.options)


class BatchNorm(Module):
    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight, self.bias, self.running_mean, self.running_var = (zeros(channels) for _ in range(4))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Any) -> Any:
        assert x.ndim == (2 if type(self) is BatchNorm1d else 4)
        weight, bias, mean, var = (
            t.reshape(-1, *[1] * (x.ndim - 2)) for t in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        return (x - mean) / numpy.sqrt(var + self.eps) * weight + bias


class BatchNorm1d(BatchNorm):
    pass


class BatchNorm2d(BatchNorm):
    pass


class LayerNorm(Module):
    def __init__(self, shape: Any, eps: float = 1e-5) -> None:
        self.weight, self.bias = zeros(shape), zeros(shape)
        self.eps = eps

    def forward(self, x: Any) -> Any:
        axes = tuple(range(-self.weight.ndim, 0))
        centred = x - x.mean(axis=axes, keepdims=True)
        return centred / numpy.sqrt((centred**2).mean(axis=axes, keepdims=True) + self.eps) * self.weight + self.bias


class GroupNorm(Module):
    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        self.weight, self.bias = zeros(channels), zeros(channels)
        self.groups, self.eps = groups, eps

    def forward(self, x: Any) -> Any:
        grouped = x.reshape(len(x), self.groups, -1)
        centred = grouped - grouped.mean(axis=2, keepdims=True)
        normal = (centred / numpy.sqrt((centred**2).mean(axis=2, keepdims=True) + self.eps)).reshape(x.shape)
        weight, bias = (t.reshape(-1, *[1] * (x.ndim - 2)) for t in (self.weight, self.bias))
        return normal * weight + bias


class PReLU(Module):
    def __init__(self, channels: int) -> None:
        self.weight = zeros(channels)

    def forward(self, x: Any) -> Any:
        return numpy.where(x > 0, x, self.weight.reshape(-1, *[1] * (x.ndim - 2)) * x)


class Embedding(Module):
    def __init__(self, number: int, features: int) -> None:
        self.weight = zeros(number, features)

    def forward(self, labels: Any) -> Any:
        return self.weight[numpy.asarray(labels)]


class Recurrent(Module):
    gates = 1

    def __init__(self, inputs: int, features: int, batch_first: bool = False) -> None:
        assert batch_first
        self.weight_ih_l0, self.weight_hh_l0 = zeros(self.gates * features, inputs), zeros(self.gates * features, features)
        self.bias_ih_l0, self.bias_hh_l0 = zeros(self.gates * features), zeros(self.gates * features)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        assert state is None
        h = c = zeros(len(x), self.weight_hh_l0.shape[1])
        states = []
        for t in range(x.shape[1]):
            of_x, of_h = x[:, t] @ self.weight_ih_l0.T + self.bias_ih_l0, h @ self.weight_hh_l0.T + self.bias_hh_l0
            h, c = self.cell(numpy.split(of_x, self.gates, axis=1), numpy.split(of_h, self.gates, axis=1), h, c)
            states.append(h)
        return as_tensor(numpy.stack(states, axis=1)), h

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        raise NotImplementedError


class RNN(Recurrent):
    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        return numpy.tanh(x[0] + h[0]), c


class GRU(Recurrent):
    gates = 3

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
        return (1 - z) * numpy.tanh(x[2] + r * h[2]) + z * before, c


class LSTM(Recurrent):
    gates = 4

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        i, f, g, o = (a + b for a, b in zip(x, h, strict=True))
        c = sigmoid(f) * c + sigmoid(i) * numpy.tanh(g)
        return sigmoid(o) * numpy.tanh(c), c


class MultiheadAttention(Module):
    def __init__(self, features: int, heads: int, batch_first: bool = False) -> None:
        assert batch_first
        self.in_proj_weight, self.in_proj_bias = zeros(3 * features, features), zeros(3 * features)
        self.out_proj, self.heads = Linear(features, features), heads

    def forward(self, query: Any, key: Any, value: Any, need_weights: bool = True, attn_mask: Any = 0.0) -> tuple[Any, None]:
        assert query is key is value
        n, steps, features = query.shape
        projected = (query @ self.in_proj_weight.T + self.in_proj_bias).reshape(n, steps, 3, self.heads, -1)
        q, k, v = (projected[:, :, i].swapaxes(1, 2) for i in range(3))
        heads = softmax(q @ k.swapaxes(2, 3) / numpy.sqrt(features / self.heads) + attn_mask, -1) @ v
        return self.out_proj(heads.swapaxes(1, 2).reshape(n, steps, features)), None


class Transformer:
    @staticmethod
    def generate_square_subsequent_mask(steps: int, device: Any) -> Any:
        return numpy.where(numpy.tri(steps, dtype=bool), 0.0, -numpy.inf).astype(numpy.float32)


class Pool(Module):
    operator = "MaxPool"

    def __init__(self, kernel: Any, stride: Any, padding: Any = 0, **options: Any) -> None:
        options = {"count_include_pad": int(options["count_include_pad"])} if options else {}
        self.options = {"kernel_shape": pair(kernel), "strides": pair(stride), "pads": pair(padding) * 2, **options}

    def forward(self, x: Any) -> Any:
        return onnx(self.operator, x, **self.options)


class AvgPool2d(Pool):
    operator = "AveragePool"


class Function(Module):
    """A module without tensors, as a function."""

    def __init__(self, function: Any) -> None:
        self.forward = function


def elsewhere_constant(sides: tuple[int, int, int, int], value: float = 0.0) -> Function:
    """Left, right, top, bottom; negative ones crop."""
    left, right, top, bottom = sides

    def padded(x: Any) -> Any:
        x = x[:, :, max(0, -top) : x.shape[2] - max(0, -bottom), max(0, -left) : x.shape[3] - max(0, -right)]
        widths = ((0, 0), (0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
        return as_tensor(numpy.pad(x, widths, constant_values=value))

    return Function(padded)


def pad2d(mode: str) -> Any:
    def layer(sides: tuple[int, int, int, int]) -> Function:
        left, right, top, bottom = sides
        return Function(lambda x: as_tensor(numpy.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode)))

    return layer


def pixel_shuffle(factor: int) -> Function:
    return Function(lambda x: onnx("DepthToSpace", x, blocksize=factor, mode="CRD"))


def upsample(scale_factor: Any, mode: str = "nearest") -> Function:
    rows, columns = pair(scale_factor)
    if mode == "bilinear":
        scales = numpy.array([1, 1, rows, columns], numpy.float32)
        return Function(lambda x: onnx("Resize", x, numpy.zeros(0, numpy.float32), scales, mode="linear"))
    return Function(lambda x: x.repeat(rows, axis=2).repeat(columns, axis=3))


def gelu(approximate: str) -> Function:
    assert approximate == "tanh"
    return Function(lambda x: x / 2 * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3))))


def unflatten(axis: int, shape: tuple[int, ...]) -> Function:
    return Function(lambda x: x.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :]))


NN = types.SimpleNamespace(
    Module=Module, Sequential=Sequential, ModuleList=ModuleList, Linear=Linear, Conv1d=Conv1d,
    Conv2d=Conv2d, ConvTranspose2d=ConvTranspose2d,
    BatchNorm1d=BatchNorm1d, BatchNorm2d=BatchNorm2d, LayerNorm=LayerNorm, GroupNorm=GroupNorm,
    Embedding=Embedding, RNN=RNN, GRU=GRU, LSTM=LSTM,
    MultiheadAttention=MultiheadAttention, Transformer=Transformer, MaxPool2d=Pool, AvgPool2d=AvgPool2d,
    AdaptiveAvgPool2d=lambda size: Function(lambda x: x.mean(axis=(2, 3), keepdims=True)),
    Upsample=upsample, PixelShuffle=pixel_shuffle, ReflectionPad2d=pad2d("reflect"), ReplicationPad2d=pad2d("edge"),
    Flatten=lambda: Function(lambda x: x.reshape(len(x), -1)), Unflatten=unflatten,
    Dropout=lambda p: Function(lambda x: x), ReLU=lambda: Function(lambda x: numpy.maximum(x, 0)),
    LeakyReLU=lambda slope: Function(lambda x: numpy.where(x > 0, x, slope * x)),
    Tanh=lambda: Function(numpy.tanh), Sigmoid=lambda: Function(sigmoid), SiLU=lambda: Function(lambda x: x * sigmoid(x)), GELU=gelu,
    Softplus=lambda: Function(lambda x: numpy.log1p(numpy.exp(x))), Identity=lambda: Function(lambda x: x),
    ELU=lambda alpha: Function(lambda x: numpy.where(x > 0, x, alpha * (numpy.exp(x) - 1))), PReLU=PReLU,
    ZeroPad2d=elsewhere_constant, ConstantPad2d=elsewhere_constant, Parameter=lambda t: t,
)  # fmt: skip


def run_lines(lines: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the lines define, with these modules in the place of torch.nn."""
    torch: Any = types.ModuleType("torch")
    torch.nn, torch.zeros, torch.arange = NN, zeros, lambda n, device=None: as_tensor(numpy.arange(n))
    torch.cat = lambda parts, dim: as_tensor(numpy.concatenate(parts, dim))
    files: Any = types.ModuleType("safetensors.torch")
    files.load_file = lambda path: checkpoint.load(path)[0]
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", files)
    names: dict[str, Any] = {}
    exec(lines, names)
    return names
