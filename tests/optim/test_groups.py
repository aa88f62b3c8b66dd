"""Groups step as their optimisers would, clip all gradients together, and keep weight decay from norms and biases."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.testing import assert_allclose, assert_array_equal
from optimizer_table import leaf

import tinygen as tg
from tinygen import nn, optim
from tinygen.optim import Groups, clip_grad_value, decayed

modest = settings(deadline=None, max_examples=25)
arrays = stn.arrays("float32", (3,), elements=st.floats(-4, 4, width=32))


def gradients(groups: Groups) -> numpy.ndarray:
    return numpy.concatenate([p.grad.numpy() for p in groups.parameters])


@modest
@given(start=arrays, g=arrays)
def test_each_group_has_its_own_rule(start: numpy.ndarray, g: numpy.ndarray) -> None:
    together, alone = [leaf(*start), leaf(*start)], [leaf(*start), leaf(*start)]
    rules = [lambda p: optim.SGD([p], 0.5), lambda p: optim.AdamW([p], 0.1, weight_decay=0.3)]
    groups = Groups([rule(p) for rule, p in zip(rules, together, strict=True)])
    optimizers = [rule(p) for rule, p in zip(rules, alone, strict=True)]
    for _ in range(3):
        groups.minimize(sum((p * tg.tensor(g)).sum() for p in together))
        for p, optimizer in zip(alone, optimizers, strict=True):
            optimizer.minimize((p * tg.tensor(g)).sum())
    assert groups.steps == 3
    for p, q in zip(together, alone, strict=True):
        assert_array_equal(p.numpy(), q.numpy())


@modest
@given(a=arrays, b=arrays, norm=st.none() | st.floats(0.1, 5), value=st.none() | st.floats(0.1, 5))
def test_all_gradients_are_clipped_together(a: numpy.ndarray, b: numpy.ndarray, norm: float | None, value: float | None) -> None:
    p, q = leaf(0, 0, 0), leaf(0, 0, 0)
    groups = Groups([optim.SGD([p], 1.0), optim.SGD([q], 1.0)], clip_norm=norm, clip_value=value)
    groups.minimize((p * tg.tensor(a)).sum() + (q * tg.tensor(b)).sum())
    expected = numpy.concatenate([a, b]).astype(float)
    if value is not None:
        expected = expected.clip(-value, value)
    if norm is not None:
        expected *= min(1, norm / max(1e-30, numpy.sqrt((expected**2).sum())))
    assert_allclose(gradients(groups), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(numpy.concatenate([p.numpy(), q.numpy()]), -expected, rtol=1e-5, atol=1e-6)


def test_a_group_without_gradients_stands_still() -> None:
    moved, still = leaf(1), leaf(1)
    groups = Groups([optim.SGD([moved], 0.5), optim.SGD([still], 0.5)])
    moved.grad = tg.ones((1,))
    groups.step()
    assert moved.item() == 0.5 and still.item() == 1
    groups.zero_grad()
    with pytest.raises(ValueError, match="SGD: none of its parameters has a gradient"):
        groups.step()


def test_weight_decay_is_for_matrices_and_kernels() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.conv, self.norm = nn.Conv2D(1, 2, 3), nn.LayerNorm((4, 4, 2))
            self.rest = nn.Sequential(nn.BatchNorm(2), nn.SelfAttention2D(8), nn.GRU(2, 3), nn.SpectralNorm(nn.Dense(2, 2)))
            self.tied = self.conv

    model = Model()
    weights, others = decayed(model)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(names[id(p)].endswith(("weight", "weights")) for p in weights), [names[id(p)] for p in weights]
    assert {names[id(p)].rpartition(".")[2] for p in others} == {"bias", "gamma", "beta"}
    assert sorted(map(id, weights + others)) == sorted(map(id, model.parameters()))


@modest
@given(before=st.integers(0, 3), after=st.integers(1, 3))
def test_a_saved_state_goes_on_as_if_never_stopped(before: int, after: int) -> None:
    def groups() -> Groups:
        return Groups([optim.SGD([leaf(1, 2)], 0.1, momentum=0.9), optim.Adam([leaf(-1)], 0.1)], clip_norm=0.5)

    def train(of: Groups, steps: int) -> None:
        for _ in range(steps):
            of.minimize(sum((p**2).sum() for p in of.parameters))

    whole, resumed = groups(), groups()
    train(whole, before)
    for p, q in zip(resumed.parameters, whole.parameters, strict=True):
        p.data[...] = q.data
    resumed.load_state_dict(whole.state_dict())
    train(whole, after)
    train(resumed, after)
    assert [p.numpy().tobytes() for p in whole.parameters] == [p.numpy().tobytes() for p in resumed.parameters]


def test_the_state_of_other_groups_is_refused_and_changes_nothing() -> None:
    def groups(*sizes: int) -> Groups:
        return Groups([optim.Adam([leaf(*numpy.ones(n))]) for n in sizes])

    mine = groups(1, 2)
    for p in mine.parameters:
        p.grad = tg.ones(p.shape, p.dtype)
    mine.step()
    before = mine.state_dict()
    for other in (groups(1), groups(1, 3), groups(1, 2, 3)):
        with pytest.raises(ValueError, match="this state does not fit"):
            mine.load_state_dict(other.state_dict())
        assert all(numpy.array_equal(array, before[name]) for name, array in mine.state_dict().items())


def test_what_cannot_be_is_refused() -> None:
    p = leaf(1)
    with pytest.raises(ValueError, match="Groups: there is no optimiser"):
        Groups([])
    with pytest.raises(ValueError, match="Groups: a parameter is in two groups"):
        Groups([optim.SGD([p]), optim.SGD([p])])
    for name in ("clip_norm", "clip_value"):
        with pytest.raises(ValueError, match=f"Groups: {name} must be positive, got 0"):
            Groups([optim.SGD([p])], **{name: 0})
    with pytest.raises(ValueError, match="clip_grad_value: limit must be positive, got -1"):
        clip_grad_value([p], -1)
    with pytest.raises(ValueError, match="clip_grad_value: no parameter has a gradient"):
        clip_grad_value([p], 1)
