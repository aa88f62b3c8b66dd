"""What is particular to recurrent layers: states, derivatives to second order, and how they start."""

from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, manual_seed, nn, optim, zeros
from tinygen.testing import gradgradcheck, random_tensor, tensors

modest = settings(deadline=None, max_examples=10)
every_kind = pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])


@every_kind
@modest
@given(x=tensors((2, 3, 2)), seed=st.integers(0, 2**32 - 1))
def test_derivatives_to_second_order(kind: Any, x: Tensor, seed: int) -> None:
    manual_seed(seed)
    layer = kind(2, 2).double()
    state = tuple(random_tensor((2, 2), numpy.random.default_rng(seed + i)) for i in range(layer.states))

    def applied(x: Tensor, *others: Tensor) -> Tensor:
        weight, state_weight, bias, *state = others
        vars(layer).update(weight=weight, state_weight=state_weight, bias=bias)
        return layer(x, tuple(state))

    gradgradcheck(applied, x, *layer.parameters(), *state)


@every_kind
@modest
@given(x=tensors((2, 5, 3)), stop=st.integers(1, 4))
def test_a_sequence_goes_on_from_a_state(kind: Any, x: Tensor, stop: int) -> None:
    layer = kind(3, 4).double()
    state = layer.start(2)
    assert [t.shape for t in state] == [(2, 4)] * layer.states and all(t.dtype == numpy.float64 for t in state)
    for t in range(stop):
        state = layer.step(x[:, t], state)
    y, last = layer.with_state(x[:, :stop])
    for one, other in zip(last, state, strict=True):
        assert_allclose(one.numpy(), other.numpy(), rtol=1e-10, atol=1e-12)
    assert_array_equal(y[:, -1].numpy(), last[0].numpy())
    whole = layer(x).numpy()
    assert_allclose(state[0].numpy(), whole[:, stop - 1], rtol=1e-10, atol=1e-12)
    assert_allclose(layer(x[:, stop:], state).numpy(), whole[:, stop:], rtol=1e-10, atol=1e-12)


@every_kind
def test_the_state_s_weights_start_orthogonal_gate_by_gate(kind: Any) -> None:
    weight = kind(3, 5).state_weight.numpy()
    assert weight.shape == (5, 5 * kind.gates)
    for square in numpy.split(weight, kind.gates, axis=1):
        assert_allclose(square @ square.T, numpy.eye(5), atol=1e-5)


def test_an_lstm_starts_by_remembering() -> None:
    assert_array_equal(nn.LSTM(1, 2).bias.numpy(), [0, 0, 0, 0, 1, 1, 0, 0])
    assert_array_equal(nn.GRU(1, 2).bias.numpy(), 0)


@every_kind
def test_a_state_of_another_size_is_refused(kind: Any) -> None:
    layer = kind(3, 4)
    with pytest.raises(ValueError, match=rf"\nin {kind.__name__}\(3 -> 4\)$"):
        layer(zeros((2, 5, 3)), layer.start(3))


@every_kind
def test_it_learns_what_came_first(kind: Any) -> None:
    """The sign of the first of eight numbers, told after the last; to guess costs 0.69.

    Of smaller batches, the loss of the last one depends on the seed, and on the bits of the processor.
    """
    manual_seed(0)
    layer, out = kind(1, 8), nn.Dense(8, 1)
    adam = optim.Adam([*layer.parameters(), *out.parameters()], lr=2e-2)
    for _ in range(150):
        x = F.randn((256, 8, 1))
        logits = out(layer(x)[:, -1])
        loss = F.binary_cross_entropy_with_logits(logits, Tensor((x.data[:, 0] > 0).astype("float32")))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.35


def test_the_recurrent_gan_s_discriminator_sees_how_much_a_batch_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    from recurrent_gan import BatchDeviation

    x = numpy.random.default_rng(0).standard_normal((5, 3)).astype("float32")
    y = BatchDeviation()(Tensor(x)).numpy()
    assert_array_equal(y[:, :3], x)
    assert_allclose(y[:, 3], 10 * x.std(axis=0).mean(), rtol=1e-5)
    assert_allclose(BatchDeviation()(Tensor(x[[0, 0]])).numpy()[:, 3], 0, atol=2e-3)
