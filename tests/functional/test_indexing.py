"""The gradients of what is read piece by piece."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from op_strategies import PLACES

import tinygen as tg
from tinygen import Tensor, grad
from tinygen.functional.indexing import ScatterFunction
from tinygen.testing import gradcheck, gradgradcheck, random_tensor

modest = settings(deadline=None, max_examples=40)


def weighted(x: Tensor, places: list[Any], square: bool) -> Tensor:
    """The sum of all that is read at the places, the first once, the second twice, ..."""
    parts = [x[place] for place in places]
    return sum(((part * part if square else part).sum() * float(i) for i, part in enumerate(parts, start=1)), tg.zeros((), "float64"))


@modest
@given(places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=6))
def test_parts_that_are_read_several_times_add_up(places: list[Any]) -> None:
    x = tg.zeros((4, 3), "float64", requires_grad=True)
    expected = numpy.zeros((4, 3))
    for i, place in enumerate(places, start=1):
        numpy.add.at(expected, place, float(i))
    assert_array_equal(grad(weighted(x, places, square=False), x).numpy(), expected)


@modest
@given(places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=5))
def test_their_gradients_can_be_differentiated(places: list[Any]) -> None:
    x = random_tensor((4, 3), numpy.random.default_rng(0))
    gradcheck(lambda x: weighted(x, places, square=True), x)
    gradgradcheck(lambda x: weighted(x, places, square=True), x)


@pytest.mark.parametrize(
    ("values", "function"),
    [
        ([0, 2, 1], lambda x, rows: x[rows]),
        ([0, 2, 1], lambda x, columns: x[:, columns]),
        ([0, 2, 1], lambda x, labels: tg.embedding(x, labels)),
        ([0, 2, 1], lambda x, labels: tg.cross_entropy(x, labels)),
        ([False, True, True], lambda x, rows: x[rows]),
        ([False, True, True], lambda x, condition: tg.where(condition, x, 0.0)),
        ([False, True, True], lambda x, mask: tg.attention_weights(x, x, mask=mask)),
    ],
    ids=["rows", "columns", "embedding", "cross_entropy", "mask", "where", "attention"],
)
def test_an_array_may_be_written_to_after_it_was_read(values: list[Any], function: Any) -> None:
    """As in a program that reads the labels of every batch into one buffer."""
    x, array = random_tensor((3, 3), numpy.random.default_rng(0)), numpy.array(values)
    expected = grad((function(x, array) ** 2).sum(), x).numpy()
    y = (function(x, array) ** 2).sum()
    array[...] = array[::-1].copy()
    assert_array_equal(grad(y, x).numpy(), expected)


def test_each_row_of_a_leaf_can_be_differentiated_alone() -> None:
    x = tg.tensor(numpy.arange(6.0).reshape(3, 2), requires_grad=True)
    for row in x:
        (row * row).sum().backward()
    assert x.grad is not None
    assert_array_equal(x.grad.numpy(), 2 * x.numpy())


def test_iteration_makes_no_array_of_the_whole_tensor_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[Any]()
    forward = ScatterFunction.forward
    monkeypatch.setattr(ScatterFunction, "forward", lambda *arguments: made.append(forward(*arguments)) or made[-1])
    x = tg.randn((100, 3), requires_grad=True)
    g = grad(tg.stack([row * row for row in x]).sum(), x)
    assert_allclose(g.numpy(), 2 * x.numpy(), rtol=1e-6)
    assert len(made) == 2
