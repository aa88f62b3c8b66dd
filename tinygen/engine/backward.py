"""Reverse-mode automatic differentiation, to any order: the walk from outputs back to inputs.

It goes from node to node, the newest first, and adds up the gradients that arrive at each tensor.

Why the newest first? Let h = 2x, k = 3h and y = h + k. The gradient of h is the sum of 1, from y, and
3, from k. If the walk came to h before k, it would pass on the 1 alone, and x would get 2 instead of 8.
A node is newer than everything it depends on. So in the order from the newest to the oldest, which is a
topological order, each gradient is complete when the walk reaches it.
"""

from collections.abc import Callable, Sequence, Set
from operator import attrgetter
from typing import Any

import numpy

from tinygen.engine import errors
from tinygen.engine.listeners import announced, telling
from tinygen.engine.mode import switched, switches
from tinygen.engine.tensor import Tensor


class Freed:
    """Takes the place of the inputs of nodes that a walk has passed. `failure` says what stopped that walk, if anything."""

    failure = ""


def backpropagate(
    outputs: Sequence[Tensor],
    gs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    create_graph: bool,
    retain_graph: bool,
    stop: Set[Tensor],
    passed: Callable[[dict[Tensor, Tensor]], object] | None = None,
) -> list[Tensor | None]:
    """The gradients that reach the inputs, given those of the outputs; None where none does.

    The walk goes no further back than `stop`. `passed` is called after each function, with the gradients
    that are complete by now: of those inputs that no function still to come reads.
    """
    wanted = set(inputs)
    pending: dict[Tensor, Tensor] = {}
    # The ids of the tensors whose pending gradient is a sum that this walk has allocated itself. Nobody
    # else can see that array, so the next term may be added to it in place.
    sums: set[int] = set()
    for y, g in zip(outputs, gs, strict=True):
        pending[y] = pending[y] + g if y in pending else g
    order, needs = _path(outputs, wanted, stop)
    freed = None if create_graph or retain_graph else Freed()
    step = _announced_step if switches.listeners else _backpropagate_through
    if passed:
        step = telling(step, order, wanted, passed)
    with switched("recording", create_graph):
        try:
            while order:
                y, needed = order.pop(), needs.pop()
                gradient = pending.get(y) if y in wanted else pending.pop(y, None)
                if gradient is not None:
                    step(gradient, y, needed, pending, sums)
                    if freed:
                        y.node.inputs = freed
        except Exception as error:
            if freed:
                freed.failure = str(error)
            raise
    return [pending.get(x) for x in inputs]


def _path(outputs: Sequence[Tensor], wanted: Set[Tensor], stop: Set[Tensor]) -> tuple[list[Any], list[list[bool]]]:
    """Every computed tensor on a path from a wanted tensor to an output, oldest first.

    And for each, one flag per input: does that input lie on such a path, too?
    """
    found, seen, stack = list[Any](), set(stop), list[Any](y for y in outputs if y.node is not None)
    changed = []
    while stack:
        t = stack.pop()
        if t in seen:
            continue
        seen.add(t)
        node = t.node
        if type(node.inputs) is Freed:
            raise errors.freed(node, node.inputs.failure)
        found.append(t)
        for x in node.inputs:
            if type(x) is Tensor or isinstance(x, Tensor):
                if x.node is not None:
                    stack.append(x)
                elif x.version > node.number:
                    changed.append((t, x))
    found.sort(key=attrgetter("node.number"))
    order, needs, useful = list[Any](), list[list[bool]](), set(wanted)
    for t in found:
        needed = [x in useful for x in t.node.inputs]
        if True in needed:
            useful.add(t)
            order.append(t)
            needs.append(needed)
    for t, x in changed:
        if t in useful:
            raise errors.changed(t.node, x)
    return order, needs


def _backpropagate_through(g: Tensor, y: Any, needs: list[bool], pending: dict[Tensor, Tensor], sums: set[int]) -> Sequence[Tensor | None]:
    """Run the backward of y's node on g, and add the gradients that it returns to the pending ones."""
    node = y.node
    xs = node.inputs
    if node.add_to is not None and id(xs[0]) in sums:
        node.add_to(pending[xs[0]].data, g.data)
        return ()
    try:
        result = node.backward(g, y, needs, *xs) if node.selective else node.backward(g, y, *xs)
    except TypeError as error:
        if better := errors.misnamed_backward(node, xs):
            raise better from error
        raise
    gradients = result if type(result) is tuple else (result,)
    if len(gradients) != len(xs):
        raise ValueError(f"{errors.name(node)}.backward gave {len(gradients)} gradients for {len(xs)} inputs")
    for x, need, gx in zip(xs, needs, gradients):  # noqa: B905  # strict costs time on the hottest path
        if not need or gx is None:
            continue
        if type(gx) is not Tensor and not isinstance(gx, Tensor):
            raise errors.wrong_gradient(node, gx, x)
        a, b = gx.data, x.data
        if not (a.shape == b.shape and a.dtype is b.dtype and type(a) is type(b) is numpy.ndarray):
            gx = _unbroadcast(gx, x, y)
            a = gx.data
        before = pending.get(x)
        if before is None:
            pending[x] = gx
        elif id(x) in sums:
            before.data += a
        else:
            pending[x] = before + gx
            if not switches.recording:
                sums.add(id(x))
    return gradients


def _announced_step(g: Tensor, y: Any, needs: list[bool], *state: Any) -> Sequence[Tensor | None]:
    return announced("backward", lambda: _backpropagate_through(g, y, needs, *state), y.node, g, y, y.node.inputs, needs)


def _unbroadcast(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient g of an input x of y's node. If x was broadcast to the shape of y, g is summed to the shape of x."""
    small, large = x.shape, g.shape
    if small != large == y.shape and len(small) <= len(large) and all(s in (1, n) for s, n in zip(small[::-1], large[::-1], strict=False)):
        g = g.sum_to(small)
    if (g.shape, g.dtype, g.device) != (x.shape, x.dtype, x.device):
        raise errors.wrong_gradient(y.node, g, x)
    return g
