"""Clipping of gradients."""

import math
from collections.abc import Iterable

from tinygen import backend
from tinygen.engine.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale the gradients of all parameters so that their common norm is at most max_norm; returns the norm before, and so waits for a GPU.

    Raises ValueError where max_norm is not positive and where no parameter has a gradient.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be positive, got {max_norm}")
    gradients = [(p, p.grad) for p in parameters if p.grad is not None]
    if not gradients:
        raise ValueError("clip_grad_norm: no parameter has a gradient")
    norm = math.sqrt(sum(backend.floats((g.data.astype("float64") ** 2).sum() for _, g in gradients)))
    if norm > max_norm:
        for p, g in gradients:
            p.grad = Tensor(g.data * (max_norm / norm))
    return norm
