import numpy
import pytest
from numpy.testing import assert_array_equal

from tinygen import Tensor, concatenate, is_recording, nn, random_state, zeros


def test_it_shows_layers_outputs_and_parameters() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2D(1, 8, 3), nn.ReLU(), nn.BatchNorm(8)), nn.ReLU(), nn.Flatten(), nn.Dense(128, 100))
    assert nn.summary(model, (2, 6, 6, 1)) == (
        "layer                                              output        parameters\n"
        "---------------------------------------------------------------------------\n"
        "input                                              (2, 6, 6, 1)\n"
        "Conv2D(1 -> 8, 3x3, stride 1, padding 0) + ReLU()  (2, 4, 4, 8)          80\n"
        "BatchNorm(8)                                       (2, 4, 4, 8)          16\n"
        "ReLU()                                             (2, 4, 4, 8)\n"
        "Flatten()                                          (2, 128)\n"
        "Dense(128 -> 100)                                  (2, 100)          12,900\n"
        "Sequential: 12,996 parameters"
    )


def test_it_shows_a_layer_within_another_and_what_the_other_has_of_its_own() -> None:
    assert nn.summary(nn.SpectralNorm(nn.Dense(4, 3)), (2, 4)) == (
        "layer           output  parameters\n"
        "----------------------------------\n"
        "input           (2, 4)\n"
        "Dense(4 -> 3)   (2, 3)          15\n"
        "SpectralNorm()  (2, 3)\n"
        "SpectralNorm: 15 parameters"
    )


def test_it_leaves_the_model_and_the_random_stream_as_they_were() -> None:
    model = nn.Sequential(nn.BatchNorm(2).eval(), nn.Dropout(), nn.Dense(2, 2), nn.BatchNorm(2))
    state, stream = model.state_dict(), random_state()
    with pytest.raises(ValueError, match=r"\nin BatchNorm\(2\)\n"):
        nn.summary(model, (3, 7))
    assert nn.summary(model, (3, 2)).endswith("Sequential: 14 parameters")
    assert [module.training for module in model.modules()] == [True, False, True, True, True]
    assert is_recording()
    assert_array_equal(random_state(), stream)
    for name, array in model.state_dict().items():
        assert_array_equal(array, state[name])


class Halves(nn.Module):
    """Gives a tuple."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :2], x[:, 2:]


class Joined(nn.Module):
    """Takes two inputs."""

    def __init__(self) -> None:
        self.dense = nn.Dense(5, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.dense(concatenate([a, b], 1))


def outputs(*arguments: object) -> list[str]:
    return [line.split("(", 1)[1].strip() for line in nn.summary(*arguments).splitlines()[2:-1]]  # type: ignore[arg-type]


def test_a_layer_that_gives_a_tuple() -> None:
    assert nn.summary(Halves(), (2, 4)).splitlines()[3].split("  ")[-1] == "(2, 2), (2, 2)"


def test_several_inputs() -> None:
    lines = nn.summary(Joined(), (3, 2), (3, 3)).splitlines()
    assert lines[2].split("  ")[-1].strip() == "(3, 2), (3, 3)"
    assert lines[3].split()[-3:] == ["(3,", "1)", "6"]


@pytest.mark.parametrize("labels", [numpy.zeros((2, 3), int), zeros((2, 3), "int64")])
def test_an_embedding_takes_integers(labels: Tensor) -> None:
    assert nn.summary(nn.Embedding(10, 4), labels).splitlines()[3].split()[-4:] == ["(2,", "3,", "4)", "40"]
