"""Functions that act on each element alone. The derivative of each is another elementwise expression.

Binary functions broadcast as NumPy does and take Python numbers on either side. Shapes and dtypes
are the inputs'.
"""

import math
from collections.abc import Sequence
from typing import Any

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.tensor import Operand, Tensor, tensor_method
from tinygen.functional.selection import where


class AddFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g, g


class SubFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g, -g if needs[1] else None


class MulFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        to_a, to_b = needs
        return g * b if to_a else None, g * a if to_b else None


class DivFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g / b if needs[0] else None, -(g * y) / b if needs[1] else None


class NegFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return -g


class PowFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a**b

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        to_a = None
        if needs[0]:
            if isinstance(b, Tensor):  # 0^0 is 1, whose slope is 0 and not 0 times infinity
                base = where((a == 0) & (b == 0), 1.0, a)
                to_a = g * (b * base ** (b - 1))
            else:
                to_a = g * 0.0 if b == 0 else g * (b * a ** (b - 1))
        to_b = None
        if needs[1] and isinstance(a, Tensor):
            positive = a > 0
            to_b = where(positive, g * y * log(where(positive, a, 1.0)), 0.0)
        elif needs[1]:
            to_b = g * y * math.log(a) if a > 0 else g * 0.0
        return to_a, to_b


class ExpFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * y


class LogFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g / x


class SqrtFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g / (2.0 * y)


class SinFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).sin(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * cos(x)


class CosFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).cos(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return -(g * sin(x))


class SignFunction(Function):
    __slots__ = ()

    def forward(self, x: Array) -> Array:
        return array_module(x).sign(x)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * 0.0


@tensor_method("__add__", "__radd__")
def add(a: Operand, b: Operand) -> Tensor:
    """a + b."""
    return AddFunction()(a, b)


@tensor_method("__sub__")
def sub(a: Operand, b: Operand) -> Tensor:
    """a - b."""
    return SubFunction()(a, b)


@tensor_method("__mul__", "__rmul__")
def mul(a: Operand, b: Operand) -> Tensor:
    """a b."""
    return MulFunction()(a, b)


@tensor_method("__truediv__")
def div(a: Operand, b: Operand) -> Tensor:
    """a / b."""
    return DivFunction()(a, b)


@tensor_method("__neg__")
def neg(x: Tensor) -> Tensor:
    """-x."""
    return NegFunction()(x)


@tensor_method("__pow__")
def pow(a: Operand, b: Operand) -> Tensor:
    """a^b. The gradient to b is g a^b log a where a > 0, and 0 elsewhere."""
    return PowFunction()(a, b)


@tensor_method("__rsub__")
def _sub_from(a: Tensor, b: Operand) -> Tensor:
    return SubFunction()(b, a)


@tensor_method("__rtruediv__")
def _div_into(a: Tensor, b: Operand) -> Tensor:
    return DivFunction()(b, a)


@tensor_method("__rpow__")
def _power_of(a: Tensor, b: Operand) -> Tensor:
    return PowFunction()(b, a)


@tensor_method("exp")
def exp(x: Tensor) -> Tensor:
    """e^x."""
    return ExpFunction()(x)


@tensor_method("log")
def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return LogFunction()(x)


@tensor_method("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """The square root; its gradient at 0 is infinite."""
    return SqrtFunction()(x)


@tensor_method("sin")
def sin(x: Tensor) -> Tensor:
    """The sine, x in radians."""
    return SinFunction()(x)


@tensor_method("cos")
def cos(x: Tensor) -> Tensor:
    """The cosine, x in radians."""
    return CosFunction()(x)


@tensor_method("__abs__", "abs")
def abs(x: Tensor) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return x * Tensor(array_module(x.data).sign(x.data))


@tensor_method("__iadd__", "__isub__", "__imul__", "__itruediv__", "__imatmul__", "__ipow__")
def _in_place(x: Tensor, _: Operand) -> Any:
    """`x += y` means x = x + y, a new tensor. A parameter would lose its name to it."""
    if x.requires_grad and x.node is None:
        raise TypeError(
            "this would make a new tensor in the place of a leaf that requires gradients; a step of one's own is "
            "`w.data -= lr * w.grad.data`, an optimiser's is optim.SGD, and for a new tensor write x = x + y"
        )
    return NotImplemented


@tensor_method("sign")
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1: the sign of each element. The gradient is 0."""
    return SignFunction()(x)
