"""Products of matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from tinygen_kernels import for_array

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.fused import Fused
from tinygen.engine.mode import is_recording
from tinygen.engine.tensor import Shape, Tensor, tensor_method
from tinygen.functional.activation import LeakyReLUGradientFunction, leaky_relu
from tinygen.functional.shape import reshape, swapaxes

# From so many multiply-adds on, OpenBLAS splits a product among threads, and their number changes
# its last bits.
_MANY = 1 << 18


class MatMulFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == b.dtype.kind == "f":
            if a.ndim == b.ndim == 2:
                return for_array(a, b).matmul(a, b)
            if not isinstance(a, numpy.ndarray) or a.shape[-2] * a.shape[-1] * b.shape[-1] >= _MANY:
                return for_array(a, b).matmul(*_stacked(a, b))
        return array_module(a).matmul(a, b)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        to_a, to_b = needs
        return _summed(g @ swapaxes(b, -1, -2), a.shape) if to_a else None, _summed(swapaxes(a, -1, -2) @ g, b.shape) if to_b else None


@dataclass(slots=True, eq=False)
class DenseFunction(Fused):
    """A product, a bias and a leaky ReLU in one pass. The gradient passes the latter by the sign of the result."""

    negative_slope: float

    def composite(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        z = matmul(x, weight) if bias is None else matmul(x, weight) + bias
        return z if self.negative_slope == 1 else leaky_relu(z, self.negative_slope)

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        return for_array(x, weight, bias).matmul(x, weight, bias, self.negative_slope)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], x: Tensor, weight: Tensor, bias: Any) -> tuple[Tensor | None, ...]:
        if self.negative_slope == 1 or is_recording() or not needs[2]:
            g_z = g if self.negative_slope == 1 else LeakyReLUGradientFunction(y.data, self.negative_slope)(g)
            return (*MatMulFunction().backward(g_z, y, needs[:2], x, weight), g_z.sum(axis=0) if needs[2] else None)
        g_z, to_bias = map(Tensor, for_array(g.data, y.data).bias_leaky_relu_backward(g.data, y.data, self.negative_slope))
        return (*MatMulFunction().backward(g_z, y, needs[:2], x, weight), to_bias)


def _summed(g: Tensor, shape: Shape) -> Tensor:
    """g, summed over the axes along which a stack of matrices of this shape was broadcast."""
    return g if g.shape == shape else g.sum_to(shape)


def _stacked(a: Array, b: Array) -> tuple[Array, Array]:
    """Both with the leading axes to which they broadcast."""
    xp, stack = array_module(a), numpy.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return xp.broadcast_to(a, stack + a.shape[-2:]), xp.broadcast_to(b, stack + b.shape[-2:])


@tensor_method("__matmul__")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices, (..., m, k) @ (..., k, n) -> (..., m, n). The leading axes broadcast.

    A vector is a row on the left and a column on the right. Raises ValueError where the inner sizes
    differ or an operand has no axes, and TypeError where one is not a Tensor.
    """
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise TypeError(f"matmul takes two Tensors, got {type(a).__name__} and {type(b).__name__}; make one with tinygen.tensor(...)")
    if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: the last axis of the first and the last but one of the second must agree")
    if a.ndim == 1:
        y = matmul(reshape(a, (1, -1)), b)
        return reshape(y, (*y.shape[:-2], y.shape[-1])) if b.ndim > 1 else reshape(y, y.shape[1:])
    if b.ndim == 1:
        return reshape(matmul(a, reshape(b, (-1, 1))), a.shape[:-1])
    return MatMulFunction()(a, b)


def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None, negative_slope: float = 1.0) -> Tensor:
    """x @ weight + bias: (..., in) x (in, out) -> (..., out).

    A leaky ReLU of `negative_slope` follows in the same pass over memory: 0 gives a ReLU, and 1 none.
    Raises ValueError where x does not end in the weight's `in` features, bias is not (out,) or
    negative_slope is negative.
    """
    if not negative_slope >= 0:
        raise ValueError(f"dense: negative_slope must be at least 0, got {negative_slope}")
    if weight.ndim != 2:
        raise ValueError(f"dense: weight must be (in, out), got {weight.shape}")
    if x.shape[-1:] != weight.shape[:1]:
        cure = "; flatten it first" if math.prod(x.shape[1:]) == weight.shape[0] else ""
        raise ValueError(f"dense: x {x.shape} must end in the {weight.shape[0]} features that weight {weight.shape} (in, out) takes{cure}")
    if bias is not None and bias.shape != weight.shape[1:]:
        raise ValueError(f"dense: bias has shape {bias.shape} but weight {weight.shape} gives {weight.shape[1]} features")
    rows = x if x.ndim == 2 else reshape(x, (-1, weight.shape[0]))
    y = matmul(rows, weight) if bias is None and negative_slope == 1 else DenseFunction(negative_slope)(rows, weight, bias)
    return y if x.ndim == 2 else reshape(y, (*x.shape[:-1], weight.shape[1]))
