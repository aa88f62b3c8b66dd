"""Reverse-mode automatic differentiation, to any order.

A `Function` is one node of the graph: `forward` maps raw arrays to a raw array, and `backward` maps the gradient of the output to
the gradients of the inputs. `backward` is written in Tensors and functions of Tensors, so it can be recorded and differentiated in
its turn. `grad` is the one primitive: it walks the graph from the outputs back to the inputs, newest node first, and adds up what
arrives at each tensor. `Tensor.backward()` is the same walk, storing into the leaves' `grad`.

One rule keeps higher orders right: in `backward`, whatever depends smoothly on an input is reached through the Tensors `y` and `xs`;
only piecewise-constant data (masks, indices, noise, shapes) may be kept raw.
"""

import itertools
from collections.abc import Sequence, Set
from typing import Any, overload

import numpy

from tinygen import diagnosis, mode
from tinygen.backend import Array, array_module
from tinygen.tensor import Tensor, Tensors, method

_numbers = itertools.count()


class Function:
    """One node of the graph, made by applying it: `y = Mul()(a, b)`.

    Subclasses define `forward(self, *arrays)`, which returns a new array of the inputs' dtype (or a view of an input), and
    `backward(self, g, y, *xs)`, which returns one gradient for each input: a Tensor, or None where there is none. `g` is the
    gradient of the output y. Parameters are attributes of the instance, which stands for this one application. A gradient may
    have the broadcast shape of the output: the engine sums it down to the input's. `self.needs[i]` tells backward whether the
    gradient of input i is wanted. Inputs are Tensors, Python numbers (constants), or None (an absent optional input).
    Raises ValueError where an instance that is a node of a graph already is applied again.
    """

    __slots__ = ("inputs", "line", "needs", "number")
    inputs: Any
    needs: Sequence[bool]
    number: int  # of nodes, the later applied has the larger
    line: str

    def forward(self, *args: Any, **kwargs: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *args: Any, **kwargs: Any) -> "Tensor | tuple[Tensor | None, ...] | None":
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, *inputs: Any) -> Tensor:
        arrays = []
        dtype = None
        requires_grad = False
        for x in inputs:
            if type(x) is Tensor:
                a = x.data
                arrays.append(a)
                if a.dtype is not dtype:
                    if dtype is not None and a.dtype != dtype:
                        raise diagnosis.mixed_dtypes(self, inputs)
                    dtype = a.dtype
                if x.requires_grad:
                    requires_grad = mode.switches.recording
            else:
                arrays.append(_constant(self, x, inputs))
        try:
            y = self.forward(*arrays)
        except (IndexError, TypeError, ValueError) as error:
            raise diagnosis.explained(self, error, inputs) from error
        if isinstance(y, numpy.generic):  # NumPy turns results of shape () into scalars
            y = numpy.asarray(y)
        if y.dtype is not dtype and y.dtype != dtype:
            raise diagnosis.mixed_dtypes(self, inputs, y)
        if mode.switches.detecting_anomalies:
            self.line = diagnosis.users_line()
            diagnosis.expect_finite(y, "output", self, inputs)
        if not requires_grad:
            return Tensor(y)
        if hasattr(self, "inputs"):
            raise diagnosis.applied_twice(self)
        self.inputs = inputs
        self.number = next(_numbers)
        return Tensor(y, True, self)


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
    found = walk(ys, _first_gradients(ys, gs, xs), xs, create_graph)
    filled = [Tensor(array_module(x.data).zeros_like(x.data)) if g is None else g for x, g in zip(xs, found, strict=True)]
    return filled[0] if isinstance(inputs, Tensor) else filled


@method("backward")
def backward(y: Tensor, grad_output: Tensor | None = None, create_graph: bool = False, inputs: "Tensors | None" = None) -> None:
    """Add the gradients of <y, grad_output> to the `grad` of every leaf that y depends on, or of `inputs` (one or more) alone.

    With `inputs`, what leads to no input is not computed: a generator's step skips the discriminator's weight gradients.
    """
    xs = _leaves(y) if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(dict.fromkeys(inputs))
    for x, g in zip(xs, walk([y], _first_gradients([y], [grad_output], xs), xs, create_graph), strict=True):
        if g is not None:
            x.grad = g if x.grad is None else x.grad + g


