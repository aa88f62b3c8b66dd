"""Variational autoencoders, convolutional and fully connected (Kingma & Welling, 2014).

The encoder gives mean m and log-variance l of a Gaussian over 20 latent numbers; z = m + e^(l/2) noise is decoded to one logit per
pixel. What is minimised is the negative of a lower bound on log p(x), in nats per image:

    -ELBO = reconstruction + KL = -log p(x | z) + KL(N(m, e^l) || N(0, 1)),

where p(x | z) is a Bernoulli distribution for each pixel, x from 0 to 1.

    python examples/vae.py                    30 epochs on the embedded Fashion-MNIST subset, a quarter of a minute on 2 cores
    python examples/vae.py --dense --out runs/dense_vae
                                              the fully connected one, of 23 million weights; about two minutes
    python examples/vae.py --data FOLDER      your own images

Expect a -ELBO on the test images of about 244 nats from either. samples/epoch-*.png shows test images, their reconstructions below them,
and then images on the straight way in latent space from the first of each row to the last.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy
import tyro

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import ImageDataset, Loader, to_float
from tinygen.pictures import grid
from tinygen.training import Options, Training, command_line


@dataclass(kw_only=True)
class VariationalOptions(Options):
    """Those of every variational autoencoder."""

    lr: float = 1e-3
    """learning rate of Adam"""
    latent: int = 20
    """dimensions of the latent space"""


@dataclass(kw_only=True)
class VAEOptions(VariationalOptions):
    out: Path = Path("runs/vae")
    """folder of the run: log, samples, checkpoint"""
    dense: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """fully connected networks instead of convolutional ones"""


class VAE(nn.Module):
    """Images (N, H, W, channels) and their latent Gaussians (N, latent).

    A subclass makes the networks: `encoder` from images to features, `mean` and `log_var` from those to (N, latent), and `decoder` from
    there to one logit per pixel and channel.
    """

    encoder: nn.Module
    mean: nn.Module
    log_var: nn.Module
    decoder: nn.Module

    def encode(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """Mean and log-variance of the latent Gaussian of each image."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        """The logits of the pixels for one z drawn for each image, and mean and log-variance."""
        mean, log_var = self.encode(x)
        noise = tg.randn(mean.shape, mean.dtype, mean.device)
        return self.decoder(mean + tg.exp(0.5 * log_var) * noise), mean, log_var


class ConvolutionalVAE(VAE):
    """For images (H, W, channels) with H and W divisible by 4."""

    def __init__(self, shape: tuple[int, int, int], latent: int) -> None:
        height, width, channels = shape
        if height % 4 or width % 4:
            raise ValueError(f"ConvolutionalVAE: the images' height and width must be divisible by 4, got {height}x{width}")
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
    """For images (H, W, channels) of any shape, which it takes for rows of numbers."""

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


def negative_elbo(x: tg.Tensor, logits: tg.Tensor, mean: tg.Tensor, log_var: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """Its two parts, each averaged over the batch: -log p(x | z) = sum over pixels of softplus(logit) - x logit, and the KL divergence."""
    reconstruction = (tg.softplus(logits) - x * logits).sum(axis=(1, 2, 3)).mean()
    return reconstruction, tg.gaussian_kl(mean, log_var)


def train(model: VAE, data: ImageDataset, options: VariationalOptions) -> None:
    """Train any VAE; its samples and evaluation are of the test images."""
    model.to(options.device)
    adam = optim.Adam(model.parameters(), options.lr)

    def pixels(images: numpy.ndarray) -> tg.Tensor:
        return tg.tensor(to_float(images, 0, 1), device=options.device)

    def step(images: numpy.ndarray) -> dict[str, tg.Tensor]:
        x = pixels(images)
        reconstruction, kl = negative_elbo(x, *model(x))
        loss = reconstruction + kl
        adam.minimize(loss)
        return {"-ELBO": loss, "reconstruction": reconstruction, "KL": kl}

    def evaluate() -> dict[str, float]:
        """The means over the test images, which are taken 500 at a time."""
        sums = numpy.zeros(2)
        with tg.no_grad():
            for start in range(0, len(data.test_images), 500):
                x = pixels(data.test_images[start : start + 500])
                sums += [len(x) * part.item() for part in negative_elbo(x, *model(x))]
        reconstruction, kl = sums / len(data.test_images)
        return {"test_-ELBO": reconstruction + kl, "test_reconstruction": reconstruction, "test_KL": kl}

    def samples() -> numpy.ndarray:
        """Ten test images, their reconstructions, and six rows of ten steps from one test image to another."""
        with tg.no_grad():
            test = pixels(data.test_images[:22])
            mean, _ = model.encode(test)
            weights = numpy.linspace(0, 1, 10, dtype=numpy.float32).reshape(1, 10, 1)
            start, end = mean[10:16].numpy()[:, None], mean[16:22].numpy()[:, None]
            between = ((1 - weights) * start + weights * end).reshape(60, options.latent)
            z = tg.concatenate([mean[:10], tg.tensor(between, device=options.device)])
            return grid(numpy.concatenate([test[:10].numpy(), tg.sigmoid(model.decoder(z)).numpy()]), columns=10)

    def generate(n: int) -> numpy.ndarray:
        with tg.no_grad():
            return tg.sigmoid(model.decoder(tg.randn((n, options.latent), device=options.device))).numpy()

    training = Training(
        options,
        {"model": model, "adam": adam},
        Loader(data.train_images, batch_size=options.batch_size, seed=options.seed),
        step,
        samples,
        evaluate,
        generate,
    )
    training.run()


def main(options: VAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_images()
    print(data.describe())
    kind = DenseVAE if options.dense else ConvolutionalVAE
    train(kind(data.train_images.shape[1:], options.latent), data, options)


if __name__ == "__main__":
    command_line(main, VAEOptions)
