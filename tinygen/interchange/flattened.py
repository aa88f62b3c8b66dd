"""Which axes of a model's weights count the pixels of a flattened image.

A flattened image is in the order (H, W, C) here and (C, H, W) in PyTorch. So a dense layer behind a
flattened image, one whose result becomes an image, and all that comes between, have other orders of
features there. Nothing complains where they are mixed up: the shapes are the same.

The orders are read from the graph of one call: an axis is the same axis in the input and the output
of a function that keeps elements in their places.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from tinygen.command_line import UsageError
from tinygen.engine.errors import name as name_of
from tinygen.engine.function import Function
from tinygen.engine.fused import Alias
from tinygen.engine.tensor import Shape, Tensor
from tinygen.functional import activation, conversion, elementwise, selection
from tinygen.functional.indexing import GetItemFunction
from tinygen.functional.linalg import MatMulFunction
from tinygen.functional.reduce import LogSumExpFunction, MaxFunction, MeanFunction, MinFunction, SumFunction
from tinygen.functional.shape import ReshapeFunction, TransposeFunction
from tinygen.interchange.trace import Input, Step, trace

Axis = tuple[int, int]  # the id of an array, and an axis, counted from the last, which is -1

IN_PLACE = {Alias} | {
    kind
    for module in (activation, conversion, elementwise, selection)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Function)
}
REDUCTIONS = {SumFunction, MeanFunction, MaxFunction, MinFunction, LogSumExpFunction}


class _Axes:
    """Sets of axes that count the same features (union-find), and the image (H, W, C) that some of them were."""

    def __init__(self) -> None:
        self.parents: dict[Axis, Axis] = {}
        self.images: dict[Axis, Shape] = {}

    def root(self, axis: Axis) -> Axis:
        while (parent := self.parents.get(axis, axis)) != axis:
            axis = parent
        return axis

    def join(self, a: Tensor, i: int, b: Tensor, j: int) -> None:
        """Axis i of a and axis j of b count the same."""
        kept, other = self.root((id(a.data), i)), self.root((id(b.data), j))
        if kept != other:
            self.parents[other] = kept
            if image := self.images.pop(other, None):
                self.set_image(kept, image)

    def is_image(self, x: Tensor, image: Shape) -> None:
        """The last axis of x is that image, flattened."""
        self.set_image(self.root((id(x.data), -1)), image)

    def set_image(self, root: Axis, image: Shape) -> None:
        known = self.images.setdefault(root, image)
        if not numpy.array_equal(channels_first(known), channels_first(image)):
            raise UsageError(f"PyTorch: the same features are those of an image {known} and of one {image}, (H, W, C)")

    def image_of(self, x: Tensor, axis: int = -1) -> Shape | None:
        return self.images.get(self.root((id(x.data), axis)))


def channels_first(image: Shape) -> numpy.ndarray:
    """For each pixel and channel of a flattened image in the order (C, H, W) its place in (H, W, C)."""
    return numpy.arange(math.prod(image)).reshape(image).transpose(2, 0, 1).ravel()


def flattened(call: Callable[..., Any], inputs: Sequence[Input], tensors: Sequence[Tensor]) -> dict[int, dict[int, Shape]]:
    """The axes of these tensors that count a flattened image (H, W, C): {id of the tensor: {axis: image}}.

    Raises UsageError where a flattened image goes into a function after which its order cannot be told.
    """
    steps, axes = trace(call, inputs).steps, _Axes()
    for step in steps:
        _follow(step, axes)
    for step in steps:
        _expect_order_to_be_told(step, axes)
    found = {id(t): {t.ndim + i: axes.image_of(t, i) for i in range(-t.ndim, 0)} for t in tensors}
    return {key: {axis: image for axis, image in images.items() if image} for key, images in found.items()}


def _follow(step: Step, axes: _Axes) -> None:
    """Join the axes of a step's inputs and output."""
    y, node, tensors = step.y, type(step.node), [x for x in step.inputs if isinstance(x, Tensor)]
    if node in IN_PLACE or (node is ReshapeFunction and tensors[0].shape == y.shape):
        for x in tensors:
            for i in range(-x.ndim, 0):
                if x.shape[i] != 1:
                    axes.join(y, i, x, i)
    elif node is MatMulFunction:
        a, b = tensors
        axes.join(a, -1, b, -2)
        axes.join(y, -1, b, -1)
        axes.join(y, -2, a, -2)
    elif node is ReshapeFunction:
        (x,) = tensors
        for image, flat in ((x, y), (y, x)):
            if image.ndim == 4 and flat.shape == (len(image), image.size // len(image)):
                axes.is_image(flat, image.shape[1:])
    elif node is TransposeFunction:
        for i, axis in enumerate(step.node.axes):
            axes.join(y, i - y.ndim, tensors[0], axis - y.ndim)
    elif _looks_up_rows(step):
        axes.join(y, -1, tensors[0], -1)


def _looks_up_rows(step: Step) -> bool:
    """Whether the step is an embedding: rows of a matrix at an array of labels."""
    index: Sequence[Any] = step.node.index if isinstance(step.node, GetItemFunction) else ()
    return len(index) == 1 and hasattr(index[0], "dtype") and step.inputs[0].ndim == 2


def _expect_order_to_be_told(step: Step, axes: _Axes) -> None:
    known = IN_PLACE | REDUCTIONS | {MatMulFunction, TransposeFunction}
    if type(step.node) in known or _looks_up_rows(step):
        return
    for x in step.inputs:
        image = axes.image_of(x) if isinstance(x, Tensor) and x.ndim else None
        if image is None or numpy.array_equal(channels_first(image), range(math.prod(image))):
            continue  # of one channel, or of one pixel
        if not (isinstance(step.node, ReshapeFunction) and step.y.shape in (x.shape, (len(x), *image))):
            raise UsageError(
                f"PyTorch: an image {image}, (H, W, C), is flattened, and {name_of(step.node)} makes {step.y.shape} of it, "
                "after which the order that PyTorch would have cannot be told; put a dense layer between"
            )
