"""Every optimiser follows its formula, moves in place, and refuses what it cannot optimise."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy import ndarray
from numpy.testing import assert_allclose
from optimizer_table import Rule, descend, every_rule, leaf, slope

from tinygen import Tensor, nn, optim, tensor
from tinygen.backend import device_of, to_device
from tinygen.optim import clip_grad_norm

modest = settings(deadline=None, max_examples=25)


@every_rule
@modest
@given(start=stn.arrays("float64", (2, 3), elements=st.floats(-2, 2)))
def test_steps_follow_the_formula(rule: Rule, start: ndarray, device: str) -> None:
    p = Tensor(to_device(start.copy(), device), requires_grad=True)
    optimizer = rule(p)
    for expected in itertools.islice(rule.formula(start, slope, **rule.options), 6):
        descend(optimizer, 1)
        assert_allclose(p.numpy(), expected, rtol=1e-11, atol=1e-13)
    assert {device_of(array) for state in optimizer.state for array in state.values()} == {p.device}


@every_rule
def test_finds_the_minimum_of_a_quadratic(rule: Rule) -> None:
    p = leaf(-1, 2)
    optimizer = rule.optimizer([p], **{**rule.options, "lr": 0.02})
    for _ in range(400):
        optimizer.minimize(((p - tensor([1.0, -0.5])) ** 2 * tensor([1.0, 4.0])).sum())
    # RMSprop ends in steps of about lr, and a weight decay of 0.3 pulls the minimum itself 0.13 towards 0.
    assert_allclose(p.numpy(), [1, -0.5], atol=0.03 if rule.options.get("weight_decay") is None else 0.14)


@every_rule
def test_a_parameter_without_a_gradient_is_left_alone(rule: Rule) -> None:
    moved, still = leaf(1, 2), leaf(3)
    optimizer = rule(moved, still)
    for _ in range(2):
        moved.grad = leaf(1, -1).detach()
        optimizer.step()
    assert (moved.numpy() != [1, 2]).all()
    assert still.numpy() == 3 and not any(array.any() for array in optimizer.state[1].values())


def test_minimizing_moves_the_optimiser_s_own_parameters_by_the_gradient_of_this_loss() -> None:
    p, other = leaf(1, 2), leaf(3)
    optimizer = optim.SGD([p], lr=0.5)
    for _ in range(2):
        optimizer.minimize((p * tensor([4.0, 2.0]) * other).sum())
    assert p.numpy().tolist() == [1 - 2 * 0.5 * 4 * 3, 2 - 2 * 0.5 * 2 * 3]
    assert other.numpy() == 3 and other.grad is None


@every_rule
def test_a_gradient_or_a_parameter_that_has_grown_moves_nothing(rule: Rule) -> None:
    """A kernel would write beyond the arrays."""
    p, q = leaf(1, 2), leaf(3)
    optimizer = rule(p, q)
    p.grad, q.grad = leaf(1, 1).detach(), leaf(1, 1).detach()
    with pytest.raises(ValueError, match=r": parameter 1 is float32 \(1,\), but its gradient or state is float32 \(2,\); make"):
        optimizer.step()
    q.data = leaf(3, 4).data
    with pytest.raises(ValueError, match=r": parameter 1 is float32 \(2,\), but its gradient or state is float32 \(1,\); make"):
        optimizer.step()
    assert p.numpy().tolist() == [1, 2] and q.numpy().tolist() == [3, 4] and optimizer.steps == 0


@every_rule
def test_updates_are_in_place_and_leave_the_gradients(rule: Rule) -> None:
    p, g = leaf(1, 2), leaf(0.5, -1).detach()
    optimizer, array = rule(p), p.data
    p.grad = g
    optimizer.step()
    optimizer.step()
    assert p.data is array and p.grad is g
    assert g.numpy().tolist() == [0.5, -1]
    assert {a.dtype for a in [p.data, *optimizer.state[0].values()]} == {numpy.dtype("float32")}
    optimizer.zero_grad()
    assert p.grad is None


def test_adam_counts_the_steps_of_each_parameter() -> None:
    """The first step is of length lr, however late it comes."""
    early, late = leaf(1), leaf(1)
    optimizer = optim.Adam([early, late], lr=0.01)
    for _ in range(5000):
        early.grad = leaf(1).detach()
        optimizer.step()
    late.grad = leaf(3).detach()
    optimizer.step()
    assert optimizer.updates == [5001, 1]
    assert late.item() == pytest.approx(0.99, abs=1e-6)


@every_rule
def test_what_is_frozen_stays_where_it_is(rule: Rule) -> None:
    """Its last gradient is still there, and its state has momentum."""
    trained, frozen = leaf(1, 2), leaf(3)
    optimizer = rule(trained, frozen)
    descend(optimizer, 2)
    frozen.requires_grad = False
    before = frozen.item()
    assert frozen.grad is not None
    trained.grad = leaf(1, -1).detach()
    optimizer.step()
    optimizer.minimize((trained * frozen).sum())
    assert frozen.item() == before and frozen.grad is None
    assert optimizer.updates == [4, 2]


class TestNothingToMove:
    NOTHING = r"^SGD: none of its parameters has a gradient; call backward\(\) on a loss that depends on them "

    def test_parameters_without_part_in_the_loss(self) -> None:
        """As after a layer was replaced: the optimiser holds the old layer's."""
        optimizer, other = optim.SGD([leaf(1, 2)]), leaf(3)
        with pytest.raises(ValueError, match=self.NOTHING):
            optimizer.minimize(other.sum())
        assert optimizer.steps == 0

    def test_a_step_before_backward(self) -> None:
        with pytest.raises(ValueError, match=self.NOTHING):
            optim.SGD([leaf(1)]).step()

    def test_all_frozen(self) -> None:
        p, other = leaf(1), leaf(3)
        optimizer = optim.SGD([p])
        p.requires_grad = False
        with pytest.raises(ValueError, match=self.NOTHING):
            optimizer.minimize((p * other).sum())


