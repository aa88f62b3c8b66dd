"""What the engine says when something is wrong: one sentence that names the function and its arguments."""

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygen.backend import Array, array_module
from tinygen.engine.tensor import Tensor


def name(node: object) -> str:
    """The name of a node's function: "Mul" for a MulFunction."""
    return type(node).__name__.removesuffix("Function")


def listed(inputs: Sequence[Any]) -> str:
    """The inputs in words, for error messages."""
    return ", ".join(f"{x.dtype} {x.shape} on {x.device}" if isinstance(x, Tensor) else repr(x) for x in inputs)


def explained(node: object, error: Exception, inputs: Sequence[Any]) -> Exception:
    """The error of a forward, said in terms of the function and its arguments."""
    held = [getattr(node, field) for field in getattr(node, "__dataclass_fields__", ()) if hasattr(node, field)]
    arguments = [*(Tensor(value) for value in held if hasattr(value, "dtype")), *inputs]
    if len({x.device for x in arguments if isinstance(x, Tensor)}) > 1:
        return ValueError(f"{name(node)}: arguments on different devices: {listed(arguments)}; move them to one with .to(device)")
    kind = next(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))  # subclasses may take other arguments
    return kind(f"{name(node)}: {error}; arguments: {listed(inputs)}")


def no_tensor(node: object, inputs: Sequence[Any]) -> TypeError:
    return TypeError(f"{name(node)} takes at least one Tensor, got {listed(inputs)}; make one with tinygen.tensor(...)")


def applied_twice(node: object) -> ValueError:
    return ValueError(f"this {name(node)} has been applied before; an instance is one node of the graph, so make a new one each time")


def not_an_operand(node: object, x: Any) -> TypeError:
    what = f"an array of shape {x.shape}" if hasattr(x, "shape") else f"{type(x).__name__} {x!r}"
    return TypeError(f"{name(node)} takes Tensors and Python numbers, got {what}; make it a Tensor with tinygen.tensor(...)")


def mixed_dtypes(node: object, inputs: Sequence[Any], y: Array | None = None) -> TypeError:
    given = "" if y is None else f" give {y.dtype}"
    return TypeError(f"{name(node)}: arguments {listed(inputs)}{given}; all of them and the result must have one floating dtype")


def wrong_gradient(node: object, g: Any, x: Tensor) -> ValueError:
    what = f"a gradient {listed([g])}" if isinstance(g, Tensor) else f"a {type(g).__name__}, not a Tensor,"
    return ValueError(f"{name(node)}.backward gave {what} for an input {listed([x])}")


def wrong_grad_output(g: Any, y: Tensor) -> ValueError:
    if g is None:
        return ValueError(
            f"the gradient of an output of shape {y.shape} needs a grad_output of that shape; only one element can do without"
        )
    what = listed([g]) if isinstance(g, Tensor) else f"a {type(g).__name__}, not a Tensor"
    return ValueError(f"grad_output is {what}, but its output is {listed([y])}")


def not_finite(what: str, node: object, inputs: Sequence[Any]) -> FloatingPointError:
    line = getattr(node, "line", "a line not recorded")
    return FloatingPointError(f"{name(node)}: {what} is not finite; arguments: {listed(inputs)}; applied at {line}")


def expect_finite(a: Array, what: str, node: object, inputs: Sequence[Any]) -> None:
    if not bool(array_module(a).isfinite(a).all()):
        raise not_finite(what, node, inputs)


def users_line() -> str:
    """The innermost line of the call stack that lies outside this package."""
    here = Path(__file__).parent.parent
    frame = next(f for f in reversed(traceback.extract_stack()) if here not in Path(f.filename).parents)
    return f"{frame.filename}:{frame.lineno}: {frame.line}"
