"""InfoGAN: a GAN whose codes can be read from the image, and so acquire a meaning.

Beside the noise z, G takes codes c: one of ten categories, and two numbers uniform from -1 to 1. A
second head Q on the discriminator's layers predicts the codes of a generated image. Besides playing
DCGAN's game, both networks maximise, with weight --information, a lower bound on the mutual
information of c and G(z, c) (Chen et al., 2016):

    E log Q(c | G(z, c)) + constants
        = -(cross-entropy of the category) - 1/2 (squared error of the numbers),

the log-likelihood of a categorical distribution and of Gaussians of variance 1. No labels are used.

    python examples/infogan.py                  50 epochs on the embedded Fashion-MNIST subset,
                                                three minutes on 2 fast cores
    python examples/infogan.py --data FOLDER    your own images

samples/epoch-*.png has one column for each category. Down the first five rows the first number goes
from -1 to 1, down the other five the second; the noise is the same everywhere. In the log, accuracy
is that of Q's categories on the test images after the best matching of categories and classes;
chance is 0.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from dcgan import DCGANOptions, discriminator, discriminator_loss, generator, generator_loss, initialized

import tinygen as tg
from tinygen import backend, nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.optim.schedule import Shape
from tinygen.training.gan import GAN, TrainedGAN
from tinygen.training.loop import Metrics
from tinygen.training.options import Positive

CATEGORIES, NUMBERS = 10, 2


@dataclass(kw_only=True)
class InfoGANOptions(DCGANOptions):
    out: Path = Path("runs/infogan")
    """folder of the run: log, samples, checkpoint"""
    latent: Positive[int] = 32
    """dimensions of the noise; the more there are, the less the codes determine"""
    schedule: Shape = "constant"
    """how the learning rate falls over the run: linearly or as a cosine to 0, or in two steps of a tenth"""
    information: float = 0.15
    """weight of the mutual information; with more, G generates fewer kinds of images"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedInfoGAN":
        return TrainedInfoGAN(networks["generator"], self)


class InfoDiscriminator(nn.Module):
    """(N, size, size, channels) -> logits of real (N, 1) and of categories (N, 10), numbers (N, 2)."""

    def __init__(self, channels: int, size: int, options: InfoGANOptions) -> None:
        *trunk, self.real = discriminator(channels, size, options)
        self.trunk = nn.Sequential(*trunk)
        self.q = nn.Sequential(nn.Dense(len(self.real.weight), 128), nn.LeakyReLU(), nn.Dense(128, CATEGORIES + NUMBERS))

    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        h = self.trunk(x)
        codes = self.q(h)
        return self.real(h), codes[:, :CATEGORIES], codes[:, CATEGORIES:]


def draw_codes(n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Categories (n,) and numbers (n, 2), all uniform."""
    stream = backend.generator()
    return stream.integers(CATEGORIES, size=n), stream.uniform(-1, 1, (n, NUMBERS)).astype(numpy.float32)


def inputs(z: tg.Tensor, categories: numpy.ndarray, numbers: numpy.ndarray) -> tg.Tensor:
    """The generator's input: noise, the category as a one-hot vector, the two numbers."""
    codes = numpy.concatenate([numpy.eye(CATEGORIES, dtype=numpy.float32)[categories], numbers], axis=1)
    return tg.concatenate([z, tg.tensor(codes, device=z.device)], axis=1)


class TrainedInfoGAN(TrainedGAN):
    """A latent vector is the noise and, behind it, the codes. The classes are the categories."""

    classes = tuple(map(str, range(CATEGORIES)))

    def draw(self, n: int, classes: list[int] | None = None) -> tg.Tensor:
        z, (categories, numbers) = super().draw(n), draw_codes(n)
        return inputs(z, categories if classes is None else numpy.array(classes), numbers)


def information_loss(logits: tg.Tensor, means: tg.Tensor, categories: numpy.ndarray, numbers: tg.Tensor) -> tg.Tensor:
    """-log Q(c | G(z, c)) without its constants, averaged over the batch."""
    return tg.cross_entropy(logits, categories) + 0.5 * ((means - numbers) ** 2).sum(axis=1).mean()


def clusters_of(images: numpy.ndarray, gan: GAN) -> numpy.ndarray:
    """The most likely category of each image (N,), in batches of 500."""
    with nn.evaluating(gan.discriminator):
        logits = [gan.discriminator(gan.real(images[i : i + 500]))[1].numpy() for i in range(0, len(images), 500)]
    return numpy.concatenate(logits).argmax(axis=1)


def clustering_accuracy(clusters: numpy.ndarray, labels: numpy.ndarray, classes: int) -> float:
    """The accuracy of the best one-to-one matching of clusters and classes."""
    counts = numpy.zeros((classes, CATEGORIES), int)
    numpy.add.at(counts, (labels, clusters), 1)
    best = {frozenset[int](): 0}  # most matches of the classes so far, by the set of clusters used
    for row in counts:
        longer = dict(best)  # this class without a cluster
        for used, total in best.items():
            for cluster in set(range(CATEGORIES)) - used:
                longer[used | {cluster}] = max(longer.get(used | {cluster}, 0), total + int(row[cluster]))
        best = longer
    return max(best.values()) / len(labels)


def build(options: InfoGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint."""
    *_, size, channels = data.train_images.shape
    networks = {
        "generator": generator(options.latent + CATEGORIES + NUMBERS, channels, size, options.residual),
        "discriminator": InfoDiscriminator(channels, size, options),
    }
    return initialized(networks, options.residual)


def main(options: InfoGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    gan = GAN(options, data, **build(options, data))
    g, d = gan.generator, gan.discriminator

    def step(batch: numpy.ndarray) -> Metrics:
        categories, numbers = draw_codes(len(batch))
        real, fake = gan.real(batch), g(inputs(gan.noise(len(batch)), categories, numbers))
        targets = categories, tg.tensor(numbers, device=options.device)

        (real_logits, *_), (fake_logits, *codes) = d(real), d(fake.detach())
        loss_d, penalty = discriminator_loss(real_logits, fake_logits), gan.penalty(real, real_logits)
        gan.adam_d.minimize(sum(penalty.values(), loss_d + options.information * information_loss(*codes, *targets)))

        fooled_logits, *codes = d(fake)
        loss_g, loss_q = generator_loss(fooled_logits), information_loss(*codes, *targets)
        gan.adam_g.minimize(loss_g + options.information * loss_q)
        return {
            "D": loss_d,
            "G": loss_g,
            "Q": loss_q,
            "D(x)": tg.sigmoid(real_logits).mean(),
            "D(G(z))": tg.sigmoid(fake_logits).mean(),
            **penalty,
        }

    sweep = numpy.linspace(-1, 1, 5)
    numbers = numpy.zeros((2 * len(sweep), CATEGORIES, NUMBERS), numpy.float32)
    numbers[:5, :, 0] = numbers[5:, :, 1] = sweep[:, None]
    z = tg.concatenate([gan.noise(1)] * (10 * CATEGORIES))
    shown = inputs(z, numpy.tile(numpy.arange(CATEGORIES), 10), numbers.reshape(-1, NUMBERS))
    gan.train(
        step,
        samples=lambda: gan.sample(shown),
        columns=CATEGORIES,
        evaluate=lambda: {"accuracy": clustering_accuracy(clusters_of(data.test_images, gan), data.test_labels, len(data.classes))},
    )


if __name__ == "__main__":
    command_line(main, InfoGANOptions)