@pytest.mark.parametrize(
    ("parameters", "got"),
    [
        (lambda: [("weight", leaf(1))], "takes Tensors, got a tuple"),
        (lambda: {"weight": leaf(1)}, "takes Tensors, got a str"),
        (lambda: [{"params": [leaf(1)], "lr": 0.1}], "takes Tensors, got a dict"),
        (lambda: "weights", "takes Tensors, got a str"),
        (lambda: None, "takes Tensors, got a NoneType"),
        (lambda: nn.Dense(1, 2), "takes Tensors, got a Dense"),
        (lambda: numpy.zeros(3), "takes Tensors, got a float64"),
    ],
)
def test_what_is_not_a_list_of_tensors_is_refused(parameters: Callable[[], Any], got: str) -> None:
    cure = "; pass model.parameters(), and make two optimisers for two groups"
    for name, call in [("AdamW", optim.AdamW), ("clip_grad_norm", lambda given: clip_grad_norm(given, 1.0))]:
        with pytest.raises(TypeError) as refusal:
            call(parameters())
        assert str(refusal.value) == f"{name} {got}{cure}"


def test_one_tensor_is_not_a_list_of_its_rows() -> None:
    with pytest.raises(TypeError, match=r"^SGD takes a list of Tensors, got one Tensor; put it in a list$"):
        optim.SGD(leaf(1, 2))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: optim.Adam([]), "Adam: there are no parameters to optimise"),
        (lambda: optim.SGD([leaf(1), leaf(1, 2) * 2.0]), "SGD: parameter 1 of shape (2,) is not a leaf tensor with requires_grad=True"),
        (lambda: optim.SGD([leaf(1).detach()]), "SGD: parameter 0 of shape (1,) is not a leaf tensor with requires_grad=True"),
        (lambda: optim.RMSprop([leaf(1)], lr=0), "RMSprop: lr must be positive, got 0"),
        (lambda: optim.AdamW([leaf(1)], lr=-0.1), "AdamW: lr must be positive, got -0.1"),
        (lambda: optim.SGD([leaf(1)], lr=math.nan), "SGD: lr must be positive, got nan"),
        (lambda: optim.SGD([leaf(1)], lr=math.inf), "SGD: lr must be positive, got inf"),
        (lambda: optim.SGD([leaf(1)], momentum=1.0), "SGD: momentum must be at least 0 and below 1, got 1.0"),
        (lambda: optim.Adam([leaf(1)], betas=(0.9, 1.0)), "Adam: a beta must be at least 0 and below 1, got 1.0"),
        (lambda: optim.Adam([leaf(1)], eps=-1.0), "Adam: eps must be at least 0 and below inf, got -1.0"),
        (lambda: optim.AdamW([leaf(1)], weight_decay=-1.0), "AdamW: weight_decay must be at least 0 and below inf, got -1.0"),
        (lambda: optim.RMSprop([leaf(1)], decay=2.0), "RMSprop: decay must be at least 0 and below 1, got 2.0"),
        (lambda: optim.RMSprop([leaf(1)], eps=-1.0), "RMSprop: eps must be at least 0 and below inf, got -1.0"),
        (lambda: optim.SGD([leaf(1)], lr="fast"), "SGD: lr must be positive, got 'fast'"),
        (lambda: optim.SGD([leaf(1)], momentum=None), "SGD: momentum must be at least 0 and below 1, got None"),
        (lambda: optim.Adam([leaf(1)], betas=0.9), "Adam: betas must be two numbers, got 0.9"),
        (lambda: optim.Adam([leaf(1)], betas=(0.9,)), "Adam: betas must be two numbers, got (0.9,)"),
        (lambda: optim.SGD([leaf(1)], nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda: clip_grad_norm([leaf(1)], 1.0), "clip_grad_norm: no parameter has a gradient"),
        (lambda: clip_grad_norm([], 1.0), "clip_grad_norm: no parameter has a gradient"),
        (lambda: clip_grad_norm([leaf(1)], -1.0), "clip_grad_norm: max_norm must be positive, got -1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == said
