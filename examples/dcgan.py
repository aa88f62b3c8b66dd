"""DCGAN: a convolutional generator and a convolutional discriminator, trained against each other.

The generator G maps noise z ~ N(0, 1) to an image; the discriminator D computes the logit of an
image being real (Radford, Metz & Chintala, 2016). With the sigmoid s, D minimises
-log s(D(x)) - log(1 - s(D(G(z)))) and G the non-saturating -log s(D(G(z))) (Goodfellow et al.,
2014).

    python examples/dcgan.py                  50 epochs on the embedded Fashion-MNIST subset,
                                              four to ten minutes on 2 cores
    python examples/dcgan.py --data FOLDER    your own images
    python examples/dcgan.py --data FOLDER --size 64
                                              or 128: each doubling is one more block in both
                                              networks, with the paper's channels up to 512
    python examples/dcgan.py --residual       residual blocks: each doubling and each halving between
                                              the outermost maps takes two convolutions of 3x3 and a
                                              shortcut of 1x1 (Gulrajani et al., 2017; Miyato et al.,
                                              2018). A step takes 2.5 times as long, and the
                                              images are better

Since 4,000 images are few, six things differ from that paper. Batches of 32 give twice as many
steps. The learning rate is higher at first, and falls to 0 over the run. The noise has 16 dimensions
in the place of 100: images of clothes vary in few directions, and with more of them G generates
more images that resemble no garment. Samples are of the average of G's latest weights, and D gets
one number more: how much the images of its batch differ, so that G cannot do with few kinds of
images (both after Karras et al., 2018). results/remedies.md shows what becomes of the images
without each of these, but for the learning rate's height, and with others; `make remedies` writes
it. An R1 penalty helps a little more. The average changes nothing once the learning rate has
fallen, and with images that are moved at random (--augment translation) it is worse.

Watch samples/epoch-*.png: shapes appear after 3 epochs; after 20 to 30 the garments can be
recognised, and while the learning rate falls their outlines become clean. In the log, D(x) and
D(G(z)) are mean probabilities, near 0.52 and 0.48 when the networks are balanced; with --r1 GAMMA,
R1 is the penalty in D's loss (Mescheder, Geiger & Nowozin, 2018). Diversity is the mean distance
between samples divided by that between real images: near 1 in a healthy run, near 0 when G always
generates the same image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar

import numpy
import tyro

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.optim.schedule import Shape
from tinygen.training.gan import GAN, GANOptions
from tinygen.training.loop import Metrics
from tinygen.training.options import Positive

TensorFunction = Callable[..., tg.Tensor]


@dataclass(kw_only=True)
class DCGANSizes(GANOptions):
    """The options of all GANs whose networks double and halve their maps."""

    sizes: ClassVar = (32, 64, 128)  # of the images that the networks can be built for

    def load_data(self) -> ImageDataset:
        """The images, with a black border up to the next of `sizes`."""
        data = super().load_data()
        largest = max(data.train_images.shape[1:3])
        return data.padded(next((size for size in self.sizes if size >= largest), self.sizes[-1]))


@dataclass(kw_only=True)
class DCGANOptions(DCGANSizes):
    out: Path = Path("runs/dcgan")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 50
    """passes over the training data, those before --resume included"""
    batch_size: Positive[int] = 32
    """images in a batch"""
    latent: Positive[int] = 16
    """dimensions of the noise; the paper's 100 are for 100 times as many images"""
    lr: Positive[float] = 6e-4
    """learning rate of Adam, for both networks; the paper's 2e-4 is for 100 times as many images"""
    schedule: Shape = "linear"
    """how the learning rate falls over the run: linearly or as a cosine to 0, or in two steps of a tenth"""
    average: float = 0.995
    """decay of the moving average of the weights that samples are made with; 0 is none"""
    deviation: bool = True
    """tell the discriminator how much the images of its batch differ"""
    residual: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """residual blocks in both networks, in the place of single convolutions"""


