"""A class-conditional GAN: both networks are given the label (Mirza & Osindero, 2014).

The losses are DCGAN's for pairs of image x and label y. With the sigmoid s, D minimises -log s(D(x,
y)) - log(1 - s(D(G(z, y), y))) and G minimises -log s(D(G(z, y), y)). D rejects a good image with a
wrong label, so G learns to generate what the label says. Each network embeds the label as a vector
e. G takes e beside the noise. D's logit is w h + e h for the features h of the image; the term e h
measures whether they are features of that class (projection: Miyato & Koyama, 2018).

    python examples/cgan.py                  50 epochs on the embedded Fashion-MNIST subset,
                                             four minutes on 2 fast cores
    python examples/cgan.py --data FOLDER    your own images

samples/epoch-*.png has one row for each class; the images of a column share their noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from dcgan import DCGANOptions, discriminator, discriminator_loss, generator, generator_loss, initialized

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.training.gan import GAN, TrainedGAN
from tinygen.training.loop import Metrics

COLUMNS = 10


@dataclass(kw_only=True)
class CGANOptions(DCGANOptions):
    out: Path = Path("runs/cgan")
    """folder of the run: log, samples, checkpoint"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedCGAN":
        return TrainedCGAN(networks["generator"], self, data.classes)


class ConditionalGenerator(nn.Module):
    """Noise (N, latent) and labels (N,) -> images (N, size, size, channels) from -1 to 1."""

    def __init__(self, latent: int, classes: int, channels: int, size: int, residual: bool = False, features: int = 50) -> None:
        self.embedding = nn.Embedding(classes, features)
        self.network = generator(latent + features, channels, size, residual)

    def forward(self, z: tg.Tensor, labels: numpy.ndarray) -> tg.Tensor:
        return self.network(tg.concatenate([z, self.embedding(labels)], axis=1))


class ConditionalDiscriminator(nn.Module):
    """Images (N, size, size, channels), labels (N,) -> (N, 1), the logit of real and of the class."""

    def __init__(self, classes: int, channels: int, size: int, options: CGANOptions) -> None:
        *features, self.score = discriminator(channels, size, options)
        self.features = nn.Sequential(*features)
        self.embedding = nn.Embedding(classes, len(self.score.weight))

    def forward(self, x: tg.Tensor, labels: numpy.ndarray) -> tg.Tensor:
        h = self.features(x)
        return self.score(h) + (self.embedding(labels) * h).sum(axis=1, keepdims=True)


class TrainedCGAN(TrainedGAN):
    """A latent vector is the noise and, behind it, the embedding of the class: one can walk from class to class."""

    def __init__(self, generator: ConditionalGenerator, options: CGANOptions, classes: tuple[str, ...]) -> None:
        super().__init__(generator.network, options)
        self.embedding, self.classes = generator.embedding, classes

    def draw(self, n: int, classes: list[int] | None = None) -> tg.Tensor:
        labels = numpy.arange(n) % len(self.classes) if classes is None else numpy.array(classes)
        return tg.concatenate([super().draw(n), self.embedding(labels)], axis=1)


def build(options: CGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint."""
    classes, (*_, size, channels) = len(data.classes), data.train_images.shape
    networks = {
        "generator": ConditionalGenerator(options.latent, classes, channels, size, options.residual),
        "discriminator": ConditionalDiscriminator(classes, channels, size, options),
    }
    return initialized(networks, options.residual)


def main(options: CGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    gan = GAN(options, data, **build(options, data))
    g, d, classes = gan.generator, gan.discriminator, len(data.classes)

    def step(batch: numpy.ndarray, labels: numpy.ndarray) -> Metrics:
        real, fake = gan.real(batch), g(gan.noise(len(batch)), labels)

        real_logits, fake_logits = d(real, labels), d(fake.detach(), labels)
        loss_d, penalty = discriminator_loss(real_logits, fake_logits), gan.penalty(real, real_logits)
        gan.adam_d.minimize(sum(penalty.values(), loss_d))

        loss_g = generator_loss(d(fake, labels))
        gan.adam_g.minimize(loss_g)
        metrics = {"D": loss_d, "G": loss_g, "D(x)": tg.sigmoid(real_logits).mean(), "D(G(z))": tg.sigmoid(fake_logits).mean()}
        return metrics | penalty

    noise = tg.concatenate([gan.noise(COLUMNS)] * classes)
    rows = numpy.repeat(numpy.arange(classes), COLUMNS)
    gan.train(step, lambda: gan.sample(noise, rows), data.train_labels, columns=COLUMNS)


if __name__ == "__main__":
    command_line(main, CGANOptions)
