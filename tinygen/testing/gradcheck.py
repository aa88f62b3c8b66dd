"""Checks of gradients, and hypothesis strategies that draw what to check them on.

    @given(images(channels=3))
    def test_my_layer(x):
        gradcheck(my_function, x)
        gradgradcheck(my_function, x)

All checks work in float64 and compare numbers along random directions. <a, b> stands for the sum of
the products of the elements of a and b. For a random array c, <f(x), c> is a number, and its
derivative along a random direction v is <gradient, v>; the difference quotient of <f(x), c> must
agree. At higher orders this derivative is itself the function that is checked, with c among its
inputs: gradients must be right as functions of the gradients that they are made from, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen.backend import array_module, to_device
from tinygen.engine import errors
from tinygen.engine.arguments import shown
from tinygen.engine.grad import grad
from tinygen.engine.tensor import Tensor
from tinygen.testing.diagnosis import MOST_ELEMENTS, Case

STEP = 1e-5  # of the central difference: its error is about STEP^2 f''' / 6 + 1e-16 f / STEP
ROUNDING = 1e-15 / STEP  # the second term, for f = 1, with some room


def gradcheck(function: Callable[..., Tensor], *inputs: Tensor, order: int = 1, seed: int = 0, tolerance: float = 1e-6) -> None:
    """Check that the gradients of function, up to `order`, agree with central differences.

    `function` maps the float64 inputs, all of which require gradients, to one Tensor; it must be
    deterministic, and smooth near the inputs. Both numbers may differ by `tolerance` of the larger, and by
    what rounding does to a difference quotient. Where they differ by more, quotients of other steps show
    how uncertain the quotient is.

    Raises AssertionError where they do not agree, where function changes its inputs, and, above order 1,
    where backward gives another gradient if it is recorded. The message has the input, the order and both
    numbers. It compares the gradient element by element and says what the wrong elements have in common.
    Works under `python -O`, too.
    """
    __tracebackhide__ = True
    if not callable(function):
        raise TypeError(f"gradcheck: takes a function of its inputs, got {shown(function)}; write gradcheck(lambda x: ..., x)")
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"gradcheck: input {i} must be a Tensor, got {shown(x)}; make one with tinygen.tensor(...)")
        if x.dtype != numpy.float64 or not x.requires_grad:
            raise TypeError(
                f"gradcheck: input {i} must be float64 and require gradients, it is {x.dtype} with requires_grad={x.requires_grad}"
            )
    check(function, inputs, [f"input {i}" for i in range(len(inputs))], order, seed, tolerance)


def gradgradcheck(function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0, tolerance: float = 1e-6) -> None:
    """`gradcheck` to second order."""
    __tracebackhide__ = True
    gradcheck(function, *inputs, order=2, seed=seed, tolerance=tolerance)


def adjoint_check(function: Callable[[Tensor], Tensor], x: Tensor, seed: int = 0, tolerance: float = 1e-12) -> None:
    """Check that backward is the adjoint f* of a function f that is linear in x: <f(x), c> = <x, f*(c)>.

    c is a random array. The check needs no step, so it holds up to rounding. Raises AssertionError with
    both numbers.
    """
    __tracebackhide__ = True
    y = function(x)
    c = _random_like(y, numpy.random.default_rng(seed))
    g = grad(y, x, c)
    left, right = _dot(y, c), _dot(x, g)
    scale = float((abs(y.data) * abs(c.data)).sum() + (abs(x.data) * abs(g.data)).sum()) + 1e-300  # each rounds its own terms
    if not abs(left - right) <= tolerance * scale:
        raise AssertionError(f"<f(x), c> = {left} but <x, f*(c)> = {right}")


def check(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], names: Sequence[str], orders: int, seed: int, tolerance: float
) -> None:
    """`gradcheck` of inputs with names."""
    __tracebackhide__ = True
    rng = numpy.random.default_rng(seed)
    size = 0.0  # the largest <|f|, |c|> of all orders: numbers of that size have been rounded
    for order in range(1, orders + 1):
        before = [x.data.copy() for x in inputs]
        y = function(*inputs)
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck: the function must give a Tensor, got {shown(y)}")
        c = _random_like(y, rng)
        size = max(size, float(abs(y.data * c.data).sum()))
        gradients = grad(y, inputs, c) if y.requires_grad else [x * 0.0 for x in inputs]
        directions = [_random_like(x, rng) for x in inputs]
        for i, (gradient, v) in enumerate(zip(gradients, directions, strict=True)):
            _Derivative(function, inputs, names, order, i, c).expect(v, _dot(gradient, v), tolerance, size)
        for name, x, copy in zip(names, inputs, before, strict=True):
            if not (x.data == copy).all():
                raise AssertionError(f"the function changed its {name}")
        function = _directional_derivative(function, directions)
        inputs, names = [*inputs, Tensor(c.data, requires_grad=True)], [*names, "g"]
        if order < orders:  # backward may compute otherwise what is to be differentiated in turn
            plain, recorded = sum(map(_dot, gradients, directions)), function(*inputs).item()
            if not abs(plain - recorded) <= tolerance * max(size, abs(plain)):
                raise AssertionError(
                    f"backward gives another gradient of order {order} with create_graph=True: {recorded:.10g} along a random direction, "
                    f"where it gives {plain:.10g} without; the two must agree"
                )


def _directional_derivative(function: Callable[..., Tensor], directions: Sequence[Tensor]) -> Callable[..., Tensor]:
    """The derivative of <function(xs), c> along the directions, as a function of xs and c."""

    def derivative(*arguments: Tensor) -> Tensor:
        *xs, c = arguments
        y = function(*xs)
        if not y.requires_grad:
            return xs[0].sum() * 0.0
        found = [(g * v).sum() for g, v in zip(grad(y, xs, c, create_graph=True), directions, strict=True)]
        return sum(found[1:], start=found[0])

    return derivative


@dataclass
class _Derivative:
    """The derivative of <function(inputs), c> to inputs[i]."""

    function: Callable[..., Tensor]
    inputs: Sequence[Tensor]
    names: Sequence[str]
    order: int
    i: int
    c: Tensor

    def expect(self, v: Tensor, found: float, tolerance: float, size: float) -> None:
        """Compare the derivative along v, which was found to be `found`, with the difference quotient."""
        __tracebackhide__ = True
        expected = self.quotient(v, STEP)
        bound = tolerance * max(abs(expected), abs(found)) + ROUNDING * size
        if not abs(expected - found) <= bound:
            expected, doubt = self.extrapolated(v)
            bound = max(bound, min(doubt, tolerance))
        if not abs(expected - found) <= bound:
            numbers = f"along a random direction the difference quotient is {expected}, the gradient gives {found}"
            which = f"order {self.order}, {self.names[self.i]} {self.inputs[self.i].shape}"
            raise AssertionError(f"{which}: {numbers}\n{self.diagnosis()}")

    def quotient(self, v: Tensor, step: float) -> float:
        """The central difference along v."""
        ahead, behind = (_dot(self.moved(self.i, v, signed), self.c) for signed in (step, -step))
        return (ahead - behind) / (2 * step)

    def extrapolated(self, v: Tensor) -> tuple[float, float]:
        """The quotient extrapolated to step 0 (Richardson, 1911), and how uncertain it is.

        Extrapolation removes the error STEP^2 f''' / 6. Quotients of several steps differ by their rounding
        errors and the curvature of f, so their spread is a measure of the uncertainty.
        """
        half, full, more = (self.quotient(v, step) for step in (STEP / 2, STEP, STEP * 1.5))
        return (4 * half - full) / 3, 4 * (max(half, full, more) - min(half, full, more))

    def moved(self, i: int, v: Tensor, step: float) -> Tensor:
        """The function's output where input i is moved along v."""
        ahead = self.inputs[i].data + step * v.data
        ahead = array_module(ahead).asarray(ahead)  # NumPy's sums of shape () are scalars
        return self.function(*(Tensor(ahead if j == i else x.data, requires_grad=True) for j, x in enumerate(self.inputs)))

    def diagnosis(self) -> str:
        """Which function is wrong, at which element, and what the wrong elements have in common."""
        x, y = self.inputs[self.i], self.function(*self.inputs)
        if self.order > 1:
            return (
                f"the gradient is right, but not its dependence on {self.names[self.i]}: does backward use .data, NumPy, "
                "or a number that forward kept? Take what varies smoothly from the tensors g, y and the inputs"
            )
        if x.size > MOST_ELEMENTS:
            return f"check an input of at most {MOST_ELEMENTS} elements, and the message says which elements are wrong"
        if not y.requires_grad:
            return "the output does not require gradients: is it computed from .data, or with NumPy?"
        name = getattr(self.function, "__name__", type(self.function).__name__)
        if name == "<lambda>" and y.node is not None:
            name = errors.name(y.node)
        values = [x.numpy() for x in self.inputs]
        return f"{name}: {Case(values, self.names, self.i, y.numpy(), self.c.numpy(), self.jacobian, self.backward)}"

    def jacobian(self, j: int) -> numpy.ndarray:
        """The difference quotient of each element of the output along each element of input j."""
        elements = numpy.eye(self.inputs[j].size).reshape(-1, *self.inputs[j].shape)
        directions = [Tensor(to_device(v, self.c.device)) for v in elements]
        quotients = [(self.moved(j, v, STEP).numpy() - self.moved(j, v, -STEP).numpy()) / (2 * STEP) for v in directions]
        return numpy.array(quotients).reshape((*self.inputs[j].shape, *self.c.shape))

    def backward(self, g: numpy.ndarray) -> numpy.ndarray:
        """The gradient to input i for the incoming gradient g."""
        return grad(self.function(*self.inputs), self.inputs[self.i], Tensor(to_device(g, self.c.device))).numpy()


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a.data * b.data).sum())


def _random_like(x: Tensor, rng: numpy.random.Generator) -> Tensor:
    return Tensor(to_device(rng.standard_normal(x.shape).astype(x.dtype), x.device))


def random_tensor(
    shape: tuple[int, ...],
    rng: numpy.random.Generator,
    low: float = -2.0,
    high: float = 2.0,
    dtype: Any = numpy.float64,
    contiguous: bool = True,
) -> Tensor:
    """One tensor of the kind that `tensors` draws."""
    count = int(numpy.prod(shape))
    grid = numpy.linspace(low, high, count + 1)[:-1] + (high - low) / count * rng.uniform(0.3, 0.7)
    grid = numpy.where(abs(grid) < 1e-3, 1.1e-3, grid)
    values = rng.permutation(grid).reshape(shape).astype(dtype)
    if not contiguous and values.ndim:
        backing = numpy.repeat(values, 2, axis=-1)
        values = backing[..., ::2]
    return Tensor(values, requires_grad=True)
