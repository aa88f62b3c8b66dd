"""Activations: the nonlinear functions of networks, element by element."""

import math
from dataclasses import dataclass, field

from tinygen_kernels import for_array

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.fused import Fused
from tinygen.engine.mode import is_recording
from tinygen.engine.tensor import Tensor, tensor_method
from tinygen.functional.reduce import logsumexp, total
from tinygen.functional.selection import where


@dataclass(slots=True, eq=False)
class LeakyReLUFunction(Function):
    negative_slope: float

    def forward(self, x: Array) -> Array:
        return for_array(x).leaky_relu(x, self.negative_slope)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return LeakyReLUGradientFunction(y.data, self.negative_slope)(g)


@dataclass(slots=True, eq=False)
class LeakyReLUGradientFunction(Function):
    """g, but negative_slope g where y <= 0. Linear in g, and its own adjoint."""

    y: Array
    negative_slope: float

    def forward(self, g: Array) -> Array:
        return for_array(g, self.y).leaky_relu_backward(g, self.y, self.negative_slope)

    def backward(self, g: Tensor, g_x: Tensor, g_y: Tensor) -> Tensor:
        return LeakyReLUGradientFunction(self.y, self.negative_slope)(g)


@dataclass(slots=True, eq=False)
class ELUFunction(Function):
    alpha: float

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.minimum(x, 0.0)))

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * where(x > 0, 1.0, y + self.alpha)


class TanhFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (1.0 - y * y) if is_recording() else Tensor(for_array(g.data, y.data).tanh_backward(g.data, y.data))


class SigmoidFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return for_array(x).sigmoid(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (y * (1.0 - y))


@dataclass(slots=True, eq=False)
class SiLUFunction(Fused):
    """x sigmoid(x), whose gradient takes four passes over memory instead of seven."""

    sigmoid: Array = field(init=False, repr=False)

    def composite(self, x: Tensor) -> Tensor:
        return x * sigmoid(x)

    def forward(self, x: Array) -> Array:
        self.sigmoid = for_array(x).sigmoid(x)
        return x * self.sigmoid

    def kernel_backward(self, g: Array, y: Array, x: Array) -> tuple[Array | None, ...]:
        slope = 1.0 - self.sigmoid
        slope *= y
        slope += self.sigmoid
        slope *= g
        return (slope,)


class SoftplusFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return for_array(x).softplus(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * sigmoid(x)


@dataclass(slots=True, eq=False)
class SoftmaxFunction(Function):
    axis: int

    def forward(self, x: Array) -> Array:
        e = array_module(x).exp(x - x.max(axis=self.axis, keepdims=True))
        return e / total(e, self.axis, keepdims=True)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        share = g * y
        return share - y * share.sum(axis=self.axis, keepdims=True)


@tensor_method("relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0), and NaN of NaN. The gradient at 0 is 0. Raises TypeError unless x is floating point."""
    return leaky_relu(x, 0.0)


@tensor_method("leaky_relu")
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x where x > 0, else negative_slope x (Maas et al., 2013). The gradient at 0 is negative_slope.

    Raises ValueError where negative_slope is negative, and TypeError where x is not floating point.
    """
    if not negative_slope >= 0:
        raise ValueError(f"leaky_relu: negative_slope must be at least 0, got {negative_slope}")
    return LeakyReLUFunction(negative_slope)(x)


@tensor_method("elu")
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (e^x - 1) (Clevert, Unterthiner & Hochreiter, 2016). The gradient at 0 is alpha."""
    return ELUFunction(alpha)(x)


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x where x > 0, else slope x, with a learned slope (He et al., 2015). The gradient at 0 is 0.

    x is (..., C), and slope (C,) or (1,). Raises ValueError where slope is of another shape.
    """
    if slope.shape not in ((1,), x.shape[-1:]):
        raise ValueError(f"prelu: slope must be (1,) or have the channels of x {x.shape}, got {slope.shape}")
    return relu(x) - slope * relu(-x)


@tensor_method("tanh")
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, from -1 to 1."""
    return TanhFunction()(x)


@tensor_method("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), from 0 to 1."""
    return SigmoidFunction()(x)


@tensor_method("softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), which is -log sigmoid(-x). Never overflows."""
    return SoftplusFunction()(x)


@tensor_method("silu")
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), also called swish (Hendrycks & Gimpel, 2016; Ramachandran, Zoph & Le, 2017)."""
    return SiLUFunction()(x)


@tensor_method("gelu")
def gelu(x: Tensor) -> Tensor:
    """x P(Z <= x) for a standard normal Z, by the tanh approximation (Hendrycks & Gimpel, 2016).

        x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

    It is written as x sigmoid(2 ...), the same number. The exact function, which needs erf, differs
    by at most 5e-4.
    """
    return x * sigmoid(x * (x * x * (0.044715 * 2.0 * math.sqrt(2.0 / math.pi)) + 2.0 * math.sqrt(2.0 / math.pi)))


@tensor_method("softmax")
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x_i / sum_j e^x_j along the axis; NaN where all x_j are -inf, which means no distribution."""
    return SoftmaxFunction(axis)(x)


@tensor_method("log_softmax")
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x_i - log sum_j e^x_j along the axis; NaN where all x_j are -inf, which means no distribution."""
    return x - logsumexp(x, axis, keepdims=True)
