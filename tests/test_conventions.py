"""What README says of tinygen in its table for those who know PyTorch."""

import numpy
import pytest

import tinygen as tg
from tinygen import nn

x = tg.tensor([[1.0, 3.0, 3.0]], requires_grad=True)


def test_layouts() -> None:
    assert nn.Conv2D(3, 5, 2).weight.shape == (2, 2, 3, 5)
    assert nn.ConvTranspose2D(3, 5, 2).weight.shape == (2, 2, 5, 3)
    assert nn.Dense(3, 5).weight.shape == (3, 5)


def test_defaults() -> None:
    assert nn.LeakyReLU().negative_slope == 0.2
    assert tg.gelu(tg.tensor([1.0])).item() == pytest.approx(0.841192, abs=1e-6)  # exactly 0.841345
    assert {name for name, _ in nn.InstanceNorm(2).named_parameters()} == {"gamma", "beta"}
    norm = nn.BatchNorm(1)
    norm(tg.tensor([[0.0], [2.0]]))
    assert norm.running_mean.item() == pytest.approx(0.1)
    assert norm.running_var.item() == pytest.approx(1.0)  # 0.9 + 0.1 for the biased variance 1; unbiased it would be 1.1


def test_functions() -> None:
    assert tg.tensor([0.0, 2.0]).var().item() == 1 and tg.tensor([0.0, 2.0]).std().item() == 1
    assert tg.grad(x.max(axis=1), x).tolist() == [[0, 0.5, 0.5]]
    assert (tg.avg_pool2d(tg.ones((1, 2, 2, 1)), 2, 2, padding=1) == 1).numpy().all()
    assert x.flatten().shape == (1, 3) and tg.zeros((2, 3, 4)).flatten().shape == (2, 12)
    assert [part.shape for part in tg.split(tg.zeros((6,)), 3)] == [(2,)] * 3
    assert tg.tensor([1, 2]).repeat(2).tolist() == [1, 1, 2, 2] and tg.tile(tg.tensor([1, 2]), 2).tolist() == [1, 2, 1, 2]


def test_gates() -> None:
    """A gate of -9 is closed, one of 9 open."""
    h = tg.zeros((1, 1))

    def lstm(i: float, o: float, f: float, c: float) -> tuple[float, float]:
        state = tg.lstm(tg.tensor([[[i, o, f, c]]], "float32"), tg.zeros((1, 4)), h, h + 5.0)
        return state[0].item(), state[1].item()

    assert lstm(9, 9, -9, 1)[1] == pytest.approx(numpy.tanh(1), abs=1e-2)
    assert lstm(-9, 9, 9, 1)[1] == pytest.approx(5, abs=1e-2)
    assert lstm(9, -9, 9, 1)[0] == pytest.approx(0, abs=1e-2)
    assert tg.gru(tg.tensor([[[9, 0, 9.0]]]), tg.zeros((1, 3)), h + 0.5).item() == pytest.approx(0.5, abs=1e-2)
    assert tg.gru(tg.tensor([[[-9, 0, 9.0]]]), tg.zeros((1, 3)), h + 0.5).item() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: tg.zeros((2, 3, 4)).transpose(0, 1),
        lambda: tg.zeros(2, 3),
        lambda: x + tg.ones((3,), "float64"),
        lambda: x + tg.tensor([1, 2, 3]),
        lambda: numpy.ones(3) + x,
        lambda: numpy.exp(x * 2.0),
    ],
)
def test_refused(refused: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        refused()  # type: ignore[operator]
