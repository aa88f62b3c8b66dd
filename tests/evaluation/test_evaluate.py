"""A finished run is judged from its folder alone."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.data import ImageDataset, Loader, coloured, load_images, pad_to
from tinygen.evaluation.evaluate import EvaluateOptions, evaluate, main
from tinygen.saving import checkpoint
from tinygen.training.loop import Training
from tinygen.training.options import Options


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 training and 30 test images of 9x9 pixels."""
    data = load_images(size=9)
    path = tmp_path_factory.mktemp("few") / "images.npz"
    train, test = slice(None, None, 33), slice(None, 480, 16)
    arrays = {"train_images": data.train_images[train][:120], "test_images": data.test_images[test]}
    labels = {"train_labels": data.train_labels[train][:120], "test_labels": data.test_labels[test]}
    numpy.savez(path, **arrays, **labels, classes=numpy.array(data.classes))
    return path


def finish_run(
    folder: Path,
    data: Path,
    make: Callable[[ImageDataset], numpy.ndarray] | None,
    epochs: int = 1,
    resume: bool = False,
    crop: int | None = 8,
) -> None:
    """A run of a model that makes, again and again, the uint8 images that `make` gives, and has a -ELBO of 50 nats."""
    options = Options(out=folder, data=data, crop=crop, epochs=epochs, batch_size=60, resume=resume)
    images = None if make is None else make(options.load_data())
    counter = nn.Dense(1, 1)
    made = 0

    def generate(n: int) -> numpy.ndarray:
        nonlocal made
        made += n
        assert images is not None
        return images[numpy.arange(made - n, made) % len(images)] / 255

    Training(
        options,
        {"model": counter},
        Loader(numpy.zeros(120), batch_size=60, seed=0),
        step=lambda batch: {"loss": 1.0},
        evaluate=lambda: {"test_-ELBO": 50.0},
        generate=None if images is None else generate,
    ).run()


def test_what_an_evaluation_says(few_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    finish_run(run, few_images, lambda data: data.train_images, epochs=2)
    capsys.readouterr()
    tg.manual_seed(5)
    main(EvaluateOptions(run=run))
    printed = capsys.readouterr().out
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation == evaluate(run), "the same bits whatever the random stream did before"

    made, real, shares = evaluation["made"], evaluation["real"], evaluation["class_shares"]
    assert (evaluation["epochs"], evaluation["n"], evaluation["classifier"]["training_images"]) == (2, 30, 90)
    assert evaluation["data"] == f"data: {few_images}, 120 training and 30 test images of 8x8x1"
    assert evaluation["classifier"]["test_accuracy"] >= 0.5
    assert made["copies"] == 1 and made["nearest_training_image"] < 1e-6 < 0.05 < real["nearest_training_image"]
    assert min(made["recall"], made["coverage"], real["recall"], real["coverage"]) > 0.5
    labels = load_images(few_images).train_labels
    assert shares["made"]["Trouser"] == pytest.approx((labels == 1).mean(), abs=0.03), "of all 1,000 images"
    assert sum(shares["made"].values()) == pytest.approx(1) and list(shares["real"]) == list(shares["made"])
    assert evaluation["bits_per_dimension"] == pytest.approx(50 / (64 * math.log(2)))

    assert f"{run} after 2 epochs\ndata: {few_images}, 120 training" in printed
    assert "n = 30                          made      real\n" in printed
    assert f"copies                         1.000{real['copies']:10.3f}\n" in printed
    assert f"Trouser                   {shares['made']['Trouser']:10.3f}{shares['real']['Trouser']:10.3f}\n" in printed
    assert "bits per dimension, from the -ELBO of the test images: 1.1271\n" in printed


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda data: pad_to(data.train_images, 12), "12x12x1"),
        (lambda data: coloured(data, 12).train_images, "12x12x3"),
    ],
    ids=["padded", "coloured by class"],
)
def test_data_take_the_form_of_the_made_images(
    few_images: Path, tmp_path: Path, make: Callable[[ImageDataset], numpy.ndarray], shape: str
) -> None:
    finish_run(tmp_path, few_images, make)
    evaluation = evaluate(tmp_path)
    assert evaluation["data"].endswith(f"of {shape}")
    assert evaluation["made"]["copies"] == 1 and evaluation["made"]["nearest_training_image"] < 1e-6


