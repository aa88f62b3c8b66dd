"""Denoising diffusion: images become noise step by step, and a network learns the way back, by class.

Noise e ~ N(0, 1) is mixed into an image x at the time t, from 0 to 1:

    x_t = sqrt(a(t)) x + sqrt(1 - a(t)) e    with    a(t) = exp(-0.1 t - 9.95 t^2).

At the time 0 this is the image and at 1 noise. In the 1,000 steps of Ho, Jain & Abbeel (2020) the
variance of the added noise grows from 1e-4 to 0.02; this is their a for any number of steps. The
network f(x_t, t, c), that of flow.py, predicts the noise by least squares: E |f(x_t, t, c) - e|^2.

A sampler goes from the time t to an earlier one s. If the noise is e = f(x_t, t, c), the image is
x = (x_t - sqrt(1 - a(t)) e) / sqrt(a(t)), and

    x_s = sqrt(a(s)) x + sqrt(1 - a(s) - v^2) e + v z,
    v = eta sqrt((1 - a(s)) / (1 - a(t)) (1 - a(t) / a(s))),

with fresh noise z ~ N(0, 1). For eta = 1 this is DDPM's sampler, which draws from p(x_s | x_t, x).
For eta = 0 it is DDIM's, which adds no noise and needs fewer steps (Song, Meng & Ermon, 2021).

    python examples/diffusion.py                  60 epochs on the embedded Fashion-MNIST subset
    python examples/diffusion.py --data FOLDER    your own images

samples/epoch-*.png has one row for each class; the images of a column share their noise.
--guidance is that of flow.py. findings.txt compares samples of 10 to 100 steps by both samplers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flow import UNet

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.training.denoising import Denoising, GuidedOptions, Prediction, TrainedDenoiser
from tinygen.training.options import Positive


@dataclass(kw_only=True)
class DiffusionOptions(GuidedOptions):
    out: Path = Path("runs/diffusion")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 60
    """passes over the training data, those before --resume included"""
    steps: Positive[int] = 20
    """in which noise becomes an image, by DDIM"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> TrainedDenoiser:
        return TrainedDenoiser(networks["model"], self, data, partial(ddim, steps=self.steps))


def log_kept(t: Any) -> Any:
    """log a(t), of a number or a tensor."""
    return -0.1 * t - 9.95 * t * t


def noisy(x: tg.Tensor, t: tg.Tensor, noise: tg.Tensor) -> tg.Tensor:
    """x_t for images x (N, H, W, C) and times t (N, 1, 1, 1)."""
    a = tg.exp(log_kept(t))
    return tg.sqrt(a) * x + tg.sqrt(1 - a) * noise


def noise_loss(model: nn.Module, x: tg.Tensor, c: tg.Tensor) -> tg.Tensor:
    """The mean squared error of the noise at a random time for each image."""
    noise = tg.randn(x.shape, x.dtype, x.device)
    t = tg.rand((len(x), 1, 1, 1), x.dtype, x.device)
    return tg.mse_loss(model(noisy(x, t, noise), t, c), noise)


def earlier(x_t: tg.Tensor, noise: tg.Tensor, t: float, s: float, eta: float) -> tg.Tensor:
    """x_s, given the noise in x_t. The image is limited to -1 to 1, and all else in x_t counts as noise."""
    a, b = math.exp(log_kept(t)), math.exp(log_kept(s))
    image = tg.clip((x_t - math.sqrt(1 - a) * noise) / math.sqrt(a), -1.0, 1.0)
    noise = (x_t - math.sqrt(a) * image) / math.sqrt(1 - a)
    deviation = eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))
    x_s = math.sqrt(b) * image + math.sqrt(1 - b - deviation**2) * noise
    return x_s + deviation * tg.randn(x_t.shape, x_t.dtype, x_t.device) if eta else x_s


def ddim(noise: Prediction, x: tg.Tensor, steps: int, eta: float = 0.0) -> tg.Tensor:
    """The images that noise x becomes; with eta = 1 by DDPM's sampler."""
    for k in range(steps, 0, -1):
        x = earlier(x, noise(x, k / steps), k / steps, (k - 1) / steps, eta)
    return x


def build(options: DiffusionOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The network, by its name in the checkpoint."""
    return {"model": UNet(data.train_images.shape[1:], options.width, len(data.classes))}


def main(options: DiffusionOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"]
    run = Denoising(options, data, model)
    run.train(partial(noise_loss, model))
    kinds = {"DDIM": 0.0, "DDPM": 1.0}
    ways = {f"{kind}, {n} steps": (partial(ddim, steps=n, eta=eta), 0.0) for kind, eta in kinds.items() for n in (10, 20, 100)}
    run.compare(ways)


if __name__ == "__main__":
    command_line(main, DiffusionOptions)
