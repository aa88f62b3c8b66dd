"""Judge the images that a finished run of an example has generated, in about a minute.

    tinygen evaluate runs/dcgan

A generator should draw from the distribution of its training images, without repeating them. The
test images are of that distribution, and no generator has seen them. Two questions follow:

Quality: are the generated images like the test images? The same is asked of training images in
their place. A generator that has learnt everything reaches that second column, and so does one that
repeats its training images. Novelty tells the two apart.

    feature_frechet_distance    squared distance to the test images over their variance, by the 64
                                features of a small classifier that is trained here; smaller is
                                better
    precision, density          is a generated image near test images, and near how many? Larger is
                                better
    recall, coverage            is a test image near generated images? Larger is better
    class_entropy               entropy of the classes that the classifier sees, in nats: log K for
                                K classes of the same size
    mean_confidence             the classifier's probability of the class that it sees

Novelty: how far are the generated images from all training images? The same is asked of test
images in their place.

    nearest_training_distance   median distance to the nearest training image, in root mean square
                                per pixel, from 0 to 1
    copies                      share of images nearer to a training image than 99 of 100 test
                                images are. One half of the n test images sets that bound, and the
                                other half is the second column. A generator whose share is far
                                above that column repeats training images, or generates blurred ones

How the images are chosen: each column has n of them, n being as large as the generated images, the
test images and half of the training images allow. They are drawn at random, since data sets and
generators may give their images class by class. The n training images of the quality column are
not among those that the classifiers are trained on, so that no column is of images whose classes
the classifiers have learnt by heart. The shares of the classes are of all generated and all test
images.

Every number comes with the margin of its 95% interval, `value ± margin`, from a bootstrap over the
images and from three classifiers, which are trained from different random weights (see
`tinygen.evaluation.estimate`). A difference between two runs that is smaller than their margins may
be chance. The table is also written to evaluation.json in the run's folder.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy
import tyro

from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, load_images
from tinygen.data.dataset import digest
from tinygen.evaluation.estimate import Estimate
from tinygen.evaluation.features import train_classifier
from tinygen.evaluation.judge import class_shares, judge_novelty, judge_quality, nearest_training_distances
from tinygen.report.html import write_report
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import RunFolder

FORMAT = 1  # of evaluation.json; the first one had no number
SEEDS = (0, 1, 2)  # of the classifiers
STEPS = 500  # of training each


@dataclass(kw_only=True)
class EvaluateOptions:
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """the folder of a finished run"""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """where the images that the run was trained on are now, if they have been moved"""


def evaluate(run: Path, data: Path | None = None) -> dict[str, Any]:
    """The contents of evaluation.json for the run in this folder; the same bits each time.

    `data` is where the run's images are now, if they have been moved. Sets the random stream.

    Raises UsageError or FileNotFoundError if the folder does not hold a finished run that generated
    images, if its data are gone or are other data, or if there are too few images or classes.
    """
    generated, epochs, images = _read_run(run, data)
    n = min(len(generated), len(images.test_images), len(images.train_images) // 2)
    unseen, seen = numpy.split(_permutation(len(images.train_images)), [n])
    classifiers = [
        train_classifier(images.train_images[seen], images.train_labels[seen], len(images.classes), seed, STEPS) for seed in SEEDS
    ]
    drawn, test = generated[_permutation(len(generated))[:n]], images.draw_test_images(n)
    bound, held_out = numpy.split(nearest_training_distances(test, images.train_images), [n // 2])
    accuracies = [float((classifier.classify(images.test_images) == images.test_labels).mean()) for classifier in classifiers]
    return {
        "format": FORMAT,
        "run": str(run),
        "epochs": epochs,
        "data": images.describe(),
        "classifiers": {"training_images": len(seen), "test_accuracies": accuracies},
        "n": n,
        "held_out": len(held_out),
        "quality": {
            "generated": judge_quality(drawn, test, classifiers),
            "training_images": judge_quality(images.train_images[unseen], test, classifiers),
        },
        "novelty": {
            "generated": judge_novelty(nearest_training_distances(drawn, images.train_images), bound),
            "test_images": judge_novelty(held_out, bound),
        },
        "class_shares": {
            "generated": class_shares(generated, classifiers, images.classes),
            "test_images": class_shares(images.test_images, classifiers, images.classes),
        },
    }


def _permutation(n: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).permutation(n)


def _read_run(run: Path, moved: Path | None) -> tuple[numpy.ndarray, int, ImageDataset]:
    """The images that a finished run generated, after how many epochs, and the data in the form in
    which the model saw them."""
    folder = RunFolder(run)
    if not folder.holds_a_checkpoint():
        raise UsageError(f"{run} is not the folder of a run: it has no checkpoint.safetensors")
    trained, instead = folder.read()
    if instead:
        print(instead, file=sys.stderr)
    options = trained.options
    if not folder.generated.exists():
        raise UsageError(
            f"{run} has no generated.safetensors: it is not finished and --resume goes on with it, or its model generates no images"
        )
    generated, epochs = folder.read_generated()
    if (epochs, 0) != (trained.epoch, trained.batch):
        raise UsageError(
            f"{run} is not finished: its images were generated after epoch {epochs}, and since then it has trained "
            f"{trained.epoch - epochs} epochs and {trained.batch} batches; --resume goes on with it"
        )
    if missing := [name for name in ("data", "size", "crop", "grey") if name not in options]:
        raise UsageError(f"{run} does not say which images it was trained on: its checkpoint lacks the options {', '.join(missing)}")
    loaded = load_images(moved or options["data"], options["size"], options["crop"], options["grey"], options.get("classes"))
    data = _as_seen(loaded, generated.shape[1:], run)
    if trained.data not in (None, data.digest(), digest(data.train_images), digest(data.train_images, data.train_labels)):
        raise UsageError(f"{run} was trained on other images than {loaded.source} holds; give the place of its own with --data")
    return generated, epochs, data


def _as_seen(data: ImageDataset, shape: tuple[int, ...], run: Path) -> ImageDataset:
    """The data in the form of the generated images: padded with black if those are larger."""
    if shape[0] == shape[1] >= max(data.train_images.shape[1:3]):
        data = data.padded(shape[0])
    if data.train_images.shape[1:] != shape:
        raise UsageError(f"{run} generated images of {shape}, which cannot be compared with {data.source}, {data.train_images.shape[1:]}")
    return data


def table(evaluation: Mapping[str, Any]) -> str:
    """An evaluation as text."""
    n, held_out, classifiers = evaluation["n"], evaluation["held_out"], evaluation["classifiers"]
    accuracies = ", ".join(f"{accuracy:.3f}" for accuracy in classifiers["test_accuracies"])
    return "\n".join(
        [
            f"{evaluation['run']} after {evaluation['epochs']} epochs",
            evaluation["data"],
            f"classifiers: trained on {classifiers['training_images']:,} training images, test accuracies {accuracies}",
            *_block(f"quality, against {n} test images", f"{n} generated", f"{n} training", evaluation["quality"]),
            *_block("novelty, against all training images", f"{n} generated", f"{held_out} test", evaluation["novelty"]),
            *_block("shares of the classes", "all generated", "all test", evaluation["class_shares"]),
        ]
    )


def _block(title: str, first: str, second: str, columns: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    left, right = columns.values()
    rows = [f"{name:<36}{in_words(left[name]):>18}{in_words(right[name]):>18}" for name in left]
    return ["", f"{title:<36}{first:>18}{second:>18}", *rows]


def in_words(number: Estimate) -> str:
    """An estimate as `value ± margin`."""
    return f"{number['value']:.3f} ± {number['margin']:.3f}"


def main(options: EvaluateOptions) -> None:
    evaluation = evaluate(options.run, options.data)
    folder = RunFolder(options.run)
    checkpoint.write_whole(folder.evaluation, (json.dumps(evaluation, indent=2) + "\n").encode())
    print(table(evaluation))
    if folder.report.exists():
        write_report([options.run], folder.report)  # with the evaluation
