"""Clipping of gradients."""

import math
from collections.abc import Iterable

from tinygen import backend
from tinygen.engine.tensor import Tensor
from tinygen.optim.optimizer import gradients, listed, store


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale the gradients of all parameters so that their common norm is at most max_norm.

    Returns the norm from before, and so waits for a GPU. Frozen parameters are left out. Raises
    ValueError where max_norm is not positive and where no parameter has a gradient.
    """
    if not isinstance(max_norm, int | float) or not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be positive, got {max_norm!r}")
    found = gradients(listed(parameters, "clip_grad_norm"), "clip_grad_norm")
    if not found:
        raise ValueError("clip_grad_norm: no parameter has a gradient")
    norm = math.sqrt(sum(backend.floats((g.data.astype("float64") ** 2).sum() for _, _, g in found)))
    if norm > max_norm:
        store([p for _, p, _ in found], [g.data * (max_norm / norm) for _, _, g in found])
    return norm


def clip_grad_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Move each element of the gradients to the nearest number from -limit to limit.

    Frozen parameters are left out. Raises ValueError where limit is not positive and where no
    parameter has a gradient.
    """
    if not isinstance(limit, int | float) or not limit > 0:
        raise ValueError(f"clip_grad_value: limit must be positive, got {limit!r}")
    found = gradients(listed(parameters, "clip_grad_value"), "clip_grad_value")
    if not found:
        raise ValueError("clip_grad_value: no parameter has a gradient")
    store([p for _, p, _ in found], [g.data.clip(-limit, limit) for _, _, g in found])
