"""Judge the images that a finished run of an example has made, in half a minute:

    python -m tinygen.evaluate runs/dcgan

The numbers are of n made images, and beside them, as what can be reached, of n test images in their place:

    feature_frechet_distance   to n training images; features are the 64 of a classifier trained here on the others. Smaller is better
    recall, coverage           of those training images, 5 nearest neighbours. Larger is better
    class_entropy              of the classes that the classifier sees, in nats; all alike is the log of the number of classes
    mean_confidence            the classifier's probability of the class that it sees
    nearest_training_image     median distance to the nearest of all training images, in root mean square per pixel from 0 to 1
    copies                     share that is nearer to a training image than 99 of 100 test images are. Much above 0.01, the model has
                               learnt images by heart, or makes blurred ones

The share of each class is counted in all images that were made, 1,000. Of a run that logs test_-ELBO, bits per dimension are
-ELBO / (H W C log 2), under the likelihood that the run has for pixels: those of Bernoulli pixels are not those of 256 levels. The table
is also written to evaluation.json in the run's folder.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy
import tyro

from tinygen import backend
from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, coloured, load_images, pad_to
from tinygen.evaluation import metrics
from tinygen.evaluation.features import FeatureClassifier, train_classifier
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import read_run


@dataclass(kw_only=True)
class EvaluateOptions:
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """the folder of a finished run"""


def evaluate(run: Path) -> dict[str, Any]:
    """What evaluation.json holds about the run in this folder; the same bits each time. Sets the random stream.

    Raises ValueError or FileNotFoundError if there is no finished run that has made images, or its data are gone.
    """
    images, epochs, data = _read_run(run)
    backend.manual_seed(0)
    n = min(len(images), len(data.test_images), len(data.train_images) // 2)
    order = backend.generator().permutation(len(data.train_images))
    unseen, seen = order[:n], order[n:]
    classifier = train_classifier(data.train_images[seen], data.train_labels[seen], len(data.classes))
    reference, _ = classifier.describe_images(data.train_images[unseen])
    near = numpy.quantile(training_distances(data.test_images[:n], data), 0.01)
    made_classes, test_classes = classifier.classify(images), classifier.classify(data.test_images)
    return {
        "run": str(run),
        "epochs": epochs,
        "data": data.describe(),
        "n": n,
        "classifier": {"training_images": len(seen), "test_accuracy": float((test_classes == data.test_labels).mean())},
        "made": numbers(images[:n], classifier, reference, data, near),
        "real": numbers(data.test_images[:n], classifier, reference, data, near),
        "class_shares": {
            "made": dict(zip(data.classes, _shares(made_classes, data).tolist(), strict=True)),
            "real": dict(zip(data.classes, _shares(test_classes, data).tolist(), strict=True)),
        },
        "bits_per_dimension": _bits_per_dimension(run, math.prod(images.shape[1:])),
    }


def numbers(
    images: numpy.ndarray, classifier: FeatureClassifier, reference: numpy.ndarray, data: ImageDataset, near: float
) -> dict[str, float]:
    """One column of the table: images against the features of reference and all training images. `near` decides what is a copy."""
    features, probabilities = classifier.describe_images(images)
    nearest = training_distances(images, data)
    return {
        "feature_frechet_distance": metrics.frechet_distance(features, reference),
        "recall": metrics.recall(reference, features),
        "coverage": metrics.coverage(reference, features),
        "class_entropy": metrics.entropy(_shares(probabilities.argmax(axis=1), data)),
        "mean_confidence": float(probabilities.max(axis=1).mean()),
        "nearest_training_image": float(numpy.median(nearest)),
        "copies": float((nearest < near).mean()),
    }


def training_distances(images: numpy.ndarray, data: ImageDataset) -> numpy.ndarray:
    """The root mean square difference of each image to the nearest training image."""
    flat, training = (part.reshape(len(part), -1) for part in (images, data.train_images))
    return metrics.nearest_distances(flat, training) / (255 * math.sqrt(flat.shape[1]))


def _shares(classes: numpy.ndarray, data: ImageDataset) -> numpy.ndarray:
    return numpy.bincount(classes, minlength=len(data.classes)) / len(classes)


def _read_run(run: Path) -> tuple[numpy.ndarray, int, ImageDataset]:
    """The images that a finished run has made, the epochs behind them, and the data as the model saw them."""
    if not (run / "checkpoint.safetensors").exists():
        raise UsageError(f"{run} is no folder of a run: it has no checkpoint.safetensors")
    trained = read_run(run / "checkpoint.safetensors")
    options = trained.options
    if not (run / "generated.safetensors").exists():
        raise UsageError(
            f"{run} has no generated.safetensors: it is not finished and --resume goes on with it, or its model makes no images"
        )
    arrays, metadata = checkpoint.load(run / "generated.safetensors")
    epochs = int(metadata["epoch"])
    if (epochs, 0) != (trained.epoch, trained.batch):
        raise UsageError(
            f"{run} is not finished: its images were made after epoch {epochs}, and since then it has trained "
            f"{trained.epoch - epochs} epochs and {trained.batch} batches; --resume goes on with it"
        )
    if missing := [name for name in ("data", "size", "crop", "grey") if name not in options]:
        raise UsageError(f"{run} does not say which images it was trained on: its checkpoint lacks the options {', '.join(missing)}")
    data = load_images(options["data"], options["size"], options["crop"], options["grey"])
    return arrays["images"], epochs, _as_seen(data, arrays["images"].shape[1:], run)


def _as_seen(data: ImageDataset, shape: tuple[int, ...], run: Path) -> ImageDataset:
    """The data in the form of the made images: coloured by class where only those have colour, and with a black border where smaller."""
    if shape[2] == 3 and data.train_images.shape[3] == 1:
        data = coloured(data, shape[0])
    train, test = data.train_images, data.test_images
    if shape[0] == shape[1] >= max(train.shape[1:3]):
        train, test = pad_to(train, shape[0]), pad_to(test, shape[0])
    if train.shape[1:] != shape:
        raise UsageError(f"{run} made images of {shape}, which cannot be compared with {data.source}, {train.shape[1:]}")
    return ImageDataset(train, data.train_labels, test, data.test_labels, data.classes, data.source)


def _bits_per_dimension(run: Path, dimensions: int) -> float | None:
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    return last["test_-ELBO"] / (dimensions * math.log(2)) if "test_-ELBO" in last else None


def table(evaluation: dict[str, Any]) -> str:
    """An evaluation as text."""
    made, real = evaluation["made"], evaluation["real"]
    n, classifier, shares = evaluation["n"], evaluation["classifier"], evaluation["class_shares"]
    lines = [
        f"{evaluation['run']} after {evaluation['epochs']} epochs",
        evaluation["data"],
        f"classifier: trained on {classifier['training_images']:,} training images, test accuracy {classifier['test_accuracy']:.3f}",
        "",
        f"{f'n = {n}':<26}{'made':>10}{'real':>10}",
        *(f"{name:<26}{made[name]:10.3f}{real[name]:10.3f}" for name in made),
        "",
        f"{'share of the class':<26}{'made':>10}{'real':>10}",
        *(f"{name:<26}{shares['made'][name]:10.3f}{shares['real'][name]:10.3f}" for name in shares["made"]),
    ]
    if (bits := evaluation["bits_per_dimension"]) is not None:
        lines += ["", f"bits per dimension, from the -ELBO of the test images: {bits:.4f}"]
    return "\n".join(lines)


def main(options: EvaluateOptions) -> None:
    evaluation = evaluate(options.run)
    checkpoint.write_whole(options.run / "evaluation.json", (json.dumps(evaluation, indent=2) + "\n").encode())
    print(table(evaluation))
