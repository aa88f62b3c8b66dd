"""The moving average against its formula; what is averaged and what is not; and its state."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.optim import Average

modest = settings(deadline=None, max_examples=25)


class Model(nn.Module):
    def __init__(self, device: str = "cpu") -> None:
        self.layers = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3), nn.SpectralNorm(nn.Dense(3, 1)))
        self.scale = nn.Parameter(tg.tensor(0.5))
        self.count = nn.Buffer(tg.zeros((1,)))
        self.count.data = numpy.zeros(1, numpy.int64)
        self.to(device)


def shake(model: nn.Module, seed: int) -> None:
    """Other numbers in all parameters and buffers."""
    random = numpy.random.default_rng(seed)
    noise = {name: random.integers(-3, 4, array.shape).astype(array.dtype) for name, array in model.state_dict().items()}
    model.load_state_dict({name: array + noise[name] for name, array in model.state_dict().items()})


@modest
@given(decay=st.floats(0.01, 0.999), steps=st.integers(0, 30))
def test_it_is_the_recursion_with_warm_up(decay: float, steps: int) -> None:
    model = Model()
    average, expected = Average(model, decay), {name: array.astype(float) for name, array in model.state_dict().items()}
    for t in range(steps):
        shake(model, t)
        average.update()
        d = min(decay, (1 + t) / (10 + t))
        expected = {name: d * expected[name] + (1 - d) * array for name, array in model.state_dict().items()}
    latest = {name: array.copy() for name, array in model.state_dict().items()}
    with average.applied():
        for name, array in model.state_dict().items():
            if name in ("count", "layers.layers.2.u"):
                assert_array_equal(array, latest[name], "of the latest step")
            else:
                assert_allclose(array, expected[name], rtol=1e-4, atol=1e-4)
    for name, array in model.state_dict().items():
        assert_array_equal(array, latest[name])


def test_batch_norm_has_the_averaged_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm(1))
    average = Average(model, 0.9)
    model[0].running_mean.data[...] = 10.0
    average.update()
    with average.applied(), nn.evaluating(model):
        assert_allclose(model(tg.tensor([[9.0]])).numpy(), 0, atol=1e-5)


@modest
@given(before=st.integers(0, 5), after=st.integers(0, 5))
def test_a_saved_state_goes_on_as_if_never_stopped(before: int, after: int) -> None:
    model, other = Model(), Model()
    average, resumed = Average(model, 0.9), Average(other, 0.9)
    for t in range(before):
        shake(model, t)
        average.update()
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(average.state_dict())
    for t in range(after):
        for one, its_average in ((model, average), (other, resumed)):
            shake(one, 100 + t)
            its_average.update()
    mine, its = average.state_dict(), resumed.state_dict()
    assert mine.keys() == its.keys() == {*model.state_dict(), "updates"}
    assert all(mine[name].tobytes() == its[name].tobytes() for name in mine)


def test_the_optimiser_goes_on_with_the_weights_and_not_with_the_averages() -> None:
    def trained(averaged: bool) -> bytes:
        tg.manual_seed(0)
        model = nn.Dense(2, 1)
        adam, average = tg.optim.Adam(model.parameters(), 0.1), Average(model, 0.9)
        for _ in range(3):
            adam.minimize((model(tg.ones((1, 2))) ** 2).sum())
            average.update()
            if averaged:
                with average.applied():
                    model(tg.ones((1, 2)))
        return model.weight.numpy().tobytes()

    assert trained(True) == trained(False)


def test_it_follows_the_model_to_its_device(device: str) -> None:
    model = Model()
    average = Average(model, 0.5)
    model.to(device)
    average.update()
    with average.applied():
        assert {t.device for _, t in model.named_tensors()} == {model.scale.device}


def test_a_graph_from_before_the_exchange_is_refused() -> None:
    model = nn.Dense(2, 1)
    loss = (model(tg.ones((1, 2))) ** 2).sum()
    with Average(model, 0.5).applied(), pytest.raises(ValueError, match="was changed by Average"):
        loss.backward()


def test_what_does_not_fit_is_refused() -> None:
    for decay in (0, 1, -0.5, "0.9"):
        with pytest.raises(ValueError, match="Average: decay must be above 0 and below 1, got"):
            Average(nn.Dense(1, 1), decay)  # type: ignore[arg-type]
    average = Average(nn.Dense(1, 1), 0.9)
    with pytest.raises(ValueError, match="this state does not fit Average: weight is float32"):
        average.load_state_dict(Average(nn.Dense(2, 1), 0.9).state_dict())
