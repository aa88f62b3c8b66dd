"""Small images and networks, which train in seconds: Fashion-MNIST in 14x14 pixels, and dense layers."""

import functools
from collections.abc import Iterator

import numpy

from tinygen import functional as F
from tinygen import nn
from tinygen.data import Loader, load_images, to_float
from tinygen.data.fashion_mnist import EMBEDDED_FOLDER
from tinygen.engine.tensor import Tensor
from tinygen.training.gan import mean_distance

SIZE, LATENT, BATCH = 14, 16, 64
SHOWN = 16  # generated images in a picture
EVERY = 25  # steps between two points of a curve that takes long to compute


@functools.cache
def images(size: int = SIZE) -> numpy.ndarray:
    """The 4,000 embedded training images, uint8 (N, size, size, 1)."""
    return numpy.asarray(load_images(EMBEDDED_FOLDER, size=size).train_images)


def batches(steps: int, low: float, size: int = SIZE) -> Iterator[Tensor]:
    """So many batches of images, (BATCH, size, size, 1), from `low` to 1."""
    loader = Loader(images(size), batch_size=BATCH, seed=0)
    for step in range(steps):
        epoch, batch = divmod(step, len(loader))
        [rows] = next(loader.epoch(epoch, batch))
        yield F.tensor(to_float(rows, low, 1))


def noise(n: int = BATCH) -> Tensor:
    """z ~ N(0, 1): (n, LATENT)."""
    return F.randn((n, LATENT))


def generator() -> nn.Sequential:
    """(N, LATENT) -> (N, SIZE, SIZE, 1), from -1 to 1."""
    return nn.Sequential(
        nn.Dense(LATENT, 128),
        nn.LeakyReLU(),
        nn.Dense(128, 256),
        nn.LeakyReLU(),
        nn.Dense(256, SIZE * SIZE),
        nn.Tanh(),
        nn.Reshape(SIZE, SIZE, 1),
    )


def discriminator() -> nn.Sequential:
    """(N, SIZE, SIZE, 1) -> (N, 1), the logit of being real."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Dense(SIZE * SIZE, 256),
        nn.LeakyReLU(),
        nn.Dense(256, 128),
        nn.LeakyReLU(),
        nn.Dense(128, 1),
    )


def generated(g: nn.Module, n: int) -> numpy.ndarray:
    """Images of a generator, from 0 to 1."""
    return (g(noise(n)).numpy() + 1) / 2


def diversity(g: nn.Module) -> float:
    """The mean distance between generated images, divided by that between real ones."""
    return mean_distance(generated(g, 256)) / mean_distance(to_float(images()[:256], 0, 1))
