"""How a program asks for gradients: `tinygen.grad` returns them, `Tensor.backward()` stores them in the leaves.

<a, b> stands for the sum of the products of the elements of a and b, which have one shape.
"""

from collections.abc import Callable, Sequence
from typing import Any, overload

from tinygen.backend import array_module
from tinygen.engine import errors
from tinygen.engine.arguments import checked
from tinygen.engine.backward import backpropagate
from tinygen.engine.tensor import Tensor, Tensors, tensor_method


@overload
def grad(outputs: Tensors, inputs: Tensor, grad_outputs: Any = None, create_graph: bool = False, retain_graph: bool = False) -> Tensor: ...
@overload
def grad(
    outputs: Tensors, inputs: Sequence[Tensor], grad_outputs: Any = None, create_graph: bool = False, retain_graph: bool = False
) -> list[Tensor]: ...
@checked
def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensors | None = None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> Tensor | list[Tensor]:
    """The gradients of sum_i <outputs[i], grad_outputs[i]> to the inputs.

    One Tensor for one input, a list for a sequence. `grad_outputs` has the outputs' shapes; it may be left
    out for outputs of one element. Only what lies between the outputs and the inputs is computed. The
    gradient to an input that the outputs do not depend on is zero.

    The nodes that the walk passes are freed, and can be differentiated once. `retain_graph` keeps
    them. `create_graph` keeps them, too, and records the walk itself, so that the gradients can be
    differentiated.

    Raises ValueError for an input that requires no gradient, a grad_output that is missing or unlike its
    output, a graph that was freed, and a parameter that was changed after the graph had read it.
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gs: Any = [None] * len(ys) if grad_outputs is None else grad_outputs if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    found = backpropagate(ys, _first_gradients(ys, gs, xs), xs, create_graph, retain_graph, frozenset())
    filled = [Tensor(array_module(x.data).zeros_like(x.data)) if g is None else g for x, g in zip(xs, found, strict=True)]
    return filled[0] if isinstance(inputs, Tensor) else filled


@tensor_method("backward")
@checked
def backward(
    y: Tensor,
    grad_output: Tensor | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
    retain_graph: bool = False,
) -> None:
    """Add the gradients of <y, grad_output> to the `grad` of every leaf that y depends on, or only of `inputs`.

    `inputs` is one tensor or several. Gradients that lead to none of them are not computed: a generator's
    step skips the discriminator's weight gradients. `create_graph` and `retain_graph` are those of `grad`.

    With `create_graph` each leaf's `grad` refers to a graph, and the graph to the leaf. Such a cycle is
    freed only when Python's garbage collector runs. Set `grad` to None after use, or call `tinygen.grad`.
    """
    xs = leaves(y) if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(dict.fromkeys(inputs))
    first = _first_gradients([y], [grad_output], xs)
    taken = {id(_memory(first[0].data))}
    for x, g in zip(xs, backpropagate([y], first, xs, create_graph, retain_graph, frozenset()), strict=True):
        if g is not None:
            x.grad = _own(g, taken) if x.grad is None else x.grad + g


def gradients_in_order(y: Tensor, xs: Sequence[Tensor], passed: Callable[[dict[Tensor, Tensor]], object]) -> list[Tensor | None]:
    """The gradients of y, which has one element, to the leaves xs; None where y does not depend on one.

    `passed` is called after each function of the walk, with the gradients that are complete by now.
    """
    return backpropagate([y], _first_gradients([y], [None], xs), xs, False, False, frozenset(), passed)


def _first_gradients(ys: Sequence[Tensor], gs: Sequence[Tensor | None], xs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of the outputs, 1 for an output of one element. Raises ValueError for a request that makes no sense."""
    if len(gs) != len(ys):
        raise ValueError(f"grad: {len(ys)} outputs but {len(gs)} grad_outputs")
    first = []
    for y, g in zip(ys, gs, strict=True):
        if g is None and y.size == 1:
            g = Tensor(array_module(y.data).ones_like(y.data))
        if not isinstance(g, Tensor) or (g.shape, g.dtype, g.device) != (y.shape, y.dtype, y.device):
            raise errors.wrong_grad_output(g, y)
        first.append(g)
    if not any(y.requires_grad for y in ys):
        raise ValueError(
            "there is no gradient: the output does not depend on any tensor that requires gradients; "
            "make one with requires_grad=True, and compute the output outside of no_grad()"
        )
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise ValueError(f"input {i} of shape {x.shape} does not require gradients; make it with requires_grad=True")
    return first


def leaves(y: Tensor) -> list[Tensor]:
    """The leaves that require gradients behind y."""
    seen, stack = dict[Tensor, None](), [y]
    while stack:
        t = stack.pop()
        if t.requires_grad and t not in seen:
            seen[t] = None
            if t.node is not None and type(t.node.inputs) is tuple:
                stack += [x for x in t.node.inputs if isinstance(x, Tensor)]
    return [t for t in seen if t.node is None]


def _memory(a: Any) -> Any:
    """The array whose memory a is a view of."""
    while getattr(a, "base", None) is not None:
        a = a.base
    return a


def _own(g: Tensor, taken: set[int]) -> Tensor:
    """g, for a leaf to keep and change in place.

    Its array is copied if another leaf has it, if it repeats elements (a broadcast view), and if it
    is read-only.
    """
    a = g.data
    memory = id(_memory(a))
    if memory in taken or 0 in a.strides or not getattr(a.flags, "writeable", True):
        g = Tensor(a.copy(), g.requires_grad, g.node)
    taken.add(memory)
    return g
