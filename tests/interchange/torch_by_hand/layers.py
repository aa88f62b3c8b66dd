"""The modules with parameters, but for those of sequences."""

from typing import Any

import numpy

from torch_by_hand.module import Module
from torch_by_hand.stateless import pad2d
from torch_by_hand.tensor import onnx, pair, zeros


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
