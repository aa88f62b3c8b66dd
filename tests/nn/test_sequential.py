"""Sequential is a list of layers, and runs an activation in one pass with the layer before it."""

from typing import Any

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinygen import Listener, Tensor, grad, listening, nn, ones, randn
from tinygen.engine.listeners import Event


class Heard(Listener):
    """The names of the layers that ended, each with the modules among its inputs."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def layer(self, module: Any, inputs: Any) -> Event:
        yield
        self.names.append(", ".join(type(part).__name__ for part in (module, *inputs) if isinstance(part, nn.Module)))


class TestSequential:
    def test_is_a_sequence_of_layers(self) -> None:
        layers = [nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1)]
        model, x = nn.Sequential(*layers), ones((4, 2))
        assert len(model) == 3 and list(model) == layers and [model[i] for i in (0, 1, -1)] == layers
        assert type(model[:2]) is nn.Sequential and list(model[:2]) == layers[:2]
        assert_array_equal(model[2:](model[:2](x)).numpy(), model(x).numpy())
        with pytest.raises(IndexError):
            model[3]

    @pytest.mark.parametrize("training", [True, False])
    def test_an_activation_behind_a_layer_gives_the_same_bits_in_one_pass(self, training: bool) -> None:
        layers = [
            nn.Conv2D(2, 3, 3),
            nn.ReLU(),
            nn.ConvTranspose2D(3, 4, 3),
            nn.LeakyReLU(),
            nn.LeakyReLU(),
            nn.BatchNorm(4),
            nn.LeakyReLU(),
        ]
        ends = [nn.Flatten(), nn.Dense(120, 5), nn.LeakyReLU(), nn.Dense(5, 4, bias=False), nn.ReLU(), nn.Dense(4, 2)]
        model, x = nn.Sequential(*layers, *ends).train(training), randn((3, 6, 5, 2))
        y = model(x)
        for layer in model:
            x = layer(x)
        assert_array_equal(y.numpy(), x.numpy())
        gradients, expected = (grad(result.sum(), model.parameters()) for result in (y, x))
        for (name, _), one, other in zip(model.named_parameters(), gradients, expected, strict=True):
            assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=1e-6 * abs(other.numpy()).max() if "bias" in name else 0)

    def test_a_layer_and_the_activation_behind_it_are_heard_as_one(self) -> None:
        heard = Heard()
        with listening(heard):
            nn.Sequential(nn.Conv2D(1, 2, 1), nn.ReLU(), nn.LeakyReLU(), nn.BatchNorm(2), nn.LeakyReLU(0.5), nn.Dense(2, 1), nn.ReLU())(
                ones((2, 2, 2, 1))
            )
        assert heard.names == ["Conv2D, ReLU", "LeakyReLU", "BatchNorm, LeakyReLU", "Dense, ReLU", "Sequential"]

    def test_a_layer_with_a_forward_of_its_own_runs_by_itself(self) -> None:
        class Rectified(nn.ReLU):
            def forward(self, x: Tensor) -> Tensor:
                return x * 0.0 + 7.0

        class Plain(nn.Conv2D):
            def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # takes no activation
                return super().forward(x)

        assert (nn.Sequential(nn.Conv2D(1, 2, 1), Rectified())(ones((1, 2, 2, 1))).numpy() == 7).all()
        assert (nn.Sequential(Plain(1, 2, 1), nn.ReLU())(ones((1, 2, 2, 1))).numpy() >= 0).all()

    @pytest.mark.parametrize(
        ("layer", "said"),
        [
            (nn.ReLU, "the class ReLU; write ReLU()"),
            ([nn.ReLU()], "a list; write Sequential(*layers)"),
            (ones, "a function; a function becomes one in the forward of a Module"),
            (None, "a NoneType; a function becomes one in the forward of a Module"),
        ],
    )
    def test_takes_nothing_but_modules(self, layer: Any, said: str) -> None:
        with pytest.raises(TypeError) as refusal:
            nn.Sequential(nn.Tanh(), layer)
        assert str(refusal.value) == f"Sequential takes Modules, but layer 1 is {said}"
