"""Stochastic gradient descent."""

from collections.abc import Iterable

from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.schedule import Schedule


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al., 2013).

        v = momentum v + g,    p -= lr v,    or with Nesterov's momentum p -= lr (g + momentum v).

    Raises ValueError for a momentum that is not from 0 to below 1, and for nesterov without momentum.
    """

    slots = ("velocity",)
    settings = ("momentum", "nesterov")

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-2, momentum: float = 0.0, nesterov: bool = False) -> None:
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(parameters, lr)
        self._expect("momentum", momentum, below=1)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, p: Array, g: Array, t: int, velocity: Array) -> None:  # type: ignore[override]
        velocity *= self.momentum
        velocity += g
        p -= self.numbers(self.rate, t, p) * (g + self.momentum * velocity if self.nesterov else velocity)