def widths(size: int, smallest: int) -> list[int]:
    """The channels of maps of size / 2, size / 4, ..., smallest: 64, doubled each time, at most 512."""
    return [min(64 << i, 512) for i in range((size // smallest).bit_length() - 1)]


def enlarging(i: int, o: int) -> nn.Residual:
    """A generator's residual block: (N, H, W, i) -> (N, 2 H, 2 W, o)."""
    first = [nn.BatchNorm(i), nn.LeakyReLU(), nn.Upsample2D(2), nn.Conv2D(i, o, 3, padding="same", bias=False)]
    second = [nn.BatchNorm(o), nn.LeakyReLU(), nn.Conv2D(o, o, 3, padding="same")]
    return nn.Residual(nn.Sequential(*first, *second), nn.Sequential(nn.Conv2D(i, o, 1), nn.Upsample2D(2)))


def reducing(i: int, o: int) -> nn.Residual:
    """A discriminator's residual block: (N, H, W, i) -> (N, H / 2, W / 2, o)."""
    first = [nn.LeakyReLU(), nn.Conv2D(i, i, 3, padding="same")]
    second = [nn.LeakyReLU(), nn.Conv2D(i, o, 3, padding="same"), nn.AvgPool2D(2)]
    return nn.Residual(nn.Sequential(*first, *second), nn.Sequential(nn.AvgPool2D(2), nn.Conv2D(i, o, 1)))


def generator(latent: int, channels: int, size: int, residual: bool = False) -> nn.Sequential:
    """(N, latent) -> (N, size, size, channels), from -1 to 1."""
    first, *_ = filters = widths(size, 4)[::-1]
    blocks: list[nn.Module] = [nn.Dense(latent, 4 * 4 * first, bias=False)]
    if residual:
        blocks += [nn.Reshape(4, 4, first), *(enlarging(i, o) for i, o in pairwise(filters)), nn.BatchNorm(64), nn.LeakyReLU()]
    else:
        blocks += [nn.BatchNorm(4 * 4 * first), nn.LeakyReLU(), nn.Reshape(4, 4, first)]
        for i, o in pairwise(filters):
            blocks += [nn.ConvTranspose2D(i, o, 4, stride=2, padding="same", bias=False), nn.BatchNorm(o), nn.LeakyReLU()]
    return nn.Sequential(*blocks, nn.ConvTranspose2D(64, channels, 4, stride=2, padding="same"), nn.Tanh())


def discriminator(channels: int, size: int, options: DCGANOptions) -> nn.Sequential:
    """(N, size, size, channels) -> (N, 1), the logit of being real."""
    filters = widths(size, 8)
    blocks: list[nn.Module] = [nn.Conv2D(channels, 64, 4, stride=2, padding="same")]
    for i, o in pairwise(filters):
        blocks += [reducing(i, o)] if options.residual else [nn.LeakyReLU(), nn.Conv2D(i, o, 4, stride=2, padding="same")]
    blocks += [nn.LeakyReLU(), nn.MinibatchDeviation()] if options.deviation else [nn.LeakyReLU()]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dense(8 * 8 * (filters[-1] + options.deviation), 1))


def discriminator_loss(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """-log s(real) - log(1 - s(fake)), from logits."""
    return tg.binary_cross_entropy_with_logits(real, 1.0) + tg.binary_cross_entropy_with_logits(fake, 0.0)


def generator_loss(fake: tg.Tensor) -> tg.Tensor:
    """-log s(fake), from logits."""
    return tg.binary_cross_entropy_with_logits(fake, 1.0)


def train(gan: GAN, discriminator_loss: TensorFunction, generator_loss: TensorFunction, answer: TensorFunction = tg.sigmoid) -> None:
    """Train D and G in turn with these losses, which take D's logits.

    The log has the means of answer(logit) as D(x) and D(G(z)). Where G's loss needs D(x), too, write a step
    of your own, and compute D(x) again after D's step: its old graph refers to weights that have changed.
    In the relativistic average GAN (Jolicoeur-Martineau, 2019), D's loss is
    discriminator_loss(real - fake.mean(), fake - real.mean()), and G's, from new logits,
    discriminator_loss(fake - real.mean(), real - fake.mean()).
    """
    g, d = gan.generator, gan.discriminator

    def step(batch: numpy.ndarray) -> Metrics:
        real, fake = gan.real(batch), g(gan.noise(len(batch)))

        real_logits, fake_logits = gan.scores(real, fake.detach())
        loss_d, penalty = discriminator_loss(real_logits, fake_logits), gan.penalty(real, real_logits)
        gan.adam_d.minimize(sum(penalty.values(), loss_d))

        loss_g = generator_loss(d(fake))
        gan.adam_g.minimize(loss_g)  # the gradient flows through D; D's own are not computed
        return {"D": loss_d, "G": loss_g, "D(x)": answer(real_logits).mean(), "D(G(z))": answer(fake_logits).mean(), **penalty}

    shown = gan.noise(64)
    gan.train(step, samples=lambda: gan.sample(shown))


def initialized(networks: dict[str, nn.Module], residual: bool) -> dict[str, nn.Module]:
    """The networks with weights from N(0, 0.02^2), or with those of the layers (Glorot's) where they have residual blocks."""
    if not residual:
        for network in networks.values():
            nn.init.initialize(network, nn.init.normal)
    return networks


def build(options: DCGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint."""
    *_, size, channels = data.train_images.shape
    networks = {
        "generator": generator(options.latent, channels, size, options.residual),
        "discriminator": discriminator(channels, size, options),
    }
    return initialized(networks, options.residual)


def main(options: DCGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(GAN(options, data, **build(options, data)), discriminator_loss, generator_loss)


if __name__ == "__main__":
    command_line(main, DCGANOptions)
