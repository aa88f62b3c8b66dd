"""A finished run is judged from its folder alone."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, Loader, load_images
from tinygen.evaluation.evaluate import EvaluateOptions, evaluate, in_words, main
from tinygen.evaluation.judge import judge_novelty, nearest_training_distances
from tinygen.saving import checkpoint
from tinygen.training.loop import Training
from tinygen.training.options import Options


@pytest.fixture(autouse=True)
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few images of so few pixels are learnt in fewer steps."""
    monkeypatch.setattr("tinygen.evaluation.evaluate.STEPS", 80)
    monkeypatch.setattr("tinygen.evaluation.estimate.RESAMPLES", 20)


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
    data: Path | None,
    seen: Callable[[ImageDataset], ImageDataset] | None,
    epochs: int = 1,
    resume: bool = False,
    crop: int | None = 8,
) -> None:
    """A run of a model that sees the data in the form that `seen` gives them, and generates its
    training images, again and again; of one that generates nothing, if `seen` is None."""
    options = Options(out=folder, data=data, crop=crop, epochs=epochs, batch_size=60, resume=resume)
    trained_on = load_images(data, crop=crop)
    if seen is not None:
        trained_on = seen(trained_on)
    images = trained_on.train_images
    generated = 0

    def generate(n: int) -> numpy.ndarray:
        nonlocal generated
        generated += n
        return images[numpy.arange(generated - n, generated) % len(images)] / 255

    Training(
        options,
        {"model": nn.Dense(1, 1)},
        Loader(numpy.zeros(120), batch_size=60, seed=0),
        step=lambda batch: {"loss": 1.0},
        generate=generate if seen is not None else None,
        data=trained_on,
    ).run()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The arguments of each call of these functions."""
    calls: dict[str, list[Any]] = {"train_classifier": [], "judge_quality": [], "nearest_training_distances": []}

    def record(name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *arguments: calls[name].append(arguments) or function(*arguments))

    module = importlib.import_module("tinygen.evaluation.evaluate")
    for name in calls:
        record(name)
    return calls


def test_what_an_evaluation_says(few_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, list[Any]]) -> None:
    run = tmp_path / "run"
    finish_run(run, few_images, lambda data: data, epochs=2)
    capsys.readouterr()
    (run / "report.html").write_text("a report without evaluation")
    tg.manual_seed(5)
    main(EvaluateOptions(run=run))
    printed = capsys.readouterr().out
    assert "<h2>Evaluation</h2>" in (run / "report.html").read_text()
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation == evaluate(run), "the same bits whatever the random stream did before"

    assert (evaluation["format"], evaluation["epochs"], evaluation["n"], evaluation["held_out"]) == (1, 2, 30, 15)
    assert evaluation["data"] == f"data: {few_images}, 120 training and 30 test images of 8x8x1"
    classifiers = evaluation["classifiers"]
    assert classifiers["training_images"] == 90 and min(classifiers["test_accuracies"]) >= 0.5
    assert len(set(map(str, classifiers["test_accuracies"]))) > 1, "three classifiers, not one"
    quality, novelty, shares = evaluation["quality"], evaluation["novelty"], evaluation["class_shares"]
    assert novelty["generated"]["copies"] == {"value": 1, "margin": 0}
    assert (
        novelty["generated"]["nearest_training_distance"]["value"]
        < 1e-6
        < 0.05
        < novelty["test_images"]["nearest_training_distance"]["value"]
    )
    for column in quality.values():
        assert min(column[name]["value"] for name in ("precision", "density", "recall", "coverage")) > 0.5
        assert all(number["margin"] > 0 for number in column.values())
    data = load_images(few_images, crop=8)
    bound, held_out = numpy.split(nearest_training_distances(data.draw_test_images(30), data.train_images), 2)
    assert novelty["test_images"] == judge_novelty(held_out, bound), "no image sets the bound that it is judged by"
    assert {len(training) for _, training in given["nearest_training_distances"]} == {120}, "all training images, of both columns"
    taught, judged = ({image.tobytes() for image in given[name][-1][0]} for name in ("train_classifier", "judge_quality"))
    assert len(taught) == 90 and len(judged) == 30
    assert taught | judged == {image.tobytes() for image in data.train_images}, "the classifiers have not seen what is judged"
    assert shares["generated"]["Trouser"]["value"] == pytest.approx((data.train_labels == 1).mean(), abs=0.03), "of all 1,000 images"
    for column in shares.values():
        assert sum(share["value"] for share in column.values()) == pytest.approx(1) and len(column) == 10

    assert printed.startswith(f"{run} after 2 epochs\ndata: {few_images}, 120 training")
    for line in (
        ("quality, against 30 test images", "30 generated", "30 training"),
        ("density", *(in_words(quality[column]["density"]) for column in ("generated", "training_images"))),
        ("novelty, against all training images", "30 generated", "15 test"),
        ("copies", "1.000 ± 0.000", in_words(novelty["test_images"]["copies"])),
        ("shares of the classes", "all generated", "all test"),
        ("Trouser", *(in_words(shares[column]["Trouser"]) for column in ("generated", "test_images"))),
    ):
        assert "\n{:<36}{:>18}{:>18}\n".format(*line) in printed


def test_images_that_come_class_by_class_are_judged_as_shuffled_ones(tmp_path: Path) -> None:
    """A folder of images is read class by class, and some generators generate that way."""
    data = load_images(size=8)
    rng = numpy.random.default_rng(0)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    whole = dict(
        zip(names, (data.train_images[:100], data.train_labels[:100], data.test_images[:300], data.test_labels[:300]), strict=True)
    )

    def judged(name: str, order: Callable[[numpy.ndarray], numpy.ndarray]) -> dict[str, Any]:
        train, test = order(whole["train_labels"]), order(whole["test_labels"])
        arrays = {key: array[train if key.startswith("train") else test] for key, array in whole.items()}
        numpy.savez(tmp_path / f"{name}.npz", **arrays, classes=numpy.array(data.classes))
        finish_run(tmp_path / name, tmp_path / f"{name}.npz", lambda data: data)
        images = data.train_images[1000:2000][order(data.train_labels[1000:2000])]
        checkpoint.save(tmp_path / name / "generated.safetensors", {"images": images}, {"epoch": "1"})
        return evaluate(tmp_path / name)

    by_class = judged("by_class", lambda labels: numpy.argsort(labels, kind="stable"))
    shuffled = judged("shuffled", lambda labels: rng.permutation(len(labels)))
    assert by_class["n"] == shuffled["n"] == 50
    for block in ("quality", "novelty"):
        for column, numbers in shuffled[block].items():
            for name, number in numbers.items():
                other = by_class[block][column][name]
                assert abs(other["value"] - number["value"]) <= 1.5 * (other["margin"] + number["margin"]) + 0.05, (column, name)


def test_data_that_have_moved(few_images: Path, tmp_path: Path) -> None:
    before, after, run = tmp_path / "before.npz", tmp_path / "after.npz", tmp_path / "run"
    before.write_bytes(few_images.read_bytes())
    finish_run(run, before, lambda data: data)
    before.rename(after)
    with pytest.raises(FileNotFoundError):
        evaluate(run)
    assert evaluate(run, after)["data"] == f"data: {after}, 120 training and 30 test images of 8x8x1"


def test_other_data_than_those_of_the_run_are_refused(few_images: Path, tmp_path: Path) -> None:
    other, run = tmp_path / "other.npz", tmp_path / "run"
    with numpy.load(few_images) as arrays:
        numpy.savez(other, **{**arrays, "train_images": arrays["train_images"][::-1]})
    finish_run(run, few_images, lambda data: data)
    with pytest.raises(UsageError) as error:
        evaluate(run, other)
    assert str(error.value) == f"{run} was trained on other images than {other} holds; give the place of its own with --data"

    arrays, metadata = checkpoint.load(run / "checkpoint.safetensors")
    first_format = {name: metadata[name] for name in ("options", "progress")}
    checkpoint.save(run / "checkpoint.safetensors", {"random": arrays["run/random"]}, first_format)
    assert evaluate(run, other)["n"] == 30, "the first format did not tell what the data were"


def test_data_take_the_form_of_the_generated_images(few_images: Path, tmp_path: Path) -> None:
    finish_run(tmp_path, few_images, lambda data: data.padded(12))
    evaluation = evaluate(tmp_path)
    assert evaluation["data"].endswith("of 12x12x1")
    assert evaluation["novelty"]["generated"]["copies"]["value"] == 1


def test_data_that_are_not_square_are_padded_as_the_generated_images_were(few_images: Path, tmp_path: Path) -> None:
    with numpy.load(few_images) as arrays:
        narrow = {name: array[:, :, :6] if name.endswith("images") else array for name, array in arrays.items()}
    numpy.savez(tmp_path / "narrow.npz", **narrow)
    finish_run(tmp_path / "run", tmp_path / "narrow.npz", lambda data: data.padded(9), crop=None)
    evaluation = evaluate(tmp_path / "run")
    assert evaluation["data"].endswith("of 9x9x1") and evaluation["novelty"]["generated"]["copies"]["value"] == 1


def test_what_cannot_be_judged(few_images: Path, tmp_path: Path) -> None:
    def refused(run: Path, message: str) -> None:
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            evaluate(run)
        assert message in str(error.value) and "\n" not in str(error.value)

    refused(tmp_path / "nowhere", f"{tmp_path / 'nowhere'} is not the folder of a run: it has no checkpoint.safetensors")

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    checkpoint.save(foreign / "checkpoint.safetensors", {"weights": numpy.ones(3)}, {})
    refused(foreign, f"{foreign / 'checkpoint.safetensors'} is not a checkpoint of a training run")

    finish_run(tmp_path / "classifier", few_images, None)
    refused(
        tmp_path / "classifier", "has no generated.safetensors: it is not finished and --resume goes on with it, or its model generates no"
    )

    again = tmp_path / "again"
    finish_run(again, few_images, lambda data: data)
    before = (again / "generated.safetensors").read_bytes()
    finish_run(again, few_images, lambda data: data, epochs=3, resume=True)
    (again / "generated.safetensors").write_bytes(before)
    refused(
        again, f"{again} is not finished: its images were generated after epoch 1, and since then it has trained 2 epochs and 0 batches"
    )

    arrays, metadata = checkpoint.load(again / "checkpoint.safetensors")
    checkpoint.save(again / "checkpoint.safetensors", arrays, metadata | {"options": '{"data": null, "seed": 0, "crop": 8}'})
    checkpoint.save(again / "generated.safetensors", {"images": numpy.zeros((9, 8, 8, 1), numpy.uint8)}, {"epoch": "3"})
    refused(again, f"{again} does not say which images it was trained on: its checkpoint lacks the options size, grey")

    finish_run(
        tmp_path / "larger",
        few_images,
        lambda data: replace(data, train_images=data.train_images[:, :6], test_images=data.test_images[:, :6]),
    )
    refused(tmp_path / "larger", f"generated images of (6, 8, 1), which cannot be compared with {few_images}, (8, 8, 1)")

    images, labels = numpy.zeros((12, 8, 8, 1), numpy.uint8), numpy.zeros(12, int)
    numpy.savez(tmp_path / "one.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    finish_run(tmp_path / "one", tmp_path / "one.npz", lambda data: data)
    refused(tmp_path / "one", "a classifier needs 2 classes or more to learn features from, got 1")

    numpy.savez(
        tmp_path / "three.npz", train_images=images, train_labels=numpy.arange(12) % 3, test_images=images[:3], test_labels=numpy.arange(3)
    )
    finish_run(tmp_path / "three", tmp_path / "three.npz", lambda data: data)
    refused(tmp_path / "three", "the 5 nearest neighbours of each image need more than 5 images, got 3")
    (tmp_path / "three.npz").unlink()
    refused(tmp_path / "three", f"{tmp_path / 'three.npz'} does not exist")


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinygen.evaluate"]
    refused = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"evaluate.py: {tmp_path} is not the folder of a run: it has no checkpoint.safetensors\n"
    text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "feature_frechet_distance" in text and "the folder of a finished run" in text
