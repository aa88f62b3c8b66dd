"""The modules without parameters and buffers: pooling, padding, resizing and activations."""

from typing import Any

import numpy

from torch_by_hand.module import Function, Module
from torch_by_hand.tensor import as_tensor, onnx, pair


class Pool(Module):
    operator = "MaxPool"

    def __init__(self, kernel: Any, stride: Any, padding: Any = 0, **options: Any) -> None:
        options = {"count_include_pad": int(options["count_include_pad"])} if options else {}
        self.options = {"kernel_shape": pair(kernel), "strides": pair(stride), "pads": pair(padding) * 2, **options}

    def forward(self, x: Any) -> Any:
        return onnx(self.operator, x, **self.options)


class AvgPool2d(Pool):
    operator = "AveragePool"


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
