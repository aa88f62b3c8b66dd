"""Checks of gradients, and hypothesis strategies that draw what to check them on.

    @given(images(channels=3))
    def test_my_layer(x):
        gradcheck(my_function, x)
        gradgradcheck(my_function, x)

All checks work in float64 and compare numbers along random directions: the directional derivative of the scalar <f(x), c>, for a random
array c, against <gradient, v>, for a random direction v. At higher orders this derivative is itself the function that is checked, with c
among its inputs: gradients must be right as functions of the gradients that they are made from, too.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from tinygen.backend import array_module, to_device
from tinygen.engine.grad import grad
from tinygen.engine.tensor import Tensor

STEP = 1e-5  # of the central difference: its error is about STEP^2 f''' / 6 + 1e-16 f / STEP


def gradcheck(function: Callable[..., Tensor], *inputs: Tensor, order: int = 1, seed: int = 0, tolerance: float = 1e-6) -> None:
    """Assert that the gradients of function, up to `order`, agree with central differences.

    `function` maps the float64 inputs, all of which require gradients, to one Tensor; it must be deterministic, and smooth near the
    inputs. Raises AssertionError, with the input, the order and both numbers, where they differ by more than `tolerance` relative to the
    larger and to 1, and where function changes its inputs.
    """
    for i, x in enumerate(inputs):
        if x.dtype != numpy.float64 or not x.requires_grad:
            raise TypeError(
                f"gradcheck: input {i} must be float64 and require gradients, it is {x.dtype} with requires_grad={x.requires_grad}"
            )
    _check(function, inputs, order, 1, numpy.random.default_rng(seed), tolerance)


def gradgradcheck(function: Callable[..., Tensor], *inputs: Tensor, seed: int = 0, tolerance: float = 1e-6) -> None:
    """`gradcheck` to second order."""
    gradcheck(function, *inputs, order=2, seed=seed, tolerance=tolerance)


def adjoint_check(function: Callable[[Tensor], Tensor], x: Tensor, seed: int = 0, tolerance: float = 1e-12) -> None:
    """Assert <f(x), c> = <x, f*(c)> for a function that is linear in x, where f* is its backward and c a random array.

    Needs no step and no oracle, and so holds to rounding. Raises AssertionError with both numbers.
    """
    y = function(x)
    c = _random_like(y, numpy.random.default_rng(seed))
    g = grad(y, x, c)
    left, right = _dot(y, c), _dot(x, g)
    scale = float((abs(y.data) * abs(c.data)).sum() + (abs(x.data) * abs(g.data)).sum()) + 1e-300  # each rounds its own terms
    assert abs(left - right) <= tolerance * scale, f"<f(x), c> = {left} but <x, f*(c)> = {right}"


def _check(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], orders: int, order: int, rng: numpy.random.Generator, tolerance: float
) -> None:
    before = [x.data.copy() for x in inputs]
    y = function(*inputs)
    c = _random_like(y, rng)
    gradients = grad(y, inputs, c) if y.requires_grad else [x * 0.0 for x in inputs]
    directions = [_random_like(x, rng) for x in inputs]
    for i, (gradient, v) in enumerate(zip(gradients, directions, strict=True)):
        expected, found = _quotient(function, inputs, i, v, c, STEP), _dot(gradient, v)
        bound = tolerance * max(abs(expected), abs(found), 1.0)
        if abs(expected - found) > bound:  # f may bend too much for the step: extrapolation (Richardson, 1911) takes STEP^2 f''' away
            expected = (4 * _quotient(function, inputs, i, v, c, STEP / 2) - expected) / 3
        assert abs(expected - found) <= bound, (
            f"order {order}, input {i} {inputs[i].shape}: the difference quotient is {expected}, the gradient gives {found}"
        )
    for i, (x, copy) in enumerate(zip(inputs, before, strict=True)):
        assert (x.data == copy).all(), f"the function changed its input {i}"
    if order < orders:

        def directional_derivative(*arguments: Tensor) -> Tensor:
            *xs, c = arguments
            y = function(*xs)
            if not y.requires_grad:
                return xs[0].sum() * 0.0
            found = [(g * v).sum() for g, v in zip(grad(y, xs, c, create_graph=True), directions, strict=True)]
            return sum(found[1:], start=found[0])

        _check(directional_derivative, [*inputs, Tensor(c.data, requires_grad=True)], orders, order + 1, rng, tolerance)


def _quotient(function: Callable[..., Tensor], inputs: Sequence[Tensor], i: int, v: Tensor, c: Tensor, step: float) -> float:
    """The central difference of <function, c> as input i moves along v."""
    ahead, behind = (_dot(function(*_moved(inputs, i, v, signed)), c) for signed in (step, -step))
    return (ahead - behind) / (2 * step)


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
