"""Variational autoencoders, convolutional and dense (Kingma & Welling, 2014).

The encoder computes mean m and log-variance l of a Gaussian in a latent space of 20 dimensions. A
sample z = m + e^(l/2) noise is decoded to one logit for each pixel. The loss is the negative of a
lower bound on log p(x), in nats per image:

    -ELBO = reconstruction + KL = -log p(x | z) + KL(N(m, e^l) || N(0, 1)),

where p(x | z) is a Bernoulli distribution for each pixel, and x is from 0 to 1.

    python examples/vae.py                    30 epochs on the embedded Fashion-MNIST subset,
                                              a quarter of a minute on 2 fast cores
    python examples/vae.py --dense --out runs/dense_vae
                                              the dense one, with 23 million weights, two minutes
    python examples/vae.py --data FOLDER      your own images

Expect a -ELBO on the test images of about 244 nats from either. samples/epoch-*.png shows test
images, below them their reconstructions, and then interpolations in latent space from the first
image of a row to the last.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy
import tyro

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset
from tinygen.training.vae import LatentModel, Variational, VariationalOptions


@dataclass(kw_only=True)
class VAEOptions(VariationalOptions):
    out: Path = Path("runs/vae")
    """folder of the run: log, samples, checkpoint"""
    dense: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """fully connected networks instead of convolutional ones"""


class VAE(LatentModel):
    """Images (N, H, W, channels) and their latent Gaussians (N, latent).

    A subclass makes the networks: `encoder` from images to features, `mean` and `log_var` from
    features to (N, latent), `decoder` from (N, latent) to one logit for each pixel and channel.
    """

    encoder: nn.Module
    mean: nn.Module
    log_var: nn.Module

    def encode(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        """The logits of the pixels for one sample z of each image, mean, and log-variance."""
        mean, log_var = self.encode(x)
        noise = tg.randn(mean.shape, mean.dtype, mean.device)
        return self.decoder(mean + tg.exp(0.5 * log_var) * noise), mean, log_var


class ConvolutionalVAE(VAE):
    """For images (H, W, channels) with H and W divisible by 4."""

    def __init__(self, shape: tuple[int, int, int], latent: int) -> None:
        height, width, channels = shape
        if height % 4 or width % 4:
            raise UsageError(f"images of {height}x{width} do not fit: height and width must be divisible by 4; --size 32, or --dense")
        rows, columns = height // 4, width // 4
        self.encoder = nn.Sequential(
            nn.Conv2D(channels, 32, 3, stride=2, padding="same"),
            nn.ReLU(),
            nn.Conv2D(32, 64, 3, stride=2, padding="same"),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean = nn.Dense(rows * columns * 64, latent)
        self.log_var = nn.Dense(rows * columns * 64, latent)
        self.decoder = nn.Sequential(
            nn.Dense(latent, rows * columns * 64),
            nn.ReLU(),
            nn.Reshape(rows, columns, 64),
            nn.ConvTranspose2D(64, 32, 4, stride=2, padding="same"),
            nn.ReLU(),
            nn.ConvTranspose2D(32, channels, 4, stride=2, padding="same"),
        )


class DenseVAE(VAE):
    """For images (H, W, channels) of any shape, flattened."""

    def __init__(self, shape: tuple[int, int, int], latent: int) -> None:
        pixels = math.prod(shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dense(pixels, 4096), nn.LeakyReLU(), nn.Dense(4096, 2048), nn.LeakyReLU())
        self.mean = nn.Dense(2048, latent)
        self.log_var = nn.Dense(2048, latent)
        self.decoder = nn.Sequential(
            nn.Dense(latent, 2048),
            nn.LeakyReLU(),
            nn.Dense(2048, 4096),
            nn.LeakyReLU(),
            nn.Dense(4096, pixels),
            nn.Reshape(*shape),
        )


def reconstruction_loss(x: tg.Tensor, logits: tg.Tensor) -> tg.Tensor:
    """-log p(x | z), averaged over the batch: the sum over pixels of softplus(logit) - x logit."""
    return (tg.softplus(logits) - x * logits).sum(axis=(1, 2, 3)).mean()


def negative_elbo(x: tg.Tensor, logits: tg.Tensor, mean: tg.Tensor, log_var: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """Its two terms, averaged over the batch: reconstruction and KL divergence."""
    return reconstruction_loss(x, logits), tg.gaussian_kl(mean, log_var)


def train(model: VAE, data: ImageDataset, options: VariationalOptions) -> None:
    """Train any VAE."""
    run = Variational(options, data, model)

    def losses(x: tg.Tensor) -> dict[str, tg.Tensor]:
        reconstruction, kl = negative_elbo(x, *model(x))
        return {"-ELBO": reconstruction + kl, "reconstruction": reconstruction, "KL": kl}

    def step(images: numpy.ndarray) -> dict[str, tg.Tensor]:
        of_batch = losses(run.pixels(images))
        run.adam.minimize(of_batch["-ELBO"])
        return of_batch

    run.train(step, losses)


def build(options: VAEOptions, data: ImageDataset) -> dict[str, VAE]:
    """The network, by its name in the checkpoint."""
    kind = DenseVAE if options.dense else ConvolutionalVAE
    return {"model": kind(data.train_images.shape[1:], options.latent)}


def main(options: VAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(build(options, data)["model"], data, options)


if __name__ == "__main__":
    command_line(main, VAEOptions)
