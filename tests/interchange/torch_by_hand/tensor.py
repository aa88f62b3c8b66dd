"""PyTorch's tensors as arrays of NumPy, and the functions that the modules are written from."""

from typing import Any

import numpy
from onnx import helper
from onnx.reference import ReferenceEvaluator


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

    def sqrt(self) -> Any:
        return numpy.sqrt(self)

    def var(self, dim: int, correction: int) -> Any:
        return numpy.ndarray.var(self, dim, ddof=correction)

    def mean(self, *arguments: Any, **options: Any) -> Any:
        return as_tensor(numpy.ndarray.mean(self, *arguments, **options))

    def narrow(self, dim: int, start: int, length: int) -> Any:
        return self.take(range(start, start + length), dim)

    def expand_as(self, other: Any) -> Any:
        return numpy.broadcast_to(self, other.shape)

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
