"""Every sum of float32 is right to 1e-6 of the sum of |x|, along any axes, in any memory layout."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import tinygen as tg
from tinygen import Tensor, nn
from tinygen.functional.reduce import total

# Enough for a running sum to be wrong by more than 1e-6, and few enough to be quick.
SIZES = st.lists(st.sampled_from([1, 2, 3, 17, 100, 1000]), min_size=1, max_size=4).filter(lambda sizes: numpy.prod(sizes) <= 300_000)


@st.composite
def arrays(draw: st.DrawFn) -> numpy.ndarray:
    """Constants, or random numbers with mean 100, contiguous, with their axes in another order, every other one, or broadcast."""
    shape = tuple(draw(SIZES))
    if draw(st.booleans()):
        x = numpy.full(shape, draw(st.floats(0.125, 1024, width=32)), numpy.float32)
    else:
        x = numpy.random.default_rng(draw(st.integers(0, 9))).normal(100, 1, shape).astype(numpy.float32)
    layout = draw(st.sampled_from(["contiguous", "transposed", "strided", "broadcast"]))
    if layout == "transposed":
        return x.transpose(draw(st.permutations(range(x.ndim))))
    if layout == "strided":
        return numpy.repeat(x, 2, axis=-1)[..., ::-2]
    if layout == "broadcast":
        axis = draw(st.integers(0, x.ndim - 1))
        return numpy.broadcast_to(x.take([0], axis), shape)
    return x


@settings(deadline=None, max_examples=300)
@given(x=arrays(), data=st.data())
def test_sums_are_accurate(x: numpy.ndarray, data: st.DataObject) -> None:
    axes = st.sets(st.integers(-x.ndim, x.ndim - 1)).map(tuple).filter(lambda axes: len({axis % x.ndim for axis in axes}) == len(axes))
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) | axes)
    keepdims = data.draw(st.booleans())
    found, exact = total(x, axis, keepdims), x.sum(axis, numpy.float64, keepdims=keepdims)
    assert found.dtype == x.dtype and found.shape == exact.shape
    assert_allclose(found, exact, rtol=1e-6)
    assert_allclose(tg.mean(Tensor(x), axis, keepdims).numpy(), x.mean(axis, numpy.float64, keepdims=keepdims), rtol=1e-6)


ONES = numpy.ones((20_000, 3), numpy.float32)
THIRD = numpy.float32(1 / 3)
THIRDS = ONES * THIRD * (numpy.arange(20_000, dtype=numpy.float32)[:, None] % 2)  # 0, 1/3, 0, 1/3, ...
EXPONENTIALS = numpy.exp(THIRDS.astype(numpy.float64)).sum(axis=0)


def bias_gradient(loss: Callable[[Tensor], Tensor]) -> Tensor:
    bias = tg.zeros((3,), requires_grad=True)
    return tg.grad(loss(tg.tensor(ONES) + bias), bias)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: tg.ones((20_000_000, 1, 2)).mean(axis=0), 1),
        (lambda: bias_gradient(lambda y: y.mean()), 1 / 3),
        (lambda: bias_gradient(lambda y: (y * float(THIRD)).sum()), 20_000 * THIRD),
        (lambda: tg.var(tg.tensor(THIRDS), axis=0), THIRDS.var(axis=0, dtype=numpy.float64)),
        (lambda: tg.logsumexp(tg.tensor(THIRDS), axis=0), numpy.log(EXPONENTIALS)),
        (lambda: tg.cumsum(tg.tensor(THIRDS), axis=0)[-1], THIRDS.sum(axis=0, dtype=numpy.float64)),
        (lambda: tg.grad((tg.cumsum(w := tg.ones((20_000, 3), requires_grad=True), 0) * float(THIRD)).sum(), w)[0], 20_000 * THIRD),
        (lambda: tg.einsum("ij->j", tg.tensor(THIRDS)), THIRDS.sum(axis=0, dtype=numpy.float64)),
        (lambda: tg.grad((tg.repeat(w := tg.ones((3,), requires_grad=True), 20_000) * float(THIRD)).sum(), w), 20_000 * THIRD),
        (lambda: tg.grad((tg.tile(w := tg.ones((3,), requires_grad=True), 20_000) * float(THIRD)).sum(), w), 20_000 * THIRD),
        (lambda: tg.softmax(tg.tensor(THIRDS), axis=0)[0], 1 / EXPONENTIALS),
        (lambda: nn.GlobalAvgPool2D()(tg.ones((2, 150, 150, 3)) * float(THIRD)), THIRD),
        (lambda: tg.avg_pool2d(tg.ones((2, 150, 150, 3)) * float(THIRD), 150), THIRD),
        (lambda: tg.grad(tg.avg_pool2d(x := tg.ones((1, 60, 60, 3), requires_grad=True), 30, 1).sum(), x)[:, 29:31, 29:31], 1),
        (lambda: tg.grad((tg.broadcast_to(w := tg.ones((1, 3), requires_grad=True), ONES.shape) * float(THIRD)).sum(), w), 20_000 * THIRD),
        (lambda: tg.grad((tg.embedding(w := tg.ones((2, 3), requires_grad=True), [1] * 20_000) * 0.1).sum(), w)[1], 2000),
    ],
)  # fmt: skip
def test_what_is_made_of_sums_is_accurate(found: Callable[[], Tensor], expected: Any) -> None:
    y = found().numpy()
    assert_allclose(y, numpy.broadcast_to(expected, y.shape), rtol=1e-6)


def test_a_critics_bias() -> None:
    critic = nn.Conv2D(1, 10, 1)
    tg.wasserstein_generator_loss(critic(tg.zeros((64, 128, 128, 1)))).backward()
    assert critic.bias is not None and critic.bias.grad is not None
    assert_allclose(critic.bias.grad.numpy(), -0.1, rtol=1e-6)


def test_an_axis_along_which_an_array_is_broadcast_costs_nothing() -> None:
    x = numpy.broadcast_to(THIRD, (10**17, 10))  # whoever walks over it never ends
    assert_allclose(total(x, 0), 1e17 * THIRD, rtol=1e-6)
