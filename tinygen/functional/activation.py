"""Activations: the nonlinear functions of networks, element by element."""

from dataclasses import dataclass

from tinygen import backend
from tinygen.autograd import Function
from tinygen.backend import Array, array_module
from tinygen.functional.elementwise import exp, where
from tinygen.functional.reduce import logsumexp
from tinygen.tensor import Tensor


@dataclass(slots=True, eq=False)
class LeakyReLU(Function):
    negative_slope: float

    def forward(self, x: Array) -> Array:
        return array_module(x).where(x > 0, x, self.negative_slope * x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return where(x.data > 0, g, g * self.negative_slope)


class Tanh(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (1.0 - y * y)


class Sigmoid(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return 0.5 * (1.0 + array_module(x).tanh(0.5 * x))  # never overflows, unlike 1 / (1 + exp(-x))

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (y * (1.0 - y))


class Softplus(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * sigmoid(x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0); the gradient at 0 is 0."""
    return LeakyReLU(0.0)(x)


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x where x > 0, negative_slope x elsewhere; the gradient at 0 is negative_slope (Maas et al., 2013)."""
    return LeakyReLU(negative_slope)(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, from -1 to 1."""
    return Tanh()(x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), from 0 to 1."""
    return Sigmoid()(x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), which is -log sigmoid(-x). Never overflows."""
    return Softplus()(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x_i / sum_j e^x_j along the axis."""
    return exp(log_softmax(x, axis))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x_i - log sum_j e^x_j along the axis."""
    return x - logsumexp(x, axis, keepdims=True)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element set to 0 with probability p, the others divided by 1 - p (Srivastava et al., 2014); x itself outside training.

    The mask is drawn from the one random stream. Raises ValueError unless 0 <= p < 1.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
    if not training or p == 0:
        return x
    keep = backend.generator().random(x.shape, "float32") >= p
    return x * Tensor(backend.to_device((keep / (1.0 - p)).astype(x.dtype), x.device))
