"""Wasserstein GAN: the discriminator is a critic that estimates a distance between distributions.

Over all functions f whose slope is at most 1, the maximum of E f(x) - E f(G(z)) is the Wasserstein
distance between real and generated images (Arjovsky, Chintala & Bottou, 2017). The critic learns
such an f, in several steps for each step of G; G minimises the distance, that is, -f(G(z)). The
critic's slope is bounded in one of three ways:

    python examples/wgan.py --out RUN         clips every weight to [-0.03, 0.03] after each step,
                                              after that paper
    python examples/wgan.py --penalty --out RUN
                                              adds 10 (|grad f| - 1)^2 at points between real and
                                              generated images to the critic's loss (Gulrajani et
                                              al., 2017); layer norm, as batch norm mixes images
    python examples/wgan.py --spectral-norm --out RUN
                                              divides every layer's weight by its largest singular
                                              value (Miyato et al., 2018)
    python examples/wgan.py --data FOLDER     your own images

50 epochs on the embedded Fashion-MNIST subset take two minutes on 2 fast cores, four with
--penalty. In the log, W is the critic's estimate of the distance, times its slope. Unlike other
GANs' losses, it falls as the samples in samples/epoch-*.png get better.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy
import tyro
from dcgan import DCGANSizes, generator, widths

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset
from tinygen.training.gan import GAN
from tinygen.training.loop import Metrics
from tinygen.training.options import Positive


@dataclass(kw_only=True)
class WGANOptions(DCGANSizes):
    out: Path = Path("runs/wgan")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 50
    """passes over the training data, those before --resume included"""
    lr: Positive[float] = 5e-4
    """learning rate of Adam, for both networks"""
    critic_steps: Positive[int] = 3
    """steps of the critic for each step of the generator"""
    penalty: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """bound the critic's slope by the gradient penalty instead of by clipping its weights"""
    spectral_norm: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """bound the critic's slope by spectral normalisation instead"""

    def check(self) -> None:
        super().check()
        if self.penalty and self.spectral_norm:
            raise UsageError("--penalty and --spectral-norm are two ways to bound the critic's slope: choose one")


def critic(channels: int, size: int, options: WGANOptions) -> nn.Sequential:
    """(N, size, size, channels) -> (N, 1), a score."""
    filters = [channels, *widths(size, 8)]
    layers: list[nn.Module] = []
    for i, o in pairwise(filters):
        size //= 2
        norm = [nn.LayerNorm((size, size, o))] if options.penalty and layers else []
        layers += [nn.Conv2D(i, o, 4, stride=2, padding="same"), *norm, nn.LeakyReLU()]
    layers += [nn.Flatten(), nn.Dense(size * size * filters[-1], 1)]
    nn.init.initialize(nn.Sequential(*layers), nn.init.normal)
    if options.spectral_norm:
        layers = [nn.SpectralNorm(layer) if layer.parameters() else layer for layer in layers]
    return nn.Sequential(*layers)


def clip_weights(network: nn.Module, limit: float) -> None:
    """Move every parameter to the nearest number from -limit to limit."""
    for p in network.parameters():
        p.data[...] = p.data.clip(-limit, limit)


def build(options: WGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint, with weights from N(0, 0.02^2)."""
    *_, size, channels = data.train_images.shape
    networks = {"generator": generator(options.latent, channels, size), "discriminator": critic(channels, size, options)}
    nn.init.initialize(networks["generator"], nn.init.normal)
    return networks


def main(options: WGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    gan = GAN(options, data, **build(options, data), betas=(0.0, 0.9), critic_steps=options.critic_steps)
    g, f = gan.generator, gan.discriminator

    def step(batch: numpy.ndarray) -> Metrics:
        real, fake = gan.real(batch), g(gan.noise(len(batch)))
        real_scores, fake_scores = gan.scores(real, fake.detach())
        loss, penalty = tg.wasserstein_discriminator_loss(real_scores, fake_scores), gan.penalty(real, real_scores)
        metrics = {"W": -loss, **penalty}
        if options.penalty:
            metrics["penalty"] = tg.gradient_penalty(f, real, fake.detach())
            loss = loss + 10.0 * metrics["penalty"]
        gan.adam_d.minimize(sum(penalty.values(), loss))
        if not (options.penalty or options.spectral_norm):
            clip_weights(f, 0.03)
        if gan.adam_d.steps % options.critic_steps == 0:
            gan.adam_g.minimize(tg.wasserstein_generator_loss(f(fake)))
        return metrics

    shown = gan.noise(64)
    gan.train(step, samples=lambda: gan.sample(shown))


if __name__ == "__main__":
    command_line(main, WGANOptions)
