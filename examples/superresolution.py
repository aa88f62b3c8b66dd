"""Super-resolution: a flow is given a small image and generates large ones that it may come from.

The small image y has the means of the squares of 4x4 pixels of an image x. Many images have the
same y. A flow whose network is also given y learns their distribution p(x | y), as in flow.py:

    E |f(x_t, y, t) - (x - e)|^2,    x_t = (1 - t) e + t x,    e ~ N(0, 1).

Each noise e gives another image, as sharp as a real one. Least squares alone would give the mean of
these images, which is blurred and closer to x than they are. So the squared error of a sample is
larger than that of the mean of several. A sample is good if it is sharp and its means are y.

    python examples/superresolution.py                  30 epochs on the embedded Fashion-MNIST
                                                        subset
    python examples/superresolution.py --data FOLDER    your own images

Each column of samples/epoch-*.png shows a test image made small, enlarged by cubic interpolation,
two samples of the flow, the mean of eight samples, and the image itself. findings.txt has their
squared errors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from flow import UNet, euler, velocity_loss
from PIL import Image

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset, to_float
from tinygen.training.denoising import Denoising, DenoisingOptions
from tinygen.training.trained import Trained

FACTOR, MEAN_OF = 4, 8


@dataclass(kw_only=True)
class SuperResolutionOptions(DenoisingOptions):
    out: Path = Path("runs/superresolution")
    """folder of the run: log, samples, checkpoint"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedSuperResolution":
        return TrainedSuperResolution(networks["model"], data.train_images.shape[1:], self)


class EnlargingFlow(nn.Module):
    """The velocity at points x (N, H, W, C) and times (N, 1, 1, 1) for small images y (N, H/4, W/4, C)."""

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        self.network = UNet(shape, width, classes=0, given=shape[2])

    def forward(self, x: tg.Tensor, t: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        return self.network(tg.concatenate([x, tg.upsample2d(y, FACTOR)], axis=3), t)


class TrainedSuperResolution(Trained):
    """A latent vector is noise and, behind it, a small image. `encode` takes the same noise for all images."""

    def __init__(self, model: EnlargingFlow, shape: tuple[int, int, int], options: SuperResolutionOptions) -> None:
        self.model, self.shape, self.options = model, shape, options
        self.numbers = math.prod(shape)
        self.small = shape[0] // FACTOR, shape[1] // FACTOR, shape[2]
        self.inputs = {"model": ((1, *shape), (1, 1, 1, 1), (1, *self.small))}

    def encode(self, x: tg.Tensor) -> tg.Tensor:
        noise = numpy.random.default_rng(0).standard_normal((1, *self.shape), numpy.float32)
        return self.latent(tg.tensor(noise.repeat(len(x), axis=0), device=x.device), tg.avg_pool2d(x, FACTOR))

    def latent(self, noise: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        return tg.concatenate([noise.reshape(len(y), -1), y.reshape(len(y), -1)], axis=1)

    def decode(self, z: tg.Tensor) -> tg.Tensor:
        noise, y = z[:, : self.numbers].reshape(-1, *self.shape), 2 * z[:, self.numbers :].reshape(-1, *self.small) - 1

        def velocity(x: tg.Tensor, t: float) -> tg.Tensor:
            return self.model(x, tg.full((len(x), 1, 1, 1), t, x.dtype, x.device), y)

        return tg.clip((euler(velocity, noise, self.options.steps) + 1) / 2, 0.0, 1.0)


def bicubic(y: numpy.ndarray) -> numpy.ndarray:
    """Small images (N, H, W, C) enlarged by cubic interpolation."""
    n, height, width, channels = y.shape
    planes = [Image.fromarray(plane) for plane in numpy.moveaxis(y, 3, 1).reshape(-1, height, width)]
    large = [numpy.asarray(plane.resize((FACTOR * width, FACTOR * height), Image.Resampling.BICUBIC)) for plane in planes]
    return numpy.moveaxis(numpy.reshape(large, (n, channels, FACTOR * height, FACTOR * width)), 1, 3)


def build(options: SuperResolutionOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The network, by its name in the checkpoint."""
    return {"model": EnlargingFlow(data.train_images.shape[1:], options.width)}


def main(options: SuperResolutionOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"]
    run = Denoising(options, data, model)

    def enlarged(images: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """Images from 0 to 1, made small and enlarged in several ways."""
        y = tg.avg_pool2d(tg.tensor(images, device=options.device), FACTOR)
        latent = [run.trained.latent(tg.randn(images.shape, device=options.device), y) for _ in range(MEAN_OF)]
        drawn = [run.trained.decode(z).numpy() for z in latent]
        return {
            "repeated pixels": tg.upsample2d(y, FACTOR).numpy(),
            "cubic interpolation": bicubic(y.numpy()),
            "the flow": drawn[0],
            "the flow with other noise": drawn[1],
            f"the mean of {MEAN_OF} samples of the flow": numpy.mean(drawn, axis=0),
        }

    def small(images: numpy.ndarray) -> numpy.ndarray:
        return tg.avg_pool2d(tg.tensor(images), FACTOR).numpy()

    few = to_float(data.draw_test_images(8), 0, 1)
    run.train(
        lambda x, _: velocity_loss(model, x, tg.avg_pool2d(x, FACTOR)),
        samples=lambda: numpy.concatenate([*enlarged(few).values(), few]),
    )
    images = to_float(data.draw_test_images(200), 0, 1)
    with nn.evaluating(model):
        large = enlarged(images)
    errors = [f"{((image - images) ** 2).sum(axis=(1, 2, 3)).mean():.1f} by {way}" for way, image in large.items()]
    missed = ((small(large["the flow"]) - small(images)) ** 2).mean() ** 0.5
    findings = f"Squared error of {len(images)} test images: {', '.join(errors)}."
    findings += f" Made small again, those of the flow differ by {missed:.3f} per pixel, in root mean square."
    print(findings)
    (options.out / "findings.txt").write_text(findings + "\n")


if __name__ == "__main__":
    command_line(main, SuperResolutionOptions)
