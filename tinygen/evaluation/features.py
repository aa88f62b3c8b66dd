"""The features by which images are compared: the activations of a small classifier before its last
layer."""

from itertools import count, islice

import numpy

from tinygen import functional as F
from tinygen import nn, optim
from tinygen.backend import manual_seed
from tinygen.command_line import UsageError
from tinygen.data import Images, Loader, to_float
from tinygen.engine.mode import no_grad
from tinygen.engine.tensor import Tensor

FEATURES = 64


class FeatureClassifier(nn.Module):
    """Images (N, *size, channels) from 0 to 1 -> logits (N, classes), through FEATURES nonnegative
    features."""

    def __init__(self, size: tuple[int, int], channels: int, classes: int) -> None:
        rows, columns = (n // 2 // 2 for n in size)
        self.body = nn.Sequential(
            nn.Conv2D(channels, 32, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2D(2),
            nn.Conv2D(32, 64, 3, padding="same"),
            nn.ReLU(),
            nn.MaxPool2D(2),
            nn.Flatten(),
            nn.Dense(rows * columns * 64, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Dense(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))

    def describe_images(self, images: Images) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The features (N, FEATURES) and the probabilities (N, classes) of uint8 images."""
        described = []
        with no_grad():
            for start in range(0, len(images), 500):
                features = self.body(_input(images[start : start + 500]))
                described.append((features.numpy(), F.softmax(self.head(features)).numpy()))
        features, probabilities = zip(*described, strict=True)
        return numpy.concatenate(features), numpy.concatenate(probabilities)

    def classify(self, images: Images) -> numpy.ndarray:
        """The most probable class (N,) of each uint8 image."""
        return self.describe_images(images)[1].argmax(axis=1)


def train_classifier(images: Images, labels: numpy.ndarray, classes: int, seed: int, steps: int) -> FeatureClassifier:
    """A classifier trained for `steps` batches of 64 of the uint8 images (N, H, W, C), by Adam on the
    cross-entropy.

    Its weights and the order of the batches depend on the seed alone. Sets the random stream.
    Raises UsageError if there are fewer than 2 classes.
    """
    if classes < 2:
        raise UsageError(f"a classifier needs 2 classes or more to learn features from, got {classes}")
    manual_seed(seed)
    _, height, width, channels = images.shape
    model = FeatureClassifier((height, width), channels, classes)
    adam = optim.Adam(model.parameters(), 1e-3)
    loader = Loader(images, labels, batch_size=min(64, len(images)), seed=seed)
    batches = (batch for epoch in count() for batch in loader.epoch(epoch))
    for batch, targets in islice(batches, steps):
        loss = F.cross_entropy(model(_input(batch)), targets)
        adam.minimize(loss)
    return model


def _input(images: Images) -> Tensor:
    return F.tensor(to_float(images, 0, 1))
