"""A convolutional classifier: three convolutions with max pooling, then two dense layers.

It is the architecture of LeCun et al. (1998), with ReLU. The network computes logits z, one for
each class, and minimises the cross-entropy -log softmax(z)[label].

    python examples/cnn.py                    12 epochs on the embedded Fashion-MNIST subset,
                                              a quarter of a minute on 2 fast cores
    python examples/cnn.py --data FOLDER      your own images

Expect a test accuracy of 0.86 to 0.89 with the 4,000 embedded images. samples/epoch-*.png shows the
25 misclassified test images with the highest confidence after each epoch; confusion.png shows the
confusion matrix at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

import tinygen as tg
from tinygen import nn
from tinygen.backend import to_device
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset, Loader, to_float
from tinygen.report.pictures import captioned_grid, confusion_matrix, save_png
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Metrics, Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained


@dataclass(kw_only=True)
class CNNOptions(DescentOptions, Options):
    out: Path = Path("runs/cnn")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 12
    """passes over the training images, those before --resume included"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedCNN":
        return TrainedCNN(networks["model"])


def classifier(size: tuple[int, int], channels: int, classes: int) -> nn.Sequential:
    """(N, *size, channels) -> (N, classes) logits."""
    if min(size) < 8:
        raise UsageError(f"images of {size[0]}x{size[1]} are too small, three poolings need 8x8; --size 32 resizes them")
    rows, columns = (n // 2 // 2 // 2 for n in size)
    return nn.Sequential(
        nn.Conv2D(channels, 32, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(32, 64, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(64, 128, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(rows * columns * 128, 512),
        nn.ReLU(),
        nn.Dense(512, classes),
    )


def predict(model: nn.Module, images: numpy.ndarray, device: str) -> numpy.ndarray:
    """The probabilities (N, classes) of uint8 images, in batches of 500."""
    with nn.evaluating(model):
        parts = [images[i : i + 500] for i in range(0, len(images), 500)]
        probabilities = [tg.softmax(model(tg.tensor(to_float(part, 0, 1), device=device))).numpy() for part in parts]
    return numpy.concatenate(probabilities)


def worst_mistakes(probabilities: numpy.ndarray, data: ImageDataset, count: int = 25) -> numpy.ndarray:
    """A picture of the misclassified test images, those with the highest confidence first."""
    predicted = probabilities.argmax(axis=1)
    wrong_by = probabilities.max(axis=1) - probabilities[numpy.arange(len(predicted)), data.test_labels]
    worst = numpy.argsort(-wrong_by, kind="stable")[: max(1, min(count, int((wrong_by > 0).sum())))]
    captions = [f"{data.classes[predicted[i]]} {probabilities[i].max():.2f}\nis {data.classes[data.test_labels[i]]}" for i in worst]
    return captioned_grid(numpy.asarray(data.test_images[worst]) / 255, captions, columns=5)


class TrainedCNN(Trained):
    """Classifies."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def classify(self, x: tg.Tensor) -> tg.Tensor:
        return tg.softmax(self.model(x))


def build(options: CNNOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The network, by its name in the checkpoint."""
    _, rows, columns, channels = data.train_images.shape
    return {"model": classifier((rows, columns), channels, len(data.classes))}


def main(options: CNNOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"].to(options.device)
    adam = options.adam(model, len(data.train_images))

    def step(images: numpy.ndarray, labels: numpy.ndarray) -> Metrics:
        logits = model(tg.tensor(to_float(images, 0, 1), device=options.device))
        loss = tg.cross_entropy(logits, labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        right = logits.data.argmax(axis=1) == to_device(labels, options.device)
        return {"loss": loss, "accuracy": right.mean()}

    def evaluate() -> dict[str, float]:
        probabilities = predict(model, data.test_images, options.device)
        rows = numpy.arange(len(data.test_labels))
        return {
            "test_loss": float(-numpy.log(probabilities[rows, data.test_labels] + 1e-12).mean()),
            "test_accuracy": float((probabilities.argmax(axis=1) == data.test_labels).mean()),
        }

    training = Training(
        options,
        {"model": model, "adam": adam},
        Loader(data.train_images, data.train_labels, batch_size=options.batch_size, seed=options.seed, augment=options.augmentation()),
        step,
        samples=lambda: worst_mistakes(predict(model, data.test_images, options.device), data),
        evaluate=evaluate,
        data=data,
        average=options.averaged(model),
    )
    training.run()
    predicted = predict(model, data.test_images, options.device).argmax(axis=1)
    counts = numpy.zeros((len(data.classes), len(data.classes)), int)
    numpy.add.at(counts, (data.test_labels, predicted), 1)
    save_png(options.out / "confusion.png", confusion_matrix(counts, data.classes))
    print(f"confusion matrix: {options.out / 'confusion.png'}")


if __name__ == "__main__":
    command_line(main, CNNOptions)
