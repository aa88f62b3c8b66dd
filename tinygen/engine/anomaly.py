"""The search for the first value that is not finite."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygen.backend import Array, array_module
from tinygen.engine import errors
from tinygen.engine.function import Function
from tinygen.engine.listeners import Event, Listener, listening, notes
from tinygen.engine.tensor import Tensor


def detect_anomaly() -> listening:
    """Within, the first output or gradient that is NaN or infinite raises FloatingPointError.

    The message names the function, its shapes, and the line outside tinygen that applied it. Slow: every
    array is looked at. Used as `no_grad` is, as a block or as a decorator.
    """
    return listening(_Anomalies())


class _Anomalies(Listener):
    def forward(self, node: Function, inputs: Sequence[Any]) -> Event:
        notes(node)[_Anomalies] = _users_line()
        y = yield
        _expect_finite(y, "output", node, inputs)

    def backward(self, node: Function, g: Tensor, y: Tensor, inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        try:
            gradients = yield
        except FloatingPointError as error:  # from a function within this backward: what the user wrote is this node
            raise _not_finite("gradient", node, inputs) from error
        for gx, need in zip(gradients, needs, strict=False):
            if need and gx is not None:
                _expect_finite(gx.data, "gradient", node, inputs)


def _expect_finite(a: Array, what: str, node: Function, inputs: Sequence[Any]) -> None:
    if not bool(array_module(a).isfinite(a).all()):
        raise _not_finite(what, node, inputs)


def _not_finite(what: str, node: Function, inputs: Sequence[Any]) -> FloatingPointError:
    line = notes(node).get(_Anomalies, "a line not recorded")
    return FloatingPointError(f"{errors.name(node)}: {what} is not finite; arguments: {errors.listed(inputs)}; applied at {line}")


def _users_line() -> str:
    """The innermost line of the call stack that lies outside this package."""
    here = Path(__file__).parent.parent
    frame = next(f for f in reversed(traceback.extract_stack()) if here not in Path(f.filename).parents)
    return f"{frame.filename}:{frame.lineno}: {frame.line}"
