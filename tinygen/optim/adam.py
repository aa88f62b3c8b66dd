"""Adam, and Adam with decoupled weight decay."""

from collections.abc import Iterable

from tinygen_kernels import for_array

from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.optim.optimizer import Optimizer


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m^ / (sqrt(v^) + eps), m^ = m / (1 - b1^t), v^ = v / (1 - b2^t).

    Kingma & Ba, 2015. The custom for GANs is lr 2e-4 and betas (0.5, 0.999).
    """

    slots = ("m", "v")
    settings = ("betas", "eps", "weight_decay")
    weight_decay = 0.0

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"{type(self).__name__}: betas must be two numbers, got {betas!r}")
        for beta in betas:
            self._expect("a beta", beta, below=1)
        self._expect("eps", eps)
        self.betas, self.eps = betas, eps

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array) -> None:  # type: ignore[override]
        for_array(p, g).adam(p, g, m, v, self.lr, *self.betas, self.eps, t, self.weight_decay)


class AdamW(Adam):
    """Adam, with p -= lr weight_decay p beside it instead of a penalty in the loss (Loshchilov & Hutter, 2019)."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        self._expect("weight_decay", weight_decay)
        self.weight_decay = weight_decay
