"""Schedules are pure functions of the step; an optimiser follows them, also after a resume."""

import math
from itertools import pairwise
from typing import get_args

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygen import Tensor, optim, tensor
from tinygen.optim import Schedule
from tinygen.optim.schedule import Shape

modest = settings(deadline=None, max_examples=50)
shapes = st.sampled_from(get_args(Shape))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    warm_up = draw(st.integers(0, 20))
    return Schedule(draw(st.floats(1e-6, 10)), draw(shapes), warm_up + draw(st.integers(1, 50)), warm_up)


@modest
@given(schedule=schedules())
def test_it_rises_to_its_rate_and_never_rises_again(schedule: Schedule) -> None:
    rates = [schedule(t) for t in range(schedule.steps + 5)]
    rising, after = rates[: schedule.warm_up], rates[schedule.warm_up :]
    assert_allclose(rising, schedule.lr * numpy.arange(1, schedule.warm_up + 1) / max(1, schedule.warm_up), rtol=1e-12)
    assert after[0] == schedule.lr and all(a >= b >= 0 for a, b in pairwise(after))
    assert min(rates[: schedule.steps]) > 0, "every step of the training moves"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0, 0]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0, 0]),
        ("step", [1, 1, 0.1, 0.01, 0.01, 0.01]),
    ],
)
def test_the_shapes(shape: Shape, expected: list[float]) -> None:
    """At the quarters of the way from step 2 to step 10, and behind its end."""
    assert_allclose([Schedule(2.0, shape, 10, 2)(t) for t in (2, 4, 6, 8, 10, 12)], 2 * numpy.array(expected), atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "lr must be positive, got 0.0"),
        ((1.0, "exponential"), "shape must be one of constant, linear, cosine, step, got 'exponential'"),
        ((1.0, "constant", 0, -1), "warm_up must be at least 0, got -1"),
        ((1.0, "cosine", 3, 3), "cosine needs more steps than the 3 of warm_up, got 3"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^Schedule: {message}$"):
        Schedule(*arguments)  # type: ignore[arg-type]


def weight() -> Tensor:
    return tensor([1.0, -2.0], requires_grad=True)


def train(optimizer: optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        (p,) = optimizer.parameters
        optimizer.minimize((p**2).sum())


@modest
@given(schedule=schedules(), before=st.integers(0, 6), after=st.integers(1, 6))
def test_an_optimiser_follows_it_also_after_a_resume(schedule: Schedule, before: int, after: int) -> None:
    whole, first, second = (optim.Adam([weight()], schedule) for _ in range(3))
    train(whole, before + after)
    assert whole.lr == schedule(before + after - 1)
    train(first, before)
    second.parameters[0].data[...] = first.parameters[0].data
    second.load_state_dict(first.state_dict())
    train(second, after)
    assert second.parameters[0].numpy().tobytes() == whole.parameters[0].numpy().tobytes()


def test_a_step_has_the_rate_of_its_number() -> None:
    p = weight()
    sgd = optim.SGD([p], Schedule(0.5, "linear", 4))
    for rate in (0.5, 0.375, 0.25, 0.125, 0.0):
        before = p.numpy().copy()
        sgd.minimize(p.sum())
        assert_allclose(before - p.numpy(), rate)


def test_the_state_of_another_schedule_is_refused() -> None:
    state = optim.Adam([weight()], Schedule(1.0, "cosine", 8)).state_dict()
    for other in (Schedule(1.0, "linear", 8), Schedule(1.0, "cosine", 9), 1.0):
        with pytest.raises(ValueError, match="schedule"):
            optim.Adam([weight()], other).load_state_dict(state)
