"""The journey of one batch: none of its stops may vanish, since the reading path leads along them."""

from pathlib import Path

import cnn
import dcgan
import pytest

from tinygen.command_line import UsageError
from tinygen.commands.journey import told, traced
from tinygen.inspection.journey import Stop, journey, trace

THERE = [
    "step",
    "Sequential.__call__",
    "Sequential.forward",
    "Conv2D.forward",
    "conv2d",
    "ConvLeakyReLUFunction.__call__",
    "ConvLeakyReLUFunction.forward",
    "Conv2DFunction.forward",
    "launch",
    "gather_tile",
]
BACK = [
    "Adam.minimize",
    "backward",
    "backpropagate",
    "ConvLeakyReLUFunction.backward",
    "Conv2DFunction.backward",
    "Conv2DWeightFunction.forward",
    "conv2d_weight",
    "Conv2DDataFunction.forward",
    "conv2d_data",
    "Adam.step",
    "Adam.update",
    "adam",
]


def test_the_journey_of_the_dcgan(few_images: Path) -> None:
    there, back = traced(dcgan, data=few_images, batch_size=16)
    for stops, expected in ((there, THERE), (back, BACK)):
        assert len(stops) <= 20
        met = [stop.name for stop in stops if stop.name in expected]
        assert list(dict.fromkeys(met)) == expected  # conv2d is the name of a function and of a kernel
        for stop in stops:
            assert f"def {stop.name.rpartition('.')[2]}(" in "".join(Path(stop.file).read_text().splitlines(True)[stop.line - 1 :][:3])
    given = {stop.name: stop for stop in [*there, *back]}
    assert given["Conv2D.forward"].shapes == ["(32, 16, 16, 64)"]
    assert given["Conv2D.forward"].bytes == 32 * 16 * 16 * 64 * 4
    assert given["Conv2DFunction.forward"].shapes == ["(32, 16, 16, 64)", "(4, 4, 64, 128)", "(128,)"]
    assert given["Conv2DFunction.forward"].given[1] == ("w", "(4, 4, 64, 128)")
    assert given["conv2d_weight"].sentence == "The adjoint of conv2d in w"  # by the contract
    assert given["conv2d_weight"].shapes == ["(32, 16, 16, 64)", "(32, 8, 8, 128)"]
    assert given["gather_tile"].seconds is None and "pixels of a strip" in given["gather_tile"].sentence
    times = [stop.seconds for stop in there if stop.seconds is not None]
    assert times == sorted(times, reverse=True)  # each stop runs within the one before
    text = told(there, back)
    assert "    Conv2D(64 -> 128, 4x4, stride 2, padding same)." in text
    assert any(line.endswith("conv2d  x (32, 16, 16, 64)  weight (4, 4, 64, 128)  bias (128,)") for line in text)
    assert "to the largest convolution of the forward pass" in text[0] and text.index("Forward") < text.index("Backward")
    assert text[4].startswith("  1 step") and text[5].startswith("    examples/dcgan.py:")


def test_a_program_that_ends_before_its_third_step_or_has_no_convolution_is_told(few_images: Path) -> None:
    with pytest.raises(UsageError, match=r"cnn\.py: step in .*cnn\.py did not run three times"):
        traced(cnn, data=few_images, batch_size=64)
    with pytest.raises(LookupError, match="no convolution"):
        journey(trace(lambda: [plain_step() for _ in range(3)], Path(__file__), "plain_step", [Path(__file__).parent]))


def plain_step() -> Stop | None:
    """A step that computes nothing."""
    return None