def test_data_that_are_not_square_are_padded_as_the_made_images_were(few_images: Path, tmp_path: Path) -> None:
    with numpy.load(few_images) as arrays:
        narrow = {name: array[:, :, :6] if name.endswith("images") else array for name, array in arrays.items()}
    numpy.savez(tmp_path / "narrow.npz", **narrow)
    finish_run(tmp_path / "run", tmp_path / "narrow.npz", lambda data: pad_to(data.train_images, 9), crop=None)
    evaluation = evaluate(tmp_path / "run")
    assert evaluation["data"].endswith("of 9x9x1") and evaluation["made"]["copies"] == 1


def test_what_cannot_be_judged(few_images: Path, tmp_path: Path) -> None:
    def refused(run: Path, message: str) -> None:
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            evaluate(run)
        assert message in str(error.value) and "\n" not in str(error.value)

    refused(tmp_path / "nowhere", f"{tmp_path / 'nowhere'} is no folder of a run: it has no checkpoint.safetensors")

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    checkpoint.save(foreign / "checkpoint.safetensors", {"weights": numpy.ones(3)}, {})
    refused(foreign, f"{foreign / 'checkpoint.safetensors'} is not a checkpoint of a training run")

    finish_run(tmp_path / "classifier", few_images, None)
    refused(tmp_path / "classifier", "has no generated.safetensors: it is not finished and --resume goes on with it, or its model makes no")

    again = tmp_path / "again"
    finish_run(again, few_images, lambda data: data.train_images)
    before = (again / "generated.safetensors").read_bytes()
    finish_run(again, few_images, lambda data: data.train_images, epochs=3, resume=True)
    (again / "generated.safetensors").write_bytes(before)
    refused(again, f"{again} is not finished: its images were made after epoch 1, and since then it has trained 2 epochs and 0 batches")

    arrays, metadata = checkpoint.load(again / "checkpoint.safetensors")
    checkpoint.save(again / "checkpoint.safetensors", arrays, metadata | {"options": '{"data": null, "seed": 0, "crop": 8}'})
    checkpoint.save(again / "generated.safetensors", {"images": numpy.zeros((9, 8, 8, 1), numpy.uint8)}, {"epoch": "3"})
    refused(again, f"{again} does not say which images it was trained on: its checkpoint lacks the options size, grey")

    finish_run(tmp_path / "larger", few_images, lambda data: data.train_images[:, :6])
    refused(tmp_path / "larger", f"made images of (6, 8, 1), which cannot be compared with {few_images}, (8, 8, 1)")

    images, labels = numpy.zeros((12, 8, 8, 1), numpy.uint8), numpy.zeros(12, int)
    numpy.savez(tmp_path / "one.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    finish_run(tmp_path / "one", tmp_path / "one.npz", lambda data: data.train_images)
    refused(tmp_path / "one", "a classifier needs 2 classes or more to learn features from, got 1")

    numpy.savez(tmp_path / "three.npz", train_images=images, train_labels=labels, test_images=images[:3], test_labels=numpy.arange(3))
    finish_run(tmp_path / "three", tmp_path / "three.npz", lambda data: data.train_images)
    refused(tmp_path / "three", "the 5 nearest neighbours of each image need more than 5 images, got 3")
    (tmp_path / "three.npz").unlink()
    refused(tmp_path / "three", f"{tmp_path / 'three.npz'} does not exist")


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinygen.evaluate"]
    refused = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"evaluate.py: {tmp_path} is no folder of a run: it has no checkpoint.safetensors\n"
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "feature_frechet_distance" in text and "the folder of a finished run" in text
