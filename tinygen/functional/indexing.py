"""Functions that pick elements by index, and their adjoint, which adds to the same places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen.backend import Array, array_module, capturing, device_of, to_device
from tinygen.engine.function import Function
from tinygen.engine.tensor import Shape, Tensor, array_of, tensor_method
from tinygen.functional.conversion import numeric_dtype


@dataclass(slots=True, eq=False)
class GetItemFunction(Function):
    index: Any

    def forward(self, x: Array) -> Array:
        return x[self.index]

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return ScatterFunction(self.index, x.shape)(g)

    def add_to(self, total: Array, g: Array) -> None:
        if _has_arrays(self.index):
            total += ScatterFunction(self.index, total.shape).forward(g)
        else:
            total[self.index] += g


@dataclass(slots=True, eq=False)
class ScatterFunction(Function):
    """The adjoint of GetItem: g added to zeros at index. Where a place occurs twice, both are added."""

    index: Any
    shape: Shape

    def forward(self, g: Array) -> Array:
        xp = array_module(g)
        out = xp.zeros(self.shape, g.dtype)
        if not _has_arrays(self.index):
            out[self.index] = g
        elif g.size:
            positions = xp.arange(out.size).reshape(self.shape)[self.index]
            return _sums_by_position(positions.ravel(), g.ravel(), out.size).reshape(self.shape)
        return out

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return GetItemFunction(self.index)(g)


def _has_arrays(index: Any) -> bool:
    """Whether an index may name a place twice."""
    return any(hasattr(part, "dtype") and part.ndim > 0 for part in (index if isinstance(index, tuple) else (index,)))


def _sums_by_position(positions: Array, values: Array, size: int) -> Array:
    """The sums (size,) of the values at each position, in an order that is always the same.

    NumPy adds in double precision. CuPy's own functions would leave the order to chance. So there the
    values are sorted by position: those of one position form a run. In pass k each value adds the one
    2^k places before it in its run, which by then is a sum of 2^k values. In the end the last value of
    each run is the sum of the run.
    """
    xp = array_module(values)
    if isinstance(values, numpy.ndarray):
        return xp.bincount(positions, values, size).astype(values.dtype)
    order = positions.argsort()
    positions, values = positions[order], values[order]
    step = 1
    while step < values.size:
        values[step:] += xp.where(positions[step:] == positions[:-step], values[:-step], 0.0)
        step *= 2
    targets = positions.copy()
    targets[:-1] = xp.where(
        positions[1:] == positions[:-1], size, positions[:-1]
    )  # values that are not the last of a run go behind the end
    sums = xp.zeros(size + 1, values.dtype)
    sums[targets] = values
    return sums[:size]


@tensor_method("__getitem__")
def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index], as in NumPy: integers, slices, None, ... and integer arrays or masks.

    Lists, arrays and Tensors are index arrays, and so are tuples within a tuple. An array is copied,
    since backward needs it and it may be written to before that. A place that occurs twice gets both
    gradients. On a GPU, numbers in an index array that lie outside wrap around, and a mask makes the
    host wait.
    """
    parts = index if isinstance(index, tuple) else (index,)
    return GetItemFunction(tuple(_index(part, x.device) for part in parts))(x)


def _index(part: Any, device: str) -> Any:
    """One part of an index, arrays on the device of what they index."""
    if isinstance(part, Tensor):
        part = part.data
    elif hasattr(part, "dtype") and part.ndim:
        part = part.copy()
    elif isinstance(part, list | tuple):
        part = numpy.array(part)
    if isinstance(part, numpy.ndarray) and part.ndim == 0:
        return part.item()  # which CuPy takes, too
    return to_device(part, device) if getattr(part, "ndim", 0) else part


def checked_labels(name: str, labels: Any, classes: int) -> Array:
    """The array of labels that are a Tensor, an array, a list, a tuple or one integer.

    Raises TypeError unless they are integers, and ValueError unless these lie from 0 to classes -
    1. Labels on a GPU are not looked at, since the host would have to wait for it.
    """
    array = array_of(labels)
    if not hasattr(array, "dtype"):
        array = numpy.asarray(array, None if numpy.size(array) else numpy.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels must be integers, got {array.dtype}; the classes count from 0, say labels.astype('int64')")
    if device_of(array) == "cpu" and not capturing() and array.size and not 0 <= int(array.min()) <= int(array.max()) < classes:
        raise ValueError(f"{name}: labels from {array.min()} to {array.max()}, but {classes} classes count from 0 to {classes - 1}")
    return array


def embedding(weight: Tensor, labels: Tensor | Array | Sequence[int]) -> Tensor:
    """weight[labels], a row for each label: (classes, features), integers (...) -> (..., features).

    Raises ValueError where a label is not a class; labels on a GPU wrap around instead. Raises
    TypeError where labels are not integers.
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (classes, features), got {weight.shape}")
    return getitem(weight, checked_labels("embedding", labels, len(weight)))


def one_hot(labels: Tensor | Array | Sequence[int], classes: int, dtype: Any = numpy.float32) -> Tensor:
    """1 at each label and 0 elsewhere: labels (...) integers -> (..., classes).

    Raises ValueError where a label is not a class (on a GPU its row is all 0), and TypeError where
    labels are not integers.
    """
    array = checked_labels("one_hot", labels, classes)
    xp = array_module(array)
    return Tensor((array[..., None] == xp.arange(classes)).astype(numeric_dtype("one_hot", dtype)))
