"""Adam, and Adam with decoupled weight decay."""

import math
from collections.abc import Iterable
from typing import Any

from tinygen_kernels import for_array

from tinygen.backend import Array, device_of
from tinygen.engine.tensor import Tensor
from tinygen.optim.optimizer import Move, Optimizer
from tinygen.optim.schedule import Schedule

Arrays = tuple[Array, ...]


class Adam(Optimizer):
    """Steps by running means of the gradient and of its square (Kingma & Ba, 2015).

        m = b1 m + (1 - b1) g,    v = b2 v + (1 - b2) g^2,
        p -= lr m' / (sqrt(v') + eps)    with m' = m / (1 - b1^t), v' = v / (1 - b2^t).

    For GANs lr 2e-4 and betas (0.5, 0.999) are usual. Raises ValueError for betas that are not two
    numbers from 0 to below 1, and for a negative eps.
    """

    slots = ("m", "v")
    settings = ("betas", "eps", "weight_decay")
    weight_decay = 0.0

    def __init__(
        self, parameters: Iterable[Tensor], lr: float | Schedule = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"{type(self).__name__}: betas must be two numbers, got {betas!r}")
        for beta in betas:
            self._expect("a beta", beta, below=1)
        self._expect("eps", eps)
        self.betas, self.eps = betas, eps

    def update_all(self, moves: list[Move]) -> None:
        """The parameters with the same constants move together: on a GPU, by one launch for up to eight of them."""
        groups: dict[Any, list[tuple[Array, ...]]] = {}
        for p, g, t, state in moves:
            groups.setdefault((t, p.dtype, device_of(p)), []).append((p, g, state["m"], state["v"]))
        for (t, *_), arrays in groups.items():
            p, g, m, v = zip(*arrays, strict=True)
            self.update(p, g, t, m, v)

    def update(self, p: Arrays, g: Arrays, t: int, m: Arrays, v: Arrays) -> None:  # type: ignore[override]
        for_array(p[0], *g).adam(p, g, m, v, self.numbers(self.constants, t, p[0]))

    def constants(self, t: int) -> tuple[float, ...]:
        """What the kernel computes step t with. With c = sqrt(1 - b2^t) the fraction is

            m' / (sqrt(v') + eps) = m c / (1 - b1^t) / (sqrt(v) + eps c),

        so the corrections of m and v cost nothing per element: they are in the rate and in eps.
        """
        (b1, b2), correction = self.betas, math.sqrt(1 - self.betas[1] ** t)
        return 1 - self.lr * self.weight_decay, b1, 1 - b1, b2, 1 - b2, self.lr * correction / (1 - b1**t), self.eps * correction


class AdamW(Adam):
    """Adam with decoupled weight decay: each step also does p -= lr weight_decay p (Loshchilov & Hutter, 2019).

    A penalty in the loss would be divided by sqrt(v) instead. Raises ValueError for a negative
    weight_decay.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        self._expect("weight_decay", weight_decay)
        self.weight_decay = weight_decay
