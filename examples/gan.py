"""The first GAN: generator and discriminator are dense (Goodfellow et al., 2014).

The losses are DCGAN's: with the sigmoid s, D minimises -log s(D(x)) - log(1 - s(D(G(z)))) and G the
non-saturating -log s(D(G(z))). Unlike the first GAN, G has batch norm, and so has a convolutional
D: without it, G generates only a few kinds of images.

    python examples/gan.py                  100 epochs on the embedded Fashion-MNIST subset,
                                            two minutes on 2 fast cores
    python examples/gan.py --data FOLDER    your own images
    python examples/gan.py --wide --epochs 50 --out runs/wide_gan
                                            layers four times as wide, seven minutes
    python examples/gan.py --conv-discriminator --lr 6e-4 --out runs/conv_gan
                                            a small dense generator against convolutions
    python examples/gan.py --conv-discriminator --lr 6e-4 --data emoji --out runs/colour_gan
                                            the same in colour, on Noto Emoji, five minutes

Compare samples/epoch-*.png with those of dcgan.py: the garments are there, but they are grainy,
since a dense layer does not know which pixels are neighbours.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from dcgan import discriminator_loss, generator_loss, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset
from tinygen.training.gan import GAN, GANOptions
from tinygen.training.options import Positive


@dataclass(kw_only=True)
class FirstGANOptions(GANOptions):
    out: Path = Path("runs/gan")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 100
    """passes over the training data, those before --resume included"""
    wide: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """hidden layers of 1024, 2048 and 4096 instead of 256, 512 and 1024"""
    conv_discriminator: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """a generator with two hidden layers of 128 against a discriminator of convolutions"""

    def check(self) -> None:
        super().check()
        if self.wide and self.conv_discriminator:
            raise UsageError("--wide and --conv-discriminator are two pairs of networks: choose one")


def generator(latent: int, widths: tuple[int, ...], shape: tuple[int, ...]) -> nn.Sequential:
    """(N, latent) -> (N, *shape), from -1 to 1."""
    sizes = (latent, *widths)
    hidden = [layer for i, o in zip(sizes, widths, strict=False) for layer in (nn.Dense(i, o), nn.BatchNorm(o), nn.LeakyReLU())]
    rows, columns, channels = shape
    return nn.Sequential(*hidden, nn.Dense(widths[-1], rows * columns * channels), nn.Tanh(), nn.Reshape(*shape))


def dense_discriminator(widths: tuple[int, ...], shape: tuple[int, ...]) -> nn.Sequential:
    """(N, *shape) -> (N, 1), the logit of being real."""
    rows, columns, channels = shape
    sizes = (rows * columns * channels, *widths)
    hidden = [layer for i, o in zip(sizes, widths, strict=False) for layer in (nn.Dense(i, o), nn.LeakyReLU(), nn.Dropout(0.3))]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Dense(widths[-1], 1))


def conv_discriminator(shape: tuple[int, ...]) -> nn.Sequential:
    """(N, *shape) -> (N, 1). Two convolutions of 5x5 for grey images, three of 4x4 for colour.

    With batch norm it sees the batch as a whole, and so recognises a generator that has collapsed.
    """
    rows, columns, channels = shape
    filters, kernel_size = ((64, 128), 5) if channels == 1 else ((64, 128, 128), 4)
    layers: list[nn.Module] = []
    for i, o in zip((channels, *filters), filters, strict=False):
        norm = [nn.BatchNorm(o)] if layers else []
        layers += [nn.Conv2D(i, o, kernel_size, stride=2, padding="same"), *norm, nn.LeakyReLU(), nn.Dropout(0.3)]
        rows, columns = -(-rows // 2), -(-columns // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dense(rows * columns * filters[-1], 1))


def build(options: FirstGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint."""
    shape = data.train_images.shape[1:]
    if options.conv_discriminator:
        return {"generator": generator(options.latent, (128, 128), shape), "discriminator": conv_discriminator(shape)}
    widths = (1024, 2048, 4096) if options.wide else (256, 512, 1024)
    return {"generator": generator(options.latent, widths, shape), "discriminator": dense_discriminator(widths[::-1], shape)}


def main(options: FirstGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(GAN(options, data, **build(options, data)), discriminator_loss, generator_loss)


if __name__ == "__main__":
    command_line(main, FirstGANOptions)
