"""Tensor: an array, its gradient, and the node of the graph that made it."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy

from tinygen import backend
from tinygen.backend import Array

if TYPE_CHECKING:
    from tinygen.engine.function import Function

Operand: TypeAlias = "Tensor | float"
Tensors: TypeAlias = "Tensor | Sequence[Tensor]"
Axis: TypeAlias = int | tuple[int, ...] | None
Shape: TypeAlias = tuple[int, ...]
F = TypeVar("F", bound=Callable[..., Any])


def tensor_method(*names: str) -> Callable[[F], F]:
    """Bind the decorated function to Tensor under these names as well.

    Tensor knows nothing of the functions that are built on it; each says itself which operator it is.
    """

    def bind(function: F) -> F:
        for name in names:
            setattr(Tensor, name, function)
        return function

    return bind


def array_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Tensor) else x


def _comparison(compare: Callable[[Any, Any], Any]) -> Any:
    return lambda a, b: Tensor(compare(a.data, array_of(b)))


class Tensor:
    """An array (`data`) that may take part in differentiation. `Tensor(array)` shares the array; `tensor(data)` copies.

    `requires_grad` says whether gradients flow to it. `node` is the Function that computed it, None for a leaf. `grad` is where
    `backward()` adds up the gradients of leaves; it may share memory, so replace it and never write into it.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # array + tensor asks Tensor.__radd__, which refuses raw arrays by name

    def __init__(self, data: Array, requires_grad: bool = False, node: "Function | None" = None) -> None:
        if requires_grad and node is None and data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors can require gradients, this one is {data.dtype} of shape {data.shape}")
        self.data = data
        self.requires_grad = requires_grad
        self.node = node
        self.grad: Tensor | None = None

    @property
    def shape(self) -> Shape:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> numpy.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        return backend.device_of(self.data)

    @property
    def T(self) -> "Tensor":
        """The tensor with its axes reversed."""
        return self.transpose()

    def detach(self) -> "Tensor":
        """The same array outside any graph."""
        return Tensor(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        """What NumPy's functions take. An array on a GPU refuses: say `numpy()`."""
        return numpy.array(self.data, dtype, copy=copy)

    def numpy(self) -> numpy.ndarray:
        """The array on the host, without a copy where it is there already."""
        return backend.to_device(self.data, "cpu")

    def item(self) -> float:
        """The one element as a Python number. Waits for the device."""
        if self.size != 1:
            raise ValueError(f"item() takes a tensor of one element, this one has shape {self.shape}")
        return self.data.item()

    def __float__(self) -> float:
        return float(self.item())

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> "Iterator[Tensor]":
        """The rows, along the first axis."""
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __repr__(self) -> str:
        values = numpy.array2string(self.numpy(), separator=", ", prefix="tensor(", precision=4, threshold=100)
        notes = [f"dtype={self.dtype}"] if self.dtype != numpy.float32 else []
        notes += [f'device="{self.device}"'] if self.device != "cpu" else []
        notes += [f"node={type(self.node).__name__}"] if self.node else ["requires_grad=True"] if self.requires_grad else []
        return f"tensor({', '.join([values, *notes])})"

    # Comparisons give masks, which have no gradient.
    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __hash__ = object.__hash__  # by identity, although == compares elements

    if TYPE_CHECKING:  # bound by `tensor_method` where each is defined, in backward.py and functional/

        def backward(self, grad_output: "Tensor | None" = None, create_graph: bool = False, inputs: "Tensors | None" = None) -> None: ...
        def to(self, device: str) -> "Tensor": ...
        def __add__(self, other: Operand) -> "Tensor": ...
        def __neg__(self) -> "Tensor": ...
        def __matmul__(self, other: "Tensor") -> "Tensor": ...
        def __getitem__(self, index: Any) -> "Tensor": ...
        def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor": ...
        def sum_to(self, shape: Shape) -> "Tensor": ...
        def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor": ...
        def var(self, axis: Axis = None, keepdims: bool = False) -> "Tensor": ...
        def max(self, axis: Axis = None, keepdims: bool = False) -> "Tensor": ...
        def min(self, axis: Axis = None, keepdims: bool = False) -> "Tensor": ...
        def reshape(self, *shape: int | Shape) -> "Tensor": ...
        def transpose(self, *axes: int | Shape) -> "Tensor": ...
        def broadcast_to(self, shape: Shape) -> "Tensor": ...

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __add__
        __abs__ = __neg__