def walk(
    outputs: Sequence[Tensor], gs: Sequence[Tensor], inputs: Sequence[Tensor], create_graph: bool, stop: Set[Tensor] = frozenset()
) -> list[Tensor | None]:
    """The gradients that reach the inputs, None where none does. The walk goes no further back than `stop`."""
    wanted = set(inputs)
    pending: dict[Tensor, Tensor] = {}
    sums: set[int] = set()  # ids of those of pending whose gradients are sums that were made here, and can be added to in place
    for y, g in zip(outputs, gs, strict=True):
        pending[y] = pending[y] + g if y in pending else g
    order, needs = _between(outputs, wanted, stop)
    with mode.switched("recording", create_graph):
        while order:
            y, needed = order.pop(), needs.pop()
            gradient = pending.get(y) if y in wanted else pending.pop(y, None)
            if gradient is not None:
                _pull_back(gradient, y, needed, pending, sums)
                if not create_graph:
                    y.node.inputs = None
    return [pending.get(x) for x in inputs]


def _between(outputs: Sequence[Tensor], wanted: Set[Tensor], stop: Set[Tensor]) -> tuple[list[Any], list[list[bool]]]:
    """The computed tensors on the ways from the wanted ones to the outputs, oldest first; and of each, which of its inputs are so."""
    found, seen, stack = list[Any](), set(stop), list[Any](y for y in outputs if y.node is not None)
    while stack:
        t = stack.pop()
        if t in seen:
            continue
        seen.add(t)
        if t.node.inputs is None:
            raise ValueError(f"the graph behind {diagnosis.name(t.node)} was freed by an earlier walk; keep it with create_graph=True")
        found.append(t)
        for x in t.node.inputs:
            if type(x) is Tensor and x.node is not None:
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


def _leaves(y: Tensor) -> list[Tensor]:
    """The leaves that require gradients behind y."""
    seen, stack = dict[Tensor, None](), [y]
    while stack:
        t = stack.pop()
        if t.requires_grad and t not in seen:
            seen[t] = None
            if t.node is not None:
                stack += [x for x in t.node.inputs or () if type(x) is Tensor]
    return [t for t in seen if t.node is None]


def _pull_back(g: Tensor, y: Any, needs: list[bool], pending: dict[Tensor, Tensor], sums: set[int]) -> None:
    """Add the gradients of the inputs of y's node, given the gradient of y, to those that are pending."""
    node = y.node
    node.needs = needs
    xs = node.inputs
    try:
        result = node.backward(g, y, *xs)
    except FloatingPointError as error:  # from a function within this backward: what the user wrote is this node
        raise diagnosis.not_finite("gradient", node, xs) from error
    gradients = result if type(result) is tuple else (result,)
    if len(gradients) != len(xs):
        raise ValueError(f"{diagnosis.name(node)}.backward gave {len(gradients)} gradients for {len(xs)} inputs")
    for x, need, gx in zip(xs, needs, gradients):  # noqa: B905  # strict costs time on the hottest path
        if not need or gx is None:
            continue
        if type(gx) is not Tensor:
            raise diagnosis.wrong_gradient(node, gx, x)
        a, b = gx.data, x.data
        if not (a.shape == b.shape and a.dtype is b.dtype and type(a) is type(b) is numpy.ndarray):
            gx = _fitted(gx, x, node)
            a = gx.data
        if mode.switches.detecting_anomalies:
            diagnosis.expect_finite(a, "gradient", node, xs)
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
            raise diagnosis.wrong_grad_output(g, y)
        first.append(g)
    if not any(y.requires_grad for y in ys):
        raise ValueError("there is no gradient: the output does not depend on any tensor that requires gradients")
    for i, x in enumerate(xs):
        if not x.requires_grad:
            raise ValueError(f"input {i} of shape {x.shape} does not require gradients")
    return first


def _fitted(g: Tensor, x: Tensor, node: Function) -> Tensor:
    """The gradient of x from its node, summed down to x's shape where x was broadcast; its dtype and device must be x's."""
    small, large = x.shape, g.shape
    if small != large and len(small) <= len(large) and all(s in (1, n) for s, n in zip(small[::-1], large[::-1], strict=False)):
        g = g.sum_to(small)
    if (g.shape, g.dtype, g.device) != (x.shape, x.dtype, x.device):
        raise diagnosis.wrong_gradient(node, g, x)
    return g


def _constant(node: Function, x: Any, inputs: Sequence[Any]) -> float | None:
    """A Python number, which takes the dtype of the arrays around it. NumPy's own scalars would drag float32 up to float64."""
    if not (x is None or isinstance(x, int | float | numpy.generic)):
        raise diagnosis.not_an_operand(node, x)
    if type(inputs[0]) is not Tensor and not any(type(other) is Tensor for other in inputs):
        raise diagnosis.no_tensor(node, inputs)
    return x.item() if isinstance(x, numpy.generic) else x
