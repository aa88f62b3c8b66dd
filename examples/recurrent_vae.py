"""A recurrent VAE: an image is a sequence of rows (Fabius & van Amersfoort, 2015).

A GRU reads the rows from the top; its last state gives mean and log-variance of one latent
Gaussian. A second GRU decodes a sample z: z gives its first state and is its input at every step,
and its states give the logits of the rows, from the top. The loss is vae.py's.

    python examples/recurrent_vae.py                    30 epochs on the embedded Fashion-MNIST
                                                        subset, a minute on 2 fast cores
    python examples/recurrent_vae.py --data FOLDER      your own images

Expect a -ELBO on the test images of about 247 nats; the convolutions of vae.py, which know which
pixels are neighbours, reach 244. samples/epoch-*.png shows the same as there.
"""

from dataclasses import dataclass
from pathlib import Path

from vae import VAE, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.training.options import Positive
from tinygen.training.vae import VariationalOptions


@dataclass(kw_only=True)
class RecurrentVAEOptions(VariationalOptions):
    out: Path = Path("runs/recurrent_vae")
    """folder of the run: log, samples, checkpoint"""
    features: Positive[int] = 256
    """numbers in the state of each of the two GRUs"""


class RowEncoder(nn.Module):
    """Images (N, H, W, C) -> the state (N, features) after the last row."""

    def __init__(self, shape: tuple[int, int, int], features: int) -> None:
        _, width, channels = shape
        self.gru = nn.GRU(width * channels, features)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        rows = x.reshape(*x.shape[:2], self.gru.in_features)
        return self.gru(rows)[:, -1]


class RowDecoder(nn.Module):
    """Latent numbers (N, latent) -> the logits (N, H, W, C), row after row."""

    def __init__(self, shape: tuple[int, int, int], latent: int, features: int) -> None:
        self.shape = shape
        self.start = nn.Sequential(nn.Dense(latent, features), nn.Tanh())
        self.gru = nn.GRU(latent, features)
        self.row = nn.Dense(features, shape[1] * shape[2])

    def forward(self, z: tg.Tensor) -> tg.Tensor:
        n, latent = z.shape
        inputs = z.reshape(n, 1, latent).broadcast_to((n, self.shape[0], latent))
        return self.row(self.gru(inputs, (self.start(z),))).reshape(n, *self.shape)


class RecurrentVAE(VAE):
    """For images (H, W, channels) of any shape."""

    def __init__(self, shape: tuple[int, int, int], latent: int, features: int) -> None:
        self.encoder = RowEncoder(shape, features)
        self.mean = nn.Dense(features, latent)
        self.log_var = nn.Dense(features, latent)
        self.decoder = RowDecoder(shape, latent, features)


def build(options: RecurrentVAEOptions, data: ImageDataset) -> dict[str, VAE]:
    """The network, by its name in the checkpoint."""
    return {"model": RecurrentVAE(data.train_images.shape[1:], options.latent, options.features)}


def main(options: RecurrentVAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(build(options, data)["model"], data, options)


if __name__ == "__main__":
    command_line(main, RecurrentVAEOptions)
