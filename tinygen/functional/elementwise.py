"""Functions that act on each element alone. The derivative of each is another elementwise expression.

Binary functions broadcast as NumPy does and take Python numbers on either side. Shapes and dtypes are the inputs'.
"""

import math
from dataclasses import dataclass

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.tensor import Operand, Tensor, array_of, tensor_method


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

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g, -g if self.needs[1] else None


class MulFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a * b

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


class DivFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return a / b

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g / b if self.needs[0] else None, -(g * y) / b if self.needs[1] else None


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

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        to_a = None
        if self.needs[0]:
            if isinstance(b, Tensor):  # 0^0 is 1, whose slope is 0 and not 0 times infinity
                base = where((a.data == 0) & (b.data == 0), 1.0, a)
                to_a = g * (b * base ** (b - 1))
            else:
                to_a = g * 0.0 if b == 0 else g * (b * a ** (b - 1))
        to_b = None
        if self.needs[1] and isinstance(a, Tensor):
            positive = a.data > 0
            to_b = where(positive, g * y * log(where(positive, a, 1.0)), 0.0)
        elif self.needs[1]:
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


class MaximumFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a if hasattr(a, "dtype") else b).maximum(a, b)

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        half = where(array_of(a) == array_of(b), g * 0.5, 0.0)
        return (
            where(array_of(a) > array_of(b), g, half) if self.needs[0] else None,
            where(array_of(a) < array_of(b), g, half) if self.needs[1] else None,
        )


class MinimumFunction(Function):
    __slots__ = ()

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(a if hasattr(a, "dtype") else b).minimum(a, b)

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        half = where(array_of(a) == array_of(b), g * 0.5, 0.0)
        return (
            where(array_of(a) < array_of(b), g, half) if self.needs[0] else None,
            where(array_of(a) > array_of(b), g, half) if self.needs[1] else None,
        )


@dataclass(slots=True, eq=False)
class WhereFunction(Function):
    condition: Array

    def forward(self, a: Array, b: Array) -> Array:
        return array_module(self.condition).where(self.condition, a, b)

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return where(self.condition, g, 0.0) if self.needs[0] else None, where(self.condition, 0.0, g) if self.needs[1] else None


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


def exp(x: Tensor) -> Tensor:
    """e^x."""
    return ExpFunction()(x)


def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return LogFunction()(x)


def sqrt(x: Tensor) -> Tensor:
    """The square root; its gradient at 0 is infinite."""
    return SqrtFunction()(x)


def sin(x: Tensor) -> Tensor:
    """The sine, x in radians."""
    return SinFunction()(x)


def cos(x: Tensor) -> Tensor:
    """The cosine, x in radians."""
    return CosFunction()(x)


def where(condition: Tensor | Array, a: Operand, b: Operand) -> Tensor:
    """a where condition holds, b elsewhere. The condition is constant: no gradient flows to it, and it is kept, not copied."""
    return WhereFunction(array_of(condition))(a, b)


@tensor_method("__abs__")
def abs(x: Tensor) -> Tensor:
    """|x|; the gradient at 0 is 0."""
    return x * Tensor(array_module(x.data).sign(x.data))


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of a and b; where they are equal, each gets half of the gradient."""
    return MaximumFunction()(a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """The smaller of a and b; where they are equal, each gets half of the gradient."""
    return MinimumFunction()(a, b)


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """x held between low and high; the gradient is 1 from low to high, the ends included, and 0 outside.

    Raises ValueError if low > high.
    """
    if low > high:
        raise ValueError(f"clip: low {low} is above high {high}")
    return where(array_of(x) < low, low, where(array_of(x) > high, high, x))
