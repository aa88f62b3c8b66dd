"""Tensor: an array, its gradient, and the node of the graph that computed it."""

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy

from tinygen import backend
from tinygen.backend import Array

if TYPE_CHECKING:
    from tinygen.engine.function import Function
    from tinygen.engine.methods import Methods
else:
    Methods = object

Axis: TypeAlias = int | tuple[int, ...] | None
Shape: TypeAlias = tuple[int, ...]
F = TypeVar("F", bound=Callable[..., Any])

# Numbers two kinds of events in the order in which they happen: a function is applied, data is
# changed in place.
clock = itertools.count(1)


def tensor_method(*names: str) -> Callable[[F], F]:
    """A decorator that also installs the function as a method of Tensor: `add` becomes `Tensor.__add__`.

    So tensor.py imports nothing from functional/.
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


class Tensor(Methods):
    """An array, `data`, that can take part in differentiation. `Tensor(array)` shares the array; `tensor(data)` copies.

    `requires_grad` says whether gradients flow to it. `node` is the Function that computed it, None for
    a leaf. `grad` is where `backward()` adds up the gradients of leaves; its array belongs to it alone.

    `version` is the time of the last change in place, 0 if there was none. A graph that read the data
    before that time is refused, since its gradients would be computed from the new values. All changes
    that tinygen makes go through `writable`. Your own assignments to `data` or `data[...]` are not noticed.

    Raises TypeError for data that is not an array, and for integers that require gradients.
    """

    __slots__ = ("__weakref__", "changed_by", "data", "grad", "node", "requires_grad", "version")
    __array_priority__ = 1000  # array + tensor asks Tensor.__radd__, which refuses arrays by name
    changed_by: str

    def __init__(self, data: Array, requires_grad: bool = False, node: "Function | None" = None) -> None:
        if type(data) is not numpy.ndarray:
            data = backend.expect_array(data)
        if requires_grad and node is None and data.dtype.kind != "f":
            raise TypeError(
                f"only floating-point tensors can require gradients, this one is {data.dtype} of shape {data.shape}; say dtype='float32'"
            )
        self.data = data
        self.requires_grad = requires_grad
        self.node = node
        self.grad: Tensor | None = None
        self.version = 0

    def __setstate__(self, state: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
        """Restore a copied or pickled tensor. Its version starts at 0, as another process has another clock."""
        for name, value in {**(state[0] or {}), **state[1], "version": 0}.items():
            setattr(self, name, value)

    def writable(self, by: str) -> Array:
        """The array, to be written to in place by whatever `by` names ("SGD.step").

        A graph that has read it can no longer be differentiated.
        """
        if isinstance(self.data, numpy.generic):
            self.data = numpy.asarray(self.data)
        self.version, self.changed_by = next(clock), by
        return self.data

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

    def numpy(self) -> numpy.ndarray:
        """The array on the host, without a copy where it is there already."""
        return backend.to_device(self.data, "cpu")

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor of shape () has no length and no rows; .item() is its number")
        return len(self.data)

    def __iter__(self) -> "Iterator[Tensor]":
        """The rows, along the first axis."""
        return (self[i] for i in range(len(self)))

    def __invert__(self) -> "Tensor":
        return Tensor(~self.data)

    def __setitem__(self, *_: Any) -> None:
        raise TypeError("a tensor cannot be written to, for a graph may have read it; x.data[...] = y writes outside of any graph")

    def __repr__(self) -> str:
        values = numpy.array2string(self.numpy(), separator=", ", prefix="tensor(", precision=4, threshold=100)
        notes = [f"dtype={self.dtype}"] if self.dtype != numpy.float32 else []
        notes += [f'device="{self.device}"'] if self.device != "cpu" else []
        if self.node or self.requires_grad:
            notes.append(f"node={type(self.node).__name__.removesuffix('Function')}" if self.node else "requires_grad=True")
        return f"tensor({', '.join([values, *notes])})"

    # Comparisons give masks, which have no gradient. & | ~ combine them.
    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __and__ = _comparison(operator.and_)
    __or__ = _comparison(operator.or_)
    __hash__ = object.__hash__  # by identity, although == compares elements


Operand: TypeAlias = Tensor | float
Tensors: TypeAlias = Tensor | Sequence[Tensor]
