"""All optimisers in one table, each beside its formula: a generator of the points it visits."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
from numpy import ndarray

from tinygen import Tensor, optim, tensor
from tinygen.backend import to_device
from tinygen.optim import Optimizer

Gradient = Callable[[ndarray], ndarray]


def momentum(x: ndarray, gradient: Gradient, lr: float = 1e-2, momentum: float = 0.0) -> Iterator[ndarray]:
    """Sutskever et al., 2013, equations 1 and 2."""
    v = numpy.zeros_like(x)
    while True:
        v = momentum * v - lr * gradient(x)
        x = x + v
        yield x


def nesterov(x: ndarray, gradient: Gradient, lr: float, momentum: float, nesterov: bool) -> Iterator[ndarray]:
    """Sutskever et al., 2013, equations 3 and 4. The parameter of a framework is the point ahead, where the gradient is taken."""
    v = numpy.zeros_like(x)
    while True:
        v = momentum * v - lr * gradient(x + momentum * v)
        x = x + v
        yield x + momentum * v


def adam(
    x: ndarray,
    gradient: Gradient,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Iterator[ndarray]:
    """Kingma & Ba, 2015, algorithm 1; with weight_decay Loshchilov & Hutter, 2019, algorithm 2, line 12, lambda = lr weight_decay."""
    m, v = numpy.zeros_like(x), numpy.zeros_like(x)
    for t in itertools.count(1):
        g = gradient(x)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        x = x - (lr * m_hat / (numpy.sqrt(v_hat) + eps) + lr * weight_decay * x)
        yield x


def adamw(x: ndarray, gradient: Gradient, weight_decay: float = 1e-2, **options: Any) -> Iterator[ndarray]:
    return adam(x, gradient, weight_decay=weight_decay, **options)


def rmsprop(x: ndarray, gradient: Gradient, lr: float = 1e-3, decay: float = 0.99, eps: float = 1e-8) -> Iterator[ndarray]:
    """Tieleman & Hinton, 2012, slide 29."""
    mean_square = numpy.zeros_like(x)
    while True:
        g = gradient(x)
        mean_square = decay * mean_square + (1 - decay) * g**2
        x = x - lr * g / (numpy.sqrt(mean_square) + eps)
        yield x


@dataclass(frozen=True)
class Rule:
    """One row: an optimiser with its options, and its formula."""

    optimizer: Callable[..., Optimizer]
    formula: Callable[..., Iterator[ndarray]]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.optimizer.__name__, *self.options])

    def __call__(self, *parameters: Tensor) -> Optimizer:
        return self.optimizer(parameters, **self.options)


# A large eps shows where it stands in the formula; without options, the defaults show.
RULES = [
    Rule(optim.SGD, momentum),
    Rule(optim.SGD, momentum, {"lr": 0.03, "momentum": 0.9}),
    Rule(optim.SGD, nesterov, {"lr": 0.03, "momentum": 0.9, "nesterov": True}),
    Rule(optim.Adam, adam),
    Rule(optim.Adam, adam, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 0.1}),
    Rule(optim.AdamW, adamw),
    Rule(optim.AdamW, adamw, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.3}),
    Rule(optim.RMSprop, rmsprop),
    Rule(optim.RMSprop, rmsprop, {"lr": 0.05, "decay": 0.8, "eps": 0.1}),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=str)


def slope(x: ndarray) -> ndarray:
    """The gradient of a function that is curved, and steeper in some places than in others."""
    return 2 * x + numpy.cos(3 * x)


def leaf(*values: float, dtype: str = "float32") -> Tensor:
    return tensor(values, dtype, requires_grad=True)


def descend(optimizer: Optimizer, steps: int) -> None:
    for _ in range(steps):
        for p in optimizer.parameters:
            p.grad = Tensor(to_device(slope(p.numpy()), p.device))
        optimizer.step()


def points(optimizer: Optimizer) -> list[bytes]:
    return [p.numpy().tobytes() for p in optimizer.parameters]
