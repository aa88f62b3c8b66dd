"""A VAE for 32x32 colour images such as CIFAR-10's (Kingma & Welling, 2014).

The encoder is convolutional, the decoder dense. Loss and training are those of vae.py; the latent
space has 100 dimensions, and each pixel three logits: red, green and blue.

    python examples/cifar_vae.py                    30 epochs on the embedded Noto Emoji, a minute on
                                                    2 cores
    python examples/cifar_vae.py --data FOLDER      your own 32x32 images: CIFAR-10's binary files,
                                                    a folder of images, ...

The first line of output names the images. samples/epoch-*.png shows test images, below them their
reconstructions, and then interpolations in latent space from the first image of a row to the last.
"""

from dataclasses import dataclass
from pathlib import Path

from vae import VAE, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.training.options import EmojiOrPath, Positive
from tinygen.training.vae import VariationalOptions


@dataclass(kw_only=True)
class CifarVAEOptions(VariationalOptions):
    out: Path = Path("runs/cifar_vae")
    """folder of the run: log, samples, checkpoint"""
    latent: Positive[int] = 100
    """dimensions of the latent space"""

    data: EmojiOrPath = "emoji"
    """your own images: a folder of images, of IDX files or of CIFAR's binary files, or an .npz file; or
    "emoji", the embedded images in colour"""

    def load_data(self) -> ImageDataset:
        """The images, with a black border if they are smaller than 32x32."""
        return super().load_data().padded(32)


class CifarVAE(VAE):
    """For images (32, 32, channels)."""

    def __init__(self, latent: int, channels: int = 3) -> None:
        self.encoder = nn.Sequential(
            nn.Conv2D(channels, 64, 3, stride=2, padding="same"),
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
            nn.Dense(1024, 32 * 32 * channels),
            nn.Reshape(32, 32, channels),
        )


def build(options: CifarVAEOptions, data: ImageDataset) -> dict[str, VAE]:
    """The network, by its name in the checkpoint."""
    return {"model": CifarVAE(options.latent, data.train_images.shape[-1])}


def main(options: CifarVAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(build(options, data)["model"], data, options)


if __name__ == "__main__":
    command_line(main, CifarVAEOptions)
