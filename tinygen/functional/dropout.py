"""Dropout: random factors that a seed stands for."""

from dataclasses import dataclass

import numpy
from tinygen_kernels import for_array

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor


@dataclass(slots=True, eq=False)
class DropoutFunction(Function):
    """x times random factors that the seed determines, not stored. Linear in x, and its own adjoint."""

    p: float
    seed: Array  # one integer, on the device of x

    def forward(self, x: Array) -> Array:
        shared = backend.shard()
        if shared is None:
            return for_array(x).dropout(x, self.p, self.seed)
        return for_array(x).dropout(x, self.p, self.seed, shared.before(len(x)) * (x.size // max(1, len(x))))

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return DropoutFunction(self.p, self.seed)(g)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element set to 0 with probability p, the others divided by 1 - p (Srivastava et al., 2014).

    Outside training it is x itself. One number from the random stream decides which elements stay.
    Raises ValueError unless 0 <= p < 1, and TypeError where x is not floating point.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
    if not training or p == 0:
        return x
    seed = backend.from_host(lambda: numpy.asarray(backend.generator().integers(2**63), numpy.uint64), x.device)
    return DropoutFunction(p, seed)(x)
