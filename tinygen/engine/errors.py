"""The engine's error messages: one sentence that names the function and its arguments."""

import inspect
import traceback
from collections.abc import Sequence
from typing import Any

from tinygen.backend import Array
from tinygen.command_line import UsageError
from tinygen.engine.tensor import Tensor

_ARRAYS = "compute with array_module(x), as in array_module(x).exp(x)"


def name(node: object) -> str:
    """The name of a node's function: "Mul" for a MulFunction."""
    return type(node).__name__.removesuffix("Function")


def listed(inputs: Sequence[Any]) -> str:
    """The inputs in words, for error messages."""
    return ", ".join(f"{x.dtype} {x.shape} on {x.device}" if isinstance(x, Tensor) else repr(x) for x in inputs)


def explained(node: object, error: Exception, inputs: Sequence[Any]) -> Exception:
    """The error of a forward, said in terms of the function and its arguments. What the user can mend says enough itself."""
    if isinstance(error, UsageError):
        return error
    held = [getattr(node, field) for field in getattr(node, "__dataclass_fields__", ()) if hasattr(node, field)]
    arguments = [*(Tensor(value) for value in held if hasattr(value, "dtype")), *inputs]
    if len({x.device for x in arguments if isinstance(x, Tensor)}) > 1:
        return ValueError(f"{name(node)}: arguments on different devices: {listed(arguments)}; move them to one with .to(device)")
    kind = next(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))  # subclasses may take other arguments
    return kind(f"{name(node)}: {str(error).rstrip(' .')}; arguments: {listed(inputs)}")


def no_tensor(node: object, inputs: Sequence[Any]) -> TypeError:
    return TypeError(f"{name(node)} takes at least one Tensor, got {listed(inputs)}; make one with tinygen.tensor(...)")


def not_applied(node: object) -> TypeError:
    return TypeError(f"{name(node)} has no parameters; to apply it write {type(node).__name__}()(x), not {type(node).__name__}(x)")


def applied_twice(node: object) -> ValueError:
    return ValueError(f"this {name(node)} has been applied before; an instance is one node of the graph, so make a new one each time")


def not_an_operand(node: object, x: Any) -> TypeError:
    if hasattr(x, "shape") and (within := array_within_a_function(name(node), x)):
        return within
    what = f"an array of shape {x.shape}" if hasattr(x, "shape") else f"{type(x).__name__} {x!r}"
    return TypeError(f"{name(node)} takes Tensors and Python numbers, got {what}; make it a Tensor with tinygen.tensor(...)")


def array_within_a_function(name: str, x: Array) -> TypeError | None:
    """The error for an array where this function takes a Tensor, within a Function's forward or backward. None elsewhere."""
    within = _running_method()
    if within == "forward":
        return TypeError(f"forward takes and returns arrays, but {name} takes Tensors; {_ARRAYS}")
    if within == "backward":
        return TypeError(f"{name} takes Tensors, got an array of shape {x.shape}; in backward use tinygen's functions, not NumPy's")
    return None


def mixed_dtypes(node: object, inputs: Sequence[Any], y: Array | None = None) -> TypeError:
    given = "" if y is None else f" give {y.dtype}"
    rule = "all of them and the result must have one floating dtype; convert with .astype('float32')"
    return TypeError(f"{name(node)}: arguments {listed(inputs)}{given}; {rule}")


def wrong_gradient(node: object, g: Any, x: Tensor) -> ValueError:
    what = f"a gradient {listed([g])}" if isinstance(g, Tensor) else f"a {type(g).__name__}, not a Tensor,"
    cure = "; write it with tinygen's functions, not NumPy's" if hasattr(g, "dtype") and not isinstance(g, Tensor) else ""
    return ValueError(f"{name(node)}.backward gave {what} for an input {listed([x])}{cure}")


def wrong_grad_output(g: Any, y: Tensor) -> ValueError:
    if g is None:
        return ValueError(
            f"the gradient of an output of shape {y.shape} needs a grad_output of that shape; of its .mean() or .sum() it is 1"
        )
    what = listed([g]) if isinstance(g, Tensor) else f"a {type(g).__name__}, not a Tensor"
    return ValueError(f"grad_output is {what}, but its output is {listed([y])}")


def not_an_array(node: object, y: Any) -> TypeError:
    return TypeError(f"{name(node)}: forward gave a {type(y).__name__}, but it takes and returns arrays; {_ARRAYS}")


def misnamed_backward(node: Any, inputs: Sequence[Any]) -> TypeError | None:
    """The error for a backward whose signature does not fit its arguments; None if it fits."""
    try:
        inspect.signature(node.backward).bind("g", "y", *(["needs"] if node.selective else []), *inputs)
    except TypeError:
        xs = ", ".join(inspect.signature(node.forward).parameters)
        return TypeError(f"{name(node)}.backward takes g, y and the inputs, in this order: write def backward(self, g, y, {xs})")
    return None


def freed(node: object, failure: str) -> ValueError:
    if failure:
        return ValueError(f"the graph behind {name(node)} was freed by a backward that failed ({failure}); compute its output again")
    return ValueError(
        f"the graph behind {name(node)} was freed by an earlier backward; keep it there with retain_graph=True, "
        "or leave it out here with h.detach(), where h is what both have in common"
    )


def changed(node: object, x: Tensor) -> ValueError:
    return ValueError(
        f"the tensor of shape {x.shape} was changed by {x.changed_by} after {name(node)} had read it; "
        "differentiate before the change, or compute the output again"
    )


def _running_method() -> str | None:
    """ "forward" or "backward": the innermost method of a Function that is running in this thread."""
    for frame, _ in traceback.walk_stack(None):
        if frame.f_code.co_name in ("forward", "backward") and hasattr(frame.f_locals.get("self"), "selective"):
            return frame.f_code.co_name
    return None
