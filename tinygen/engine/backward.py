"""Reverse-mode automatic differentiation, to any order.

`grad` is the one primitive: it walks the graph from the outputs back to the inputs, newest node first, and adds up what arrives at
each tensor. `Tensor.backward()` is the same walk, storing into the leaves' `grad`.
"""

from collections.abc import Sequence, Set
from typing import Any, overload

import numpy

from tinygen.backend import array_module
from tinygen.engine import errors, mode
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor, Tensors, tensor_method


@overload
def grad(outputs: Tensors, inputs: Tensor, grad_outputs: Any = None, create_graph: bool = False) -> Tensor: ...
@overload
def grad(outputs: Tensors, inputs: Sequence[Tensor], grad_outputs: Any = None, create_graph: bool = False) -> list[Tensor]: ...
def grad(outputs: Tensors, inputs: Tensors, grad_outputs: "Tensors | None" = None, create_graph: bool = False) -> Tensor | list[Tensor]:
    """The gradients of sum_i <outputs[i], grad_outputs[i]> to the inputs.

    One Tensor for one input, a list for a sequence. `grad_outputs` has the outputs' shapes; it may be left out for outputs of one
    element. With `create_graph` the gradients can be differentiated again and the graph is kept; otherwise the nodes that the walk
    passes are freed. Only what lies between the outputs and the inputs is computed. The gradient to an input that the outputs do not
    depend on is zero.

    Raises ValueError for an input that requires no gradient, a grad_output that is missing or unlike its output, and a freed graph.
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gs: Any = [None] * len(ys) if grad_outputs is None else grad_outputs if isinstance(grad_outputs, list | tuple) else [grad_outputs]
    found = backpropagate(ys, _first_gradients(ys, gs, xs), xs, create_graph)
    filled = [Tensor(array_module(x.data).zeros_like(x.data)) if g is None else g for x, g in zip(xs, found, strict=True)]
    return filled[0] if isinstance(inputs, Tensor) else filled


@tensor_method("backward")
def backward(y: Tensor, grad_output: Tensor | None = None, create_graph: bool = False, inputs: "Tensors | None" = None) -> None:
    """Add the gradients of <y, grad_output> to the `grad` of every leaf that y depends on, or of `inputs` (one or more) alone.

    With `inputs`, what leads to no input is not computed: a generator's step skips the discriminator's weight gradients.
    """
    xs = leaves(y) if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(dict.fromkeys(inputs))
    for x, g in zip(xs, backpropagate([y], _first_gradients([y], [grad_output], xs), xs, create_graph), strict=True):
        if g is not None:
            x.grad = g if x.grad is None else x.grad + g


def backpropagate(
    outputs: Sequence[Tensor], gs: Sequence[Tensor], inputs: Sequence[Tensor], create_graph: bool, stop: Set[Tensor] = frozenset()
) -> list[Tensor | None]:
    """The gradients that reach the inputs, None where none does. The walk goes no further back than `stop`."""
    wanted = set(inputs)
    pending: dict[Tensor, Tensor] = {}
    sums: set[int] = set()  # ids of those of pending whose gradients are sums that were made here, and can be added to in place
    for y, g in zip(outputs, gs, strict=True):
        pending[y] = pending[y] + g if y in pending else g
    order, needs = _path(outputs, wanted, stop)
    with mode.switched("recording", create_graph):
        while order:
            y, needed = order.pop(), needs.pop()
            gradient = pending.get(y) if y in wanted else pending.pop(y, None)
            if gradient is not None:
                _backpropagate_through(gradient, y, needed, pending, sums)
                if not create_graph:
                    y.node.inputs = None
    return [pending.get(x) for x in inputs]


def _path(outputs: Sequence[Tensor], wanted: Set[Tensor], stop: Set[Tensor]) -> tuple[list[Any], list[list[bool]]]:
    """The computed tensors on the ways from the wanted ones to the outputs, oldest first; and of each, which of its inputs are so."""
    found, seen, stack = list[Any](), set(stop), list[Any](y for y in outputs if y.node is not None)
    while stack:
        t = stack.pop()
        if t in seen:
            continue
        seen.add(t)
        if t.node.inputs is None:
            raise ValueError(f"the graph behind {errors.name(t.node)} was freed by an earlier walk; keep it with create_graph=True")
        found.append(t)
        for x in t.node.inputs:
            if isinstance(x, Tensor) and x.node is not None:
                stack.append(x)
    found.sort(key=lambda t: t.node.number)  # what a tensor depends on is older
    order, needs, useful = list[Any](), list[list[bool]](), set(wanted)
    for t in found:
        needed = [x in useful for x in t.node.inputs]
        if True in needed:
            useful.add(t)
            order.append(t)
            needs.append(needed)
    return order, needs


def leaves(y: Tensor) -> list[Tensor]:
    """The leaves that require gradients behind y."""
    seen, stack = dict[Tensor, None](), [y]
    while stack:
        t = stack.pop()
        if t.requires_grad and t not in seen:
            seen[t] = None
            if t.node is not None:
                stack += [x for x in t.node.inputs or () if isinstance(x, Tensor)]
    return [t for t in seen if t.node is None]


def _backpropagate_through(g: Tensor, y: Any, needs: list[bool], pending: dict[Tensor, Tensor], sums: set[int]) -> None:
    """Add the gradients of the inputs of y's node, given the gradient of y, to those that are pending."""
    node = y.node
    node.needs = needs
    xs = node.inputs
    if node.add_to is not None and id(xs[0]) in sums:
        node.add_to(pending[xs[0]].data, g.data)
        return
    try:
        result = node.backward(g, y, *xs)
    except FloatingPointError as error:  # from a function within this backward: what the user wrote is this node
        raise errors.not_finite("gradient", node, xs) from error
    gradients = result if type(result) is tuple else (result,)
    if len(gradients) != len(xs):
        raise ValueError(f"{errors.name(node)}.backward gave {len(gradients)} gradients for {len(xs)} inputs")
    for x, need, gx in zip(xs, needs, gradients):  # noqa: B905  # strict costs time on the hottest path
        if not need or gx is None:
            continue
        if type(gx) is not Tensor:
            raise errors.wrong_gradient(node, gx, x)
        a, b = gx.data, x.data
        if not (a.shape == b.shape and a.dtype is b.dtype and type(a) is type(b) is numpy.ndarray):
            gx = _unbroadcast(gx, x, node)
            a = gx.data
        if mode.switches.detecting_anomalies:
            errors.expect_finite(a, "gradient", node, xs)
        before = pending.get(x)
        if before is None:
            pending[x] = gx
        elif id(x) in sums:
            before.data += a
        else:
            pending[x] = before + gx
            if not mode.switches.recording:
                sums.add(id(x))


def _first_gradients(ys: Sequence[Tensor], gs: Sequence[Tensor | None], xs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients that the walk from ys to xs starts with, 1 for an output of one element, once all that is asked makes sense."""
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
        raise ValueError("there is no gradient: the output does not depend on any tensor that requires gradients")
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise ValueError(f"input {i} of shape {x.shape} does not require gradients")
    return first


def _unbroadcast(g: Tensor, x: Tensor, node: Function) -> Tensor:
    """The gradient of x from its node, summed down to x's shape where x was broadcast; its dtype and device must be x's."""
    small, large = x.shape, g.shape
    if small != large and len(small) <= len(large) and all(s in (1, n) for s, n in zip(small[::-1], large[::-1], strict=False)):
        g = g.sum_to(small)
    if (g.shape, g.dtype, g.device) != (x.shape, x.dtype, x.device):
        raise errors.wrong_gradient(node, g, x)
    return g
