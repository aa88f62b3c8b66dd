"""Flow matching: a velocity that carries noise to images along straight lines, by class.

A line from noise x_0 ~ N(0, 1) to an image x_1 passes at the time t, from 0 to 1, through

    x_t = (1 - t) x_0 + t x_1    with the velocity    dx_t/dt = x_1 - x_0.

Many lines meet at one point. The network f(x_t, t, c), where c is the class, learns the mean of
their velocities by least squares: E |f(x_t, t, c) - (x_1 - x_0)|^2. Points that start as noise and
move by dx/dt = f(x, t, c) have the distribution of x_t at each time t, so they end as images (Lipman
et al., 2023; Liu, Gong & Liu, 2023). Their paths are nearly straight, and a few steps of length h
suffice: Euler's x + h f(x, t, c), or Heun's, which takes the mean of the velocities at both ends of
a step.

For a tenth of the images in training c = 0, no class. Samples with --guidance w move by

    (1 + w) f(x, t, c) - w f(x, t, 0),

towards what is typical of their class alone (Ho & Salimans, 2022).

    python examples/flow.py                  60 epochs on the embedded Fashion-MNIST subset
    python examples/flow.py --data emoji     in colour
    python examples/flow.py --data FOLDER    your own images

samples/epoch-*.png has one row for each class; the images of a column share their noise.
findings.txt compares samples of 4 to 100 steps, and with more and more guidance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset
from tinygen.training.denoising import Denoising, GuidedOptions, Prediction, TrainedDenoiser
from tinygen.training.options import Positive


@dataclass(kw_only=True)
class FlowOptions(GuidedOptions):
    out: Path = Path("runs/flow")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 60
    """passes over the training data, those before --resume included"""
    solver: Literal["euler", "heun"] = "heun"
    """how a step is made; heun's takes twice as long"""
    guidance: float = 0.3
    """w, how far images are driven towards what is typical of their class; 0 is not at all"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> TrainedDenoiser:
        solve = {"euler": euler, "heun": heun}[self.solver]
        return TrainedDenoiser(networks["model"], self, data, partial(solve, steps=self.steps))


class Block(nn.Module):
    """x + conv(leaky(conv(norm(x) (1 + a) + b))) for images x; a and b are linear in features e (N, F)."""

    def __init__(self, channels: int, features: int) -> None:
        self.norm = nn.GroupNorm(8, channels)
        self.scale, self.shift = nn.Dense(features, channels), nn.Dense(features, channels)
        self.layers = nn.Sequential(
            nn.Conv2D(channels, channels, 3, padding="same"), nn.LeakyReLU(), nn.Conv2D(channels, channels, 3, padding="same")
        )

    def forward(self, x: tg.Tensor, e: tg.Tensor) -> tg.Tensor:
        scale, shift = (layer(e).reshape(-1, 1, 1, x.shape[3]) for layer in (self.scale, self.shift))
        return x + self.layers(self.norm(x) * (1 + scale) + shift)


class UNet(nn.Module):
    """Images (N, H, W, C), times (N, 1, 1, 1) and, unless K is 0, classes (N, K) -> (N, H, W, C).

    Two blocks work at half the height and width, and between them three at a quarter with twice as
    many channels (Ronneberger, Fischer & Brox, 2015). A multiple of x, which depends on the time and
    the class, is added to the output. The input has `given` more channels. Raises UsageError unless H
    and W are divisible by 4.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, classes: int, given: int = 0) -> None:
        height, columns, channels = shape
        if height % 4 or columns % 4:
            raise UsageError(f"images of {height}x{columns} do not fit: height and width must be divisible by 4; --size 32 resizes them")
        features = 4 * width
        self.time = nn.Sequential(nn.Dense(2 * width, features), nn.LeakyReLU(), nn.Dense(features, features))
        self.classes = nn.Dense(classes, features, bias=False) if classes else nn.Identity()
        nn.init.initialize(self.classes, partial(nn.init.normal, std=1.0))
        self.stem = nn.Conv2D(channels + given, width, 4, stride=2, padding="same")
        self.before = Block(width, features)
        self.down = nn.Conv2D(width, 2 * width, 4, stride=2, padding="same")
        self.within = [Block(2 * width, features) for _ in range(3)]
        self.up = nn.ConvTranspose2D(2 * width, width, 4, stride=2, padding="same")
        self.after = Block(width, features)
        self.head = nn.ConvTranspose2D(width, channels, 4, stride=2, padding="same")
        self.share = nn.Dense(features, channels)

    def forward(self, x: tg.Tensor, t: tg.Tensor, c: tg.Tensor | None = None) -> tg.Tensor:
        e = self.time(tg.sinusoidal_encoding(1000 * t.reshape(-1), self.time[0].weight.shape[0]))
        e = tg.leaky_relu(e if c is None else e + self.classes(c))
        skipped = self.before(self.stem(x), e)
        h = self.down(skipped)
        for block in self.within:
            h = block(h, e)
        image, share = self.head(self.after(self.up(h) + skipped, e)), self.share(e)
        return image + share.reshape(-1, 1, 1, share.shape[1]) * x[..., : image.shape[3]]


def velocity_loss(model: nn.Module, x: tg.Tensor, given: tg.Tensor) -> tg.Tensor:
    """The mean squared error of the velocity at a random time on a line from noise to each image."""
    noise = tg.randn(x.shape, x.dtype, x.device)
    t = tg.rand((len(x), 1, 1, 1), x.dtype, x.device)
    return tg.mse_loss(model((1 - t) * noise + t * x, t, given), x - noise)


def euler(velocity: Prediction, x: tg.Tensor, steps: int) -> tg.Tensor:
    """Where points x arrive at the time 1 that start at 0, by equal steps of first order."""
    for k in range(steps):
        x = x + velocity(x, k / steps) / steps
    return x


def heun(velocity: Prediction, x: tg.Tensor, steps: int) -> tg.Tensor:
    """The same by steps of second order, with two velocities each."""
    for k in range(steps):
        v = velocity(x, k / steps)
        x = x + (v + velocity(x + v / steps, (k + 1) / steps)) / (2 * steps)
    return x


def build(options: FlowOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The network, by its name in the checkpoint."""
    return {"model": UNet(data.train_images.shape[1:], options.width, len(data.classes))}


def main(options: FlowOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"]
    run = Denoising(options, data, model)
    run.train(partial(velocity_loss, model))
    ways = {f"Euler, {n} steps": (partial(euler, steps=n), 0.0) for n in (4, 10, 100)}
    ways |= {f"Heun, {n} steps": (partial(heun, steps=n), 0.0) for n in (2, 5, 10)}
    run.compare(ways | {f"Heun, 10 steps, guidance {w}": (partial(heun, steps=10), w) for w in (0.3, 1.0, 3.0)})


if __name__ == "__main__":
    command_line(main, FlowOptions)
