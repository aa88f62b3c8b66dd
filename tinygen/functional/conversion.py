"""The same values on another device, in another dtype, as Python numbers or NumPy arrays."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor, tensor_method


@dataclass(slots=True, eq=False)
class ToDeviceFunction(Function):
    device: str

    def forward(self, x: Array) -> Array:
        return backend.to_device(x, self.device)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return ToDeviceFunction(x.device)(g)


@dataclass(slots=True, eq=False)
class AsTypeFunction(Function):
    dtype: numpy.dtype
    changes_dtype = True

    def forward(self, x: Array) -> Array:
        return x.astype(self.dtype)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return AsTypeFunction(x.dtype)(g)


@tensor_method("to")
def to(x: Tensor, device: str) -> Tensor:
    """x on the device ("cpu", "cuda", "cuda:1"). Gradients travel back. Raises as `to_device` does."""
    return ToDeviceFunction(device)(x)


@tensor_method("astype")
def astype(x: Tensor, dtype: Any) -> Tensor:
    """x in another dtype, always a copy. Gradients travel back between floating dtypes.

    Integers and booleans have no gradient. Raises TypeError for any other dtype.
    """
    kind = numeric_dtype("astype", dtype)
    return AsTypeFunction(kind)(x) if x.dtype.kind == kind.kind == "f" else Tensor(x.data.astype(kind))


def numeric_dtype(name: str, dtype: Any) -> numpy.dtype:
    """The dtype that the function `name` was given, in the processor's byte order.

    Raises TypeError unless it is one of integers, booleans or floating-point numbers.
    """
    found = None
    if dtype is not None:  # which is float64 to NumPy
        with suppress(TypeError, ValueError):
            found = numpy.dtype(dtype).newbyteorder("=")
    if found is None:
        raise TypeError(f'{name}: dtype must be a dtype such as "float32", got {dtype!r:.80}')
    if found.kind not in "biuf":
        raise TypeError(f"{name}: takes integers, booleans and floating-point numbers, not {found}")
    return found


@tensor_method("tolist")
def _tolist(x: Tensor) -> Any:
    """The elements as Python numbers, in nested lists."""
    return x.numpy().tolist()


@tensor_method("item")
def _item(x: Tensor) -> float:
    """The element of a tensor of one element, as a Python number. Waits for the device.

    Raises ValueError where there are more elements, or none.
    """
    if x.size != 1:
        raise ValueError(f"item() takes a tensor of one element, this one has shape {x.shape}; .tolist() gives them all")
    return x.data.item()


@tensor_method("__float__")
def _float(x: Tensor) -> float:
    return float(x.item())


@tensor_method("__int__")
def _int(x: Tensor) -> int:
    return int(x.item())


@tensor_method("__bool__")
def _bool(x: Tensor) -> bool:
    if x.size != 1:
        raise ValueError(f"a tensor of shape {x.shape} is neither true nor false; ask x.numpy().all() or x.numpy().any()")
    return bool(x.item())


@tensor_method("__round__")
def _round(x: Tensor, digits: int | None = None) -> float:
    return round(x.item(), digits)


@tensor_method("__format__")
def _format(x: Tensor, specification: str) -> str:
    """A tensor of one element as the number that it holds: f"{loss:.3f}"."""
    if not specification:
        return str(x)
    if x.size != 1:
        raise ValueError(f"the format {specification!r} is for one number, this tensor has shape {x.shape}; take one, say its .mean()")
    return format(x.item(), specification)


@tensor_method("__array__")
def _array(x: Tensor, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
    """The array for NumPy's functions, which record nothing.

    Raises TypeError where that would lose gradients (the tensor is part of a graph), and where the
    array lies on a GPU.
    """
    if x.node is not None:
        raise TypeError(
            f"NumPy's functions record no gradients, and this tensor of shape {x.shape} is part of a graph; "
            "use tinygen's functions, or take the values with .numpy()"
        )
    return numpy.array(x.data, dtype, copy=copy)


@tensor_method("__array_function__")
def _array_function(_: Tensor, function: Callable[..., Any], __: Any, arguments: Any, options: Any) -> Any:
    """NumPy's functions take Tensors as arrays and give NumPy's results, never Tensors."""
    return function(*_as_arrays(arguments), **_as_arrays(options))


def _as_arrays(value: Any) -> Any:
    """The Tensors among values, in lists, tuples and dicts too, as NumPy's arrays."""
    if isinstance(value, dict):
        return {key: _as_arrays(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_arrays(part) for part in value] if isinstance(value, list) else tuple(_as_arrays(part) for part in value)
    return numpy.asarray(value) if isinstance(value, Tensor) else value
