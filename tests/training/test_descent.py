"""The options of how weights are moved: off by default, and resumed bit for bit where they are on."""

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import ROWS, contents

import tinygen as tg
from tinygen import nn, optim
from tinygen.command_line import UsageError
from tinygen.data import Loader
from tinygen.report.pictures import grid
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import read_run
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Training


@dataclass(kw_only=True)
class SmallOptions(DescentOptions):
    out: Path = Path("run")
    options: dict[str, Any] = field(default_factory=dict)


def run(folder: Path, stop_at: int | None = None, resume: bool = False, epochs: int = 3, **options: Any) -> Training:
    """Three epochs of five steps of a network with batch norm; a signal comes in step `stop_at`."""
    given = SmallOptions(out=folder, epochs=epochs, batch_size=8, seed=1, resume=resume, **options)
    given.check()
    tg.manual_seed(1)
    model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Dropout(0.5), nn.Dense(4, 3))
    adam = given.adam(model, len(ROWS))
    taken = 0

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        nonlocal taken
        loss = tg.mse_loss(model(tg.tensor(batch)), tg.tensor(batch))
        adam.minimize(loss)
        taken += 1
        if taken == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return {"loss": loss}

    def generate(n: int) -> numpy.ndarray:
        with nn.evaluating(model):
            return tg.sigmoid(model(tg.randn((n, 3)))).numpy().reshape(n, 3, 1, 1)

    training = Training(
        given,
        {"model": model, "adam": adam},
        Loader(ROWS, batch_size=8, seed=1),
        step,
        samples=lambda: grid(generate(4)),
        evaluate=lambda: {"mean": float(generate(3).mean())},
        generate=generate,
        average=given.averaged(model),
    )
    training.run()
    return training


ON = {"schedule": "cosine", "warm_up": 4, "weight_decay": 0.1, "clip_norm": 0.5, "clip_value": 0.1, "average": 0.9}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("descent") / "whole"
    run(folder, **ON)
    return folder


@settings(deadline=None, max_examples=6)
@given(stop_at=st.integers(1, 14))
def test_a_resumed_run_ends_with_the_same_bits(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory, stop_at: int) -> None:
    folder = tmp_path_factory.mktemp("descent") / "stopped"
    with pytest.raises(SystemExit):
        run(folder, stop_at, **ON)
    run(folder, resume=True, **ON)
    assert contents(folder) == contents(uninterrupted)


@pytest.mark.parametrize("left_out", ON)
def test_each_option_has_an_effect(uninterrupted: Path, tmp_path: Path, left_out: str) -> None:
    run(tmp_path, **{name: value for name, value in ON.items() if name != left_out})
    images = [checkpoint.load(folder / "generated.safetensors")[0]["images"] for folder in (tmp_path, uninterrupted)]
    assert (images[0] != images[1]).any()


def test_all_is_off_by_default() -> None:
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm(2))
    adam = SmallOptions(lr=0.5).adam(model, 100, (0.5, 0.9))
    assert type(adam) is optim.Adam and (adam.lr, adam.betas, adam.schedule) == (0.5, (0.5, 0.9), None)
    assert adam.parameters == model.parameters() and SmallOptions().averaged(model) is None


def test_weight_decay_leaves_norms_and_biases_alone() -> None:
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm(2))
    groups = SmallOptions(weight_decay=0.25, lr=0.5).adam(model, 100)
    assert isinstance(groups, optim.Groups)
    decay = {id(p): optimizer.weight_decay for optimizer in groups.optimizers for p in optimizer.parameters}
    assert [decay[id(p)] for p in model.parameters()] == [0.25, 0, 0, 0]
    bare = SmallOptions(weight_decay=0.25).adam(nn.Dense(2, 2, bias=False), 100)
    assert len(bare.optimizers) == 1


@pytest.mark.parametrize(("every", "steps"), [(1, 36), (3, 12)])
def test_a_schedule_ends_with_the_run(every: int, steps: int) -> None:
    """Of 100 examples, 12 batches of 8 are taken in each of 3 epochs."""
    model = nn.Dense(1, 1)
    adam = SmallOptions(epochs=3, batch_size=8, schedule="linear", warm_up=5).adam(model, 100, every=every)
    assert adam.schedule == optim.Schedule(1e-3, "linear", steps, 5)


def test_samples_and_generated_images_are_of_the_average(tmp_path: Path) -> None:
    """Also those of whoever opens the run, and of pictures that a script makes after it."""
    training = run(tmp_path, average=0.9)
    state = read_run(tmp_path / "checkpoint.safetensors")
    model, latest, average = training.parts["model"], state.parts["model"], state.parts["model_average"]
    assert average["updates"] == 15 and set(state.weights("model")) == set(latest)
    for name, array in model.state_dict().items():
        numpy.testing.assert_array_equal(array, average[name])
        numpy.testing.assert_array_equal(array, state.weights("model")[name])
        assert (array != latest[name]).any()
    tg.backend.set_random_state(state.random)
    expected = numpy.concatenate([training.generate(100) for _ in range(10)])  # exchanges once more: with the latest weights
    images = checkpoint.load(tmp_path / "generated.safetensors")[0]["images"]
    assert (numpy.rint(expected * 255) != images).any()
    training.average.exchange()
    tg.backend.set_random_state(state.random)
    expected = numpy.concatenate([training.generate(100) for _ in range(10)])
    numpy.testing.assert_array_equal(numpy.rint(expected * 255), images)


def test_without_an_average_the_weights_are_the_latest(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    state = read_run(tmp_path / "checkpoint.safetensors")
    assert state.weights("model") == state.parts["model"] and state.weights("none") == {}


def test_the_end_of_a_schedule_cannot_be_moved(tmp_path: Path) -> None:
    run(tmp_path / "cosine", schedule="cosine")
    with pytest.raises(UsageError, match="is from a run with other options: epochs 3 is now 4; resume with those of the run"):
        run(tmp_path / "cosine", schedule="cosine", resume=True, epochs=4)
    run(tmp_path / "warm", warm_up=3)
    run(tmp_path / "warm", warm_up=3, resume=True, epochs=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"average": 1.0}, "--average must be at least 0 and below 1, got 1.0"),
        ({"average": -0.1}, "--average must be at least 0 and below 1, got -0.1"),
        ({"warm_up": -1}, "--warm-up must be at least 0, got -1"),
        ({"warm_up": 15}, "--warm-up must be below 15, the number of steps of the run, got 15"),
        ({"weight_decay": -1.0}, "--weight-decay must be at least 0, got -1.0"),
        ({"clip_norm": 0.0}, "--clip-norm must be positive, got 0.0"),
        ({"clip_value": -2.0}, "--clip-value must be positive, got -2.0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        run(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
