"""tinygen: a small deep-learning framework for generative models, from scratch in Python.

Every function of `functional` is here, as in `tinygen.abs`, and those of one tensor are its methods
too; layers are in `tinygen.nn`, optimisers in `tinygen.optim`.
"""

from typing import TYPE_CHECKING, Any

from tinygen import functional, nn, optim
from tinygen.backend import manual_seed, random_state, set_random_state
from tinygen.engine.anomaly import detect_anomaly
from tinygen.engine.arguments import checked as _checked
from tinygen.engine.function import Function
from tinygen.engine.fused import Fused
from tinygen.engine.grad import grad
from tinygen.engine.listeners import Listener, listening
from tinygen.engine.mode import is_recording, no_grad
from tinygen.engine.tensor import Tensor
from tinygen.functional import *  # noqa: F403
from tinygen.inspection.graph import graph
from tinygen.inspection.profile import profile
from tinygen.saving import checkpoint as _checkpoint
from tinygen.version import __version__

save, load = _checked(_checkpoint.save), _checked(_checkpoint.load)

if TYPE_CHECKING:
    from tinygen.commands.loaded import load_run


def __getattr__(name: str) -> Any:
    """`load_run`, which is imported when first asked for: it is above most of tinygen."""
    if name == "load_run":
        from tinygen.commands.loaded import load_run

        return load_run
    raise AttributeError(f"module 'tinygen' has no attribute {name!r}")
