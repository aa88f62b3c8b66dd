"""A VAE for 32x32 colour images such as CIFAR-10's (Kingma & Welling, 2014).

The encoder is convolutional, the decoder dense. Loss and training are those of vae.py; the latent
space has 100 dimensions, and each pixel three logits: red, green and blue.

    python examples/cifar_vae.py                    30 epochs on the embedded Fashion-MNIST subset,
                                                    coloured by class, a minute on 2 cores
    python examples/cifar_vae.py --data FOLDER      your own 32x32 images: CIFAR-10's binary files,
                                                    a folder of images, ...

The first line of output names the images. samples/epoch-*.png shows test images, below them their
reconstructions, and then interpolations in latent space from the first image of a row to the last.
On the embedded images, colour and shape change together.
"""

from dataclasses import dataclass
from pathlib import Path

from vae import VAE, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset, to_colour
from tinygen.training.options import Positive
from tinygen.training.vae import VariationalOptions


@dataclass(kw_only=True)
class CifarVAEOptions(VariationalOptions):
    out: Path = Path("runs/cifar_vae")
    """folder of the run: log, samples, checkpoint"""
    latent: Positive[int] = 100
    """dimensions of the latent space"""

    def load_data(self) -> ImageDataset:
        """The images, 32x32 and in colour."""
        return to_colour(super().load_data(), 32)


class CifarVAE(VAE):
    """For images (32, 32, 3)."""

    def __init__(self, latent: int) -> None:
        self.encoder = nn.Sequential(
            nn.Conv2D(3, 64, 3, stride=2, padding="same"),
            nn.ReLU(),
            nn.Conv2D(64, 128, 3, stride=2, padding="same"),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean = nn.Dense(8 * 8 * 128, latent)
        self.log_var = nn.Dense(8 * 8 * 128, latent)
        self.decoder = nn.Sequential(
            nn.Dense(latent, 1024),
            nn.ReLU(),
            nn.Dense(1024, 1024),
            nn.ReLU(),
            nn.Dense(1024, 32 * 32 * 3),
            nn.Reshape(32, 32, 3),
        )


def build(options: CifarVAEOptions, data: ImageDataset) -> dict[str, VAE]:
    """The network, by its name in the checkpoint."""
    return {"model": CifarVAE(options.latent)}


def main(options: CifarVAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(build(options, data)["model"], data, options)


if __name__ == "__main__":
    command_line(main, CifarVAEOptions)
