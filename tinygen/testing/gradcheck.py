"""Checks of gradients, and hypothesis strategies that draw what to check them on.

    @given(images(channels=3))
    def test_my_layer(x):
        gradcheck(my_function, x)
        gradgradcheck(my_function, x)

All checks work in float64 and compare numbers along random directions. <a, b> stands for the sum of the
products of the elements of a and b. For a random array c, <f(x), c> is a number, and its derivative along a
random direction v is <gradient, v>; the difference quotient of <f(x), c> must agree. At higher orders this
derivative is itself the function that is checked, with c among its inputs: gradients must be right as
functions of the gradients that they are made from, too.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from tinygen.backend import array_module, to_device
from tinygen.engine.grad import grad
from tinygen.engine.tensor import Tensor

STEP = 1e-5  # of the central difference: its error is about STEP^2 f''' / 6 + 1e-16 f / STEP
ROUNDING = 1e-15 / STEP  # the second term, for f = 1, with some room


def gradcheck(function: Callable[..., Tensor], *inputs: Tensor, order: int = 1, seed: int = 0, tolerance: float = 1e-6) -> None:
    """Check that the gradients of function, up to `order`, agree with central differences.

    `function` maps the float64 inputs, all of which require gradients, to one Tensor; it must be
    deterministic, and smooth near the inputs. Both numbers may differ by `tolerance` of the larger, and by
    what rounding does to a difference quotient. Where they differ by more, quotients of other steps show
    how uncertain the quotient is.

    Raises AssertionError, with the input, the order and both numbers, where they do not agree, and where
    function changes its inputs. Works under `python -O`, too.
    """
    for i, x in enumerate(inputs):
        if x.dtype != numpy.float64 or not x.requires_grad:
            raise TypeError(
                f"gradcheck: input {i} must be float64 and require gradients, it is {x.dtype} with requires_grad={x.requires_grad}"
            )
    _check(function, inputs, order, 1, numpy.random.default_rng(seed), tolerance, 0.0)


def gradgradcheck(function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0, tolerance: float = 1e-6) -> None:
    """`gradcheck` to second order."""
    gradcheck(function, *inputs, order=2, seed=seed, tolerance=tolerance)


def adjoint_check(function: Callable[[Tensor], Tensor], x: Tensor, seed: int = 0, tolerance: float = 1e-12) -> None:
    """Check that backward is the adjoint f* of a function f that is linear in x: <f(x), c> = <x, f*(c)>.

    c is a random array. The check needs no step, so it holds up to rounding. Raises AssertionError with
    both numbers.
    """
    y = function(x)
    c = _random_like(y, numpy.random.default_rng(seed))
    g = grad(y, x, c)
    left, right = _dot(y, c), _dot(x, g)
    scale = float((abs(y.data) * abs(c.data)).sum() + (abs(x.data) * abs(g.data)).sum()) + 1e-300  # each rounds its own terms
    if not abs(left - right) <= tolerance * scale:
        raise AssertionError(f"<f(x), c> = {left} but <x, f*(c)> = {right}")


def _check(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    orders: int,
    order: int,
    rng: numpy.random.Generator,
    tolerance: float,
    size: float,
) -> None:
    """`size` is the largest <|f|, |c|> of the lower orders: numbers of that size have been rounded."""
    before = [x.data.copy() for x in inputs]
    y = function(*inputs)
    c = _random_like(y, rng)
    size = max(size, float(abs(y.data * c.data).sum()))
    gradients = grad(y, inputs, c) if y.requires_grad else [x * 0.0 for x in inputs]
    directions = [_random_like(x, rng) for x in inputs]
    for i, (gradient, v) in enumerate(zip(gradients, directions, strict=True)):
        _expect_agreement(function, inputs, i, v, c, _dot(gradient, v), tolerance, size, order)
    for i, (x, copy) in enumerate(zip(inputs, before, strict=True)):
        if not (x.data == copy).all():
            raise AssertionError(f"the function changed its input {i}")
    if order < orders:

        def directional_derivative(*arguments: Tensor) -> Tensor:
            *xs, c = arguments
            y = function(*xs)
            if not y.requires_grad:
                return xs[0].sum() * 0.0
            found = [(g * v).sum() for g, v in zip(grad(y, xs, c, create_graph=True), directions, strict=True)]
            return sum(found[1:], start=found[0])

        _check(directional_derivative, [*inputs, Tensor(c.data, requires_grad=True)], orders, order + 1, rng, tolerance, size)


def _expect_agreement(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    i: int,
    v: Tensor,
    c: Tensor,
    found: float,
    tolerance: float,
    size: float,
    order: int,
) -> None:
    """Compare the derivative of <function, c> along v of input i, which was found to be `found`, with the quotient."""
    expected = _quotient(function, inputs, i, v, c, STEP)
    bound = tolerance * max(abs(expected), abs(found)) + ROUNDING * size
    if not abs(expected - found) <= bound:
        expected, doubt = _extrapolated(function, inputs, i, v, c)
        bound = max(bound, min(doubt, tolerance))
    if not abs(expected - found) <= bound:
        numbers = f"the difference quotient is {expected}, the gradient gives {found}"
        raise AssertionError(f"order {order}, input {i} {inputs[i].shape}: {numbers}{_hint(found, expected)}")


def _hint(found: float, expected: float) -> str:
    """What is often wrong with a gradient that is a simple multiple of the right one."""
    causes = {-1.0: "-1 times as much: a wrong sign?", 0.0: "is it left out?", 0.5: "half of it", 2.0: "twice as much"}
    return next((f" ({cause})" for factor, cause in causes.items() if abs(found - factor * expected) <= 1e-6 * abs(expected)), "")


def _quotient(function: Callable[..., Tensor], inputs: Sequence[Tensor], i: int, v: Tensor, c: Tensor, step: float) -> float:
    """The central difference of <function, c> as input i moves along v."""
    ahead, behind = (_dot(function(*_moved(inputs, i, v, signed)), c) for signed in (step, -step))
    return (ahead - behind) / (2 * step)


def _extrapolated(function: Callable[..., Tensor], inputs: Sequence[Tensor], i: int, v: Tensor, c: Tensor) -> tuple[float, float]:
    """The quotient extrapolated to step 0 (Richardson, 1911), and how uncertain it is.

    Extrapolation removes the error STEP^2 f''' / 6. Quotients of several steps differ by their rounding
    errors and the curvature of f, so their spread is a measure of the uncertainty.
    """
    half, full, more = (_quotient(function, inputs, i, v, c, step) for step in (STEP / 2, STEP, STEP * 1.5))
    return (4 * half - full) / 3, 4 * (max(half, full, more) - min(half, full, more))


def _moved(inputs: Sequence[Tensor], i: int, v: Tensor, step: float) -> list[Tensor]:
    """The inputs, input i moved along v."""
    ahead = inputs[i].data + step * v.data
    ahead = array_module(ahead).asarray(ahead)  # NumPy's sums of shape () are scalars
    return [Tensor(ahead if j == i else x.data, requires_grad=True) for j, x in enumerate(inputs)]


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
