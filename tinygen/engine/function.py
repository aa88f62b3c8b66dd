"""One node of the graph: a function of arrays and its derivative.

`forward` maps arrays to an array. `backward` maps the gradient of the output to the gradients of the
inputs: dL/dy comes in, dL/dx goes out, for whatever number L the program differentiates. By the chain
rule dL/dx is dL/dy times the derivative of y = f(x). `backward` is written in Tensors and functions of
Tensors, so it can be recorded and differentiated in its turn.

One rule keeps higher orders right: in `backward`, whatever depends smoothly on an input is reached
through the Tensors `y` and `xs`; only piecewise-constant data (masks, indices, noise, shapes) may be
kept as arrays.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from tinygen.backend import Array
from tinygen.engine import errors
from tinygen.engine.listeners import announced, everywhere
from tinygen.engine.mode import switches
from tinygen.engine.tensor import Tensor, clock


class Function:
    """One node of the graph, made by applying it: `y = Mul()(a, b)`.

    Subclasses define `forward(self, *arrays)`, which returns a new array of the inputs' dtype (or a view
    of an input), and `backward(self, g, y, *xs)`. There y is the output and g its gradient dL/dy; backward
    returns dL/dx for each input x: a Tensor, or None where there is none. Where an input was broadcast to
    the shape of y, its gradient may have that shape: the engine sums it down. A backward that has an
    argument `needs` (`def backward(self, g, y, needs, a, b)`) is told for each input whether its
    gradient is wanted, and may leave the others None.

    Parameters are attributes of the instance, which stands for this one application. Inputs are Tensors,
    Python numbers (constants), or None (an absent optional input).

    A function of one input of which it reads a part may define `add_to(total, g)`: it adds its
    gradient, given g, in place to the array of the gradients that reached the input before. `grad`
    then needs no array that is zero in all but that part.

    Raises ValueError where an instance that is a node of a graph already is applied again.
    """

    __slots__ = ("inputs", "notes", "number")
    inputs: Any
    notes: dict[Any, Any]  # of listeners
    number: int  # the time of its application, on the engine's clock
    selective = False  # whether backward takes `needs`
    add_to: Callable[[Array, Array], None] | None = None
    changes_dtype = False  # whether the result may have another floating dtype than the inputs

    def __init__(self, *parameters: Any) -> None:
        if parameters:
            raise errors.not_applied(self)

    def __init_subclass__(cls) -> None:
        cls.selective = list(inspect.signature(cls.backward).parameters)[3:4] == ["needs"]
        if "__slots__" in vars(cls) and cls.__init__ is Function.__init__:  # tinygen's own, which are spared the call
            cls.__init__ = object.__init__  # type: ignore[method-assign]

    # The keywords are never passed. They let subclasses name their own arguments.
    def forward(self, *args: Any, **kwargs: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, *args: Any, **kwargs: Any) -> "Tensor | tuple[Tensor | None, ...] | None":
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __repr__(self) -> str:
        inputs = getattr(self, "inputs", None)
        return f"<{errors.name(self)} of {errors.listed(inputs)}>" if type(inputs) is tuple else f"<{errors.name(self)}>"

    def __call__(self, *inputs: Any) -> Tensor:
        arrays: list[Any] = []
        dtype = None
        requires_grad = False
        for x in inputs:
            if type(x) is Tensor or isinstance(x, Tensor):  # the first is faster
                a = x.data
                arrays.append(a)
                if a.dtype is not dtype:
                    if dtype is not None and a.dtype != dtype:
                        raise errors.mixed_dtypes(self, inputs)
                    dtype = a.dtype
                if x.requires_grad:
                    requires_grad = True
            else:
                arrays.append(_constant(self, x, inputs))
        try:
            y = announced("forward", lambda: self.forward(*arrays), self, inputs) if everywhere else self.forward(*arrays)
        except (IndexError, TypeError, ValueError) as error:
            raise errors.explained(self, error, inputs) from error
        if type(y) is not numpy.ndarray:
            if isinstance(y, numpy.generic):  # NumPy turns results of shape () into scalars
                y = numpy.asarray(y)
            elif not hasattr(y, "dtype") or isinstance(y, Tensor):
                raise errors.not_an_array(self, y)
        if y.dtype is not dtype and y.dtype != dtype and not self.changes_dtype:
            raise errors.mixed_dtypes(self, inputs, y)
        if not (requires_grad and switches.recording):
            return Tensor(y)
        if hasattr(self, "inputs"):
            raise errors.applied_twice(self)
        self.inputs = inputs
        self.number = next(clock)
        return Tensor(y, True, self)


def _constant(node: Function, x: Any, inputs: Sequence[Any]) -> float | None:
    """An input that is not a Tensor, as a Python number, which takes the dtype of the arrays around it.

    NumPy's own scalars would turn float32 into float64.
    """
    if not (x is None or isinstance(x, int | float | numpy.generic)):
        raise errors.not_an_operand(node, x)
    if not any(isinstance(other, Tensor) for other in inputs):
        raise errors.no_tensor(node, inputs)
    return x.item() if isinstance(x, numpy.generic) else x
