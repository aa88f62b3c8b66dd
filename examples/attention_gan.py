"""A self-attention GAN: in both networks, every pixel of the 16x16 maps attends to all others.

A convolution sees only what its kernel covers; attention relates a left sleeve to the right one
(Zhang et al., 2019). Spectral norm (Miyato et al., 2018) divides the weight of every layer, except
those of the attention and G's last layer, by its largest singular value. The loss is the hinge loss
(Lim & Ye, 2017):

    D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))),    G minimises -D(G(z)).

    python examples/attention_gan.py                  20 epochs on the embedded Fashion-MNIST
                                                      subset, four to five minutes on 2 fast cores
    python examples/attention_gan.py --data FOLDER    your own images

Watch samples/epoch-*.png. At the end, attention.png shows eight samples, one in each row: first the
image, then, for each of four pixels (at the crosses), where that pixel attends; brighter is more.
In the log, D(x) and D(G(z)) are D's scores: the loss is zero for real images above 1 and generated
images below -1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy
from dcgan import DCGANSizes, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.report.pictures import grid, save_png
from tinygen.training.gan import GAN
from tinygen.training.options import Positive

QUERIES = [(4, 4), (4, 11), (8, 8), (12, 5)]  # row and column of the pixels whose attention is drawn


@dataclass(kw_only=True)
class AttentionGANOptions(DCGANSizes):
    out: Path = Path("runs/attention_gan")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 20
    """passes over the training data, those before --resume included"""
    lr: Positive[float] = 4e-4
    """learning rate of Adam, for both networks"""
    sizes: ClassVar = (32,)


def generator(latent: int, channels: int) -> nn.Sequential:
    """(N, latent) -> (N, 32, 32, channels), from -1 to 1."""
    return nn.Sequential(
        nn.SpectralNorm(nn.Dense(latent, 4 * 4 * 256, bias=False)),
        nn.BatchNorm(4 * 4 * 256, negative_slope=0.2),
        nn.Reshape(4, 4, 256),
        nn.SpectralNorm(nn.ConvTranspose2D(256, 128, 4, stride=2, padding="same", bias=False)),
        nn.BatchNorm(128, negative_slope=0.2),
        nn.SpectralNorm(nn.ConvTranspose2D(128, 64, 4, stride=2, padding="same", bias=False)),
        nn.BatchNorm(64, negative_slope=0.2),
        nn.SelfAttention2D(64),
        nn.ConvTranspose2D(64, channels, 4, stride=2, padding="same"),
        nn.Tanh(),
    )


def discriminator(channels: int) -> nn.Sequential:
    """(N, 32, 32, channels) -> (N, 1), a score."""
    return nn.Sequential(
        nn.SpectralNorm(nn.Conv2D(channels, 64, 4, stride=2, padding="same")),
        nn.LeakyReLU(),
        nn.SelfAttention2D(64),
        nn.SpectralNorm(nn.Conv2D(64, 128, 4, stride=2, padding="same")),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.SpectralNorm(nn.Dense(8 * 8 * 128, 1)),
    )


def attention_picture(g: nn.Sequential, z: tg.Tensor) -> numpy.ndarray:
    """One row for each z: the generated image, and the attention of each pixel of QUERIES."""
    at = next(i for i, layer in enumerate(g) if isinstance(layer, nn.SelfAttention2D))
    with nn.evaluating(g):
        maps = g[:at](z)
        weights = g[at].weights(maps).numpy().reshape(len(z), 16, 16, 16, 16)
        images = (g[at:](maps).numpy() + 1) / 2
    cells = numpy.repeat(images[:, None], 1 + len(QUERIES), axis=1)
    for i, (row, column) in enumerate(QUERIES, start=1):
        looks = weights[:, row, column]
        looks = looks / looks.max(axis=(1, 2), keepdims=True)
        cells[:, i] = looks.repeat(2, axis=1).repeat(2, axis=2)[..., None]
        cells[:, i, 2 * row, 2 * column - 2 : 2 * column + 3] = cells[:, i, 2 * row - 2 : 2 * row + 3, 2 * column] = 1
    return grid(cells.reshape(-1, *cells.shape[2:]), columns=1 + len(QUERIES))


def build(options: AttentionGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint, with weights from N(0, 0.02^2)."""
    channels = data.train_images.shape[-1]
    networks = {"generator": generator(options.latent, channels), "discriminator": discriminator(channels)}
    for network in networks.values():
        nn.init.initialize(network, nn.init.normal)
    return networks


def main(options: AttentionGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    gan = GAN(options, data, **build(options, data), betas=(0.0, 0.9))
    train(gan, tg.hinge_discriminator_loss, tg.wasserstein_generator_loss, answer=lambda score: score)
    save_png(options.out / "attention.png", attention_picture(gan.generator, gan.noise(8)))
    print(f"attention: {options.out / 'attention.png'}")


if __name__ == "__main__":
    command_line(main, AttentionGANOptions)
