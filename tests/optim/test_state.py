"""Training goes on from an optimiser's state as if never stopped; another's state is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from optimizer_table import Rule, descend, every_rule, leaf, points

from tinygen import optim, tensor
from tinygen.optim import Optimizer

modest = settings(deadline=None, max_examples=25)


@every_rule
@modest
@given(before=st.integers(0, 4), after=st.integers(1, 4))
def test_a_saved_state_goes_on_as_if_never_stopped(rule: Rule, before: int, after: int) -> None:
    optimizer = rule(leaf(1, 2), leaf(-0.5))
    descend(optimizer, before)
    saved = optimizer.state_dict()
    resumed = rule(*[tensor(p, requires_grad=True) for p in optimizer.parameters])
    descend(optimizer, after)
    resumed.load_state_dict(saved)
    descend(resumed, after)
    assert resumed.steps == optimizer.steps == before + after
    assert points(resumed) == points(optimizer)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (optim.Adam([leaf(1, 2)]), "missing 1.m, 1.v"),
        (optim.Adam([leaf(1, 2), leaf(3), leaf(4)]), "unexpected 2.t, 2.m, 2.v"),
        (optim.RMSprop([leaf(1, 2), leaf(3)]), "missing 0.m, 1.m; unexpected decay"),
        (
            optim.Adam([leaf(1, 2, 3), leaf(3, dtype="float64")]),
            "0.m is float32 (3,) instead of float32 (2,); 0.v is float32 (3,) instead of float32 (2,); "
            "1.m is float64 (1,) instead of float32 (1,); 1.v is float64 (1,) instead of float32 (1,)",
        ),
    ],
)
def test_the_state_of_other_parameters_is_refused_and_changes_nothing(other: Optimizer, said: str) -> None:
    optimizer = optim.Adam([leaf(1, 2), leaf(3)])
    descend(optimizer, 3)
    before = optimizer.state_dict()
    with pytest.raises(ValueError) as refusal:
        optimizer.load_state_dict(other.state_dict())
    assert str(refusal.value) == f"this state does not fit Adam: {said}"
    after = optimizer.state_dict()
    assert list(after) == ["steps", "lr", "betas", "eps", "weight_decay", "0.t", "1.t", "0.m", "0.v", "1.m", "1.v"]
    for name, array in before.items():
        assert_array_equal(after[name], array)


@every_rule
def test_a_state_without_settings_and_counts_of_each_parameter_is_read(rule: Rule) -> None:
    """Such were the states before both were saved."""
    optimizer = rule(leaf(1, 2), leaf(-0.5))
    descend(optimizer, 3)
    saved = {name: array for name, array in optimizer.state_dict().items() if name not in optimizer.settings and name[2:] != "t"}
    resumed = rule(*[tensor(p, requires_grad=True) for p in optimizer.parameters])
    resumed.load_state_dict(saved)
    descend(resumed, 2)
    descend(optimizer, 2)
    assert points(resumed) == points(optimizer)


@pytest.mark.parametrize(
    ("saved", "loading", "said"),
    [
        (optim.Adam, {"betas": (0.0, 0.1)}, "Adam with betas [0.9, 0.999], this one has [0.0, 0.1]"),
        (optim.Adam, {"eps": 1}, "Adam with eps 1e-08, this one has 1.0"),
        (optim.AdamW, {"weight_decay": 0.5}, "AdamW with weight_decay 0.01, this one has 0.5"),
        (optim.RMSprop, {"decay": 0.5}, "RMSprop with decay 0.99, this one has 0.5"),
        (optim.SGD, {"momentum": 0.5}, "SGD with momentum 0.0, this one has 0.5"),
    ],
)
def test_a_state_of_other_settings_is_refused(saved: Any, loading: dict[str, Any], said: str) -> None:
    optimizer = saved([leaf(1)], **loading)
    with pytest.raises(ValueError) as refusal:
        optimizer.load_state_dict(saved([leaf(1)]).state_dict())
    assert str(refusal.value) == f"this state is of {said}"


def test_the_state_of_adam_with_weight_decay_is_not_one_of_adam_without() -> None:
    with pytest.raises(ValueError, match=r"^this state is of Adam with weight_decay 0\.01, this one has 0\.0$"):
        optim.Adam([leaf(1)]).load_state_dict(optim.AdamW([leaf(1)]).state_dict())
