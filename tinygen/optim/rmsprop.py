"""RMSprop."""

from collections.abc import Iterable

from tinygen.backend import Array, array_module
from tinygen.engine.tensor import Tensor
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.schedule import Schedule


class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2; p -= lr g / (sqrt(v) + eps) (Tieleman & Hinton, 2012).

    Raises ValueError for a decay that is not from 0 to below 1, and for a negative eps.
    """

    slots = ("v",)
    settings = ("decay", "eps")

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-3, decay: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(parameters, lr)
        self._expect("decay", decay, below=1)
        self._expect("eps", eps)
        self.decay, self.eps = decay, eps

    def update(self, p: Array, g: Array, t: int, v: Array) -> None:  # type: ignore[override]
        v *= self.decay
        v += (1 - self.decay) * (g * g)
        p -= self.numbers(self.rate, t, p) * g / (array_module(v).sqrt(v) + self.eps)
