"""Is my gradient right? Checks, and hypothesis strategies that draw what to check them on."""

from typing import Any

from tinygen.testing.gradcheck import adjoint_check, gradcheck, gradgradcheck, random_tensor
from tinygen.testing.module_check import gradcheck_module

_STRATEGIES = ("broadcastable_shapes", "images", "labels", "sequences", "shapes", "tensors")
__all__ = [*_STRATEGIES, "adjoint_check", "gradcheck", "gradcheck_module", "gradgradcheck", "random_tensor"]


def __getattr__(name: str) -> Any:
    """Import the strategies when they are first used: they need hypothesis, the checks do not."""
    if name not in _STRATEGIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tinygen.testing import strategies

    return getattr(strategies, name)
