"""Real NVP: an invertible network, and with it the exact likelihood of an image.

An invertible f takes an image y to z = f(y), which shall be noise from N(0, 1). By the change of
variables,

    log p(y) = log N(f(y); 0, 1) + log |det df/dy|,

and training maximises it. The network is a chain of couplings (Dinh, Sohl-Dickstein & Bengio, 2017):
half of the channels, a, is kept, and decides how the other half, b, is moved and stretched,

    b' = (b + t(a)) e^s(a)    so that    b = b' e^-s(a) - t(a)    and    log |det| = the sum of s(a).

Any networks can be s and t, since they are never inverted. The same weights encode an image, exactly,
and generate one, in a single pass.

A pixel's byte is a number from 0 to 255, and a density of bytes could be infinite. So noise u from 0
to 1 is added: v = (byte + u) / 256. As v ends at 0 and 1, f works on y, the logit of v drawn in by
5%. Then E_u [-log p(v)] is an upper bound of -log P(image). It is given in bits for each number of
the image; without a model, a byte takes 8.

    python examples/realnvp.py                  40 epochs on the embedded Fashion-MNIST subset
    python examples/realnvp.py --data emoji     in colour
    python examples/realnvp.py --data FOLDER    your own images

samples/epoch-*.png shows generated images. In the log, test_bits is the mean of the test images, and
black_bits that of an image that is black: no garment looks like it, and yet it is likelier than all.
A likelihood says how short the code of an image is, and not how typical the image is (Nalisnick et
al., 2019).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset, Loader, to_float
from tinygen.report.pictures import grid
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained

DRAWN_IN = 0.05  # the part of (0, 1) that v leaves free at each end


@dataclass(kw_only=True)
class RealNVPOptions(DescentOptions, Options):
    out: Path = Path("runs/realnvp")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 40
    """passes over the training data, those before --resume included"""
    couplings: Positive[int] = 6
    """at half of the images' height and width, and as many at a quarter"""
    width: Positive[int] = 32
    """channels within a coupling; twice as many at a quarter of the height and width"""
    temperature: Positive[float] = 0.7
    """standard deviation of the noise that samples are made from; below 1 they are more typical"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedRealNVP":
        return TrainedRealNVP(networks["model"], self)


class Coupling(nn.Module):
    """(a, b) -> (a, (b + t(a)) e^s(a)), whose channels are then shuffled like two halves of a pack of cards,
    so that all are moved by and by.

    Images (N, H, W, channels), channels divisible by 4. s is from -1 to 1. At first s = t = 0.
    """

    def __init__(self, channels: int, width: int) -> None:
        last = nn.Conv2D(width, channels, 3, padding="same")
        nn.init.initialize(last, numpy.zeros)
        self.layers = nn.Sequential(
            nn.Conv2D(channels // 2, width, 3, padding="same"),
            nn.LeakyReLU(),
            nn.Conv2D(width, width, 3, padding="same"),
            nn.LeakyReLU(),
            last,
        )

    def _of(self, a: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        s, t = tg.split(self.layers(a), 2, axis=3)
        return tg.tanh(s), t

    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """The image, and the logarithm of the determinant (N,)."""
        a, b = tg.split(x, 2, axis=3)
        s, t = self._of(a)
        return tg.stack([(b + t) * tg.exp(s), a], axis=4).reshape(x.shape), s.sum(axis=(1, 2, 3))

    def inverse(self, x: tg.Tensor) -> tg.Tensor:
        pairs = x.reshape(*x.shape[:3], -1, 2)
        b, a = pairs[..., 0], pairs[..., 1]
        s, t = self._of(a)
        return tg.concatenate([a, b * tg.exp(-s) - t], axis=3)


def squeeze(x: tg.Tensor) -> tg.Tensor:
    """(N, H, W, C) -> (N, H/2, W/2, 4C): the pixels of each 2x2 square are channels of one."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose((0, 1, 3, 2, 4, 5)).reshape(n, height // 2, width // 2, -1)


def unsqueeze(x: tg.Tensor) -> tg.Tensor:
    """(N, H, W, 4C) -> (N, 2H, 2W, C), the inverse of `squeeze`."""
    n, height, width, channels = x.shape
    return x.reshape(n, height, width, 2, 2, channels // 4).transpose((0, 1, 3, 2, 4, 5)).reshape(n, 2 * height, 2 * width, -1)


class RealNVP(nn.Module):
    """Images (N, H, W, C) of logits <-> latent vectors (N, H W C).

    Raises UsageError unless H and W are divisible by 4.
    """

    def __init__(self, shape: tuple[int, int, int], couplings: int, width: int) -> None:
        height, columns, channels = shape
        if height % 4 or columns % 4:
            raise UsageError(f"images of {height}x{columns} do not fit: height and width must be divisible by 4; --size 32 resizes them")
        self.last_shape = height // 4, columns // 4, 16 * channels
        self.fine = [Coupling(4 * channels, width) for _ in range(couplings)]
        self.coarse = [Coupling(16 * channels, 2 * width) for _ in range(couplings)]

    def forward(self, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        """The latent vectors, and the logarithm of the determinant of each (N,)."""
        log_det = 0.0
        for scale in (self.fine, self.coarse):
            y = squeeze(y)
            for coupling in scale:
                y, more = coupling(y)
                log_det = log_det + more
        return tg.flatten(y), log_det

    def inverse(self, z: tg.Tensor) -> tg.Tensor:
        """The logits of latent vectors."""
        y = z.reshape(-1, *self.last_shape)
        for scale in (self.coarse, self.fine):
            for coupling in reversed(scale):
                y = coupling.inverse(y)
            y = unsqueeze(y)
        return y


def to_logits(x: tg.Tensor, u: tg.Tensor | float) -> tuple[tg.Tensor, tg.Tensor]:
    """y of images x, bytes / 255, with the noise u; and log |dy/dv| of each image (N,)."""
    v = DRAWN_IN + (1 - 2 * DRAWN_IN) * (255 * x + u) / 256
    log_v, log_rest = tg.log(v), tg.log(1 - v)
    stretched = math.log(1 - 2 * DRAWN_IN) - log_v - log_rest
    return log_v - log_rest, stretched.sum(axis=(1, 2, 3))


def to_images(y: tg.Tensor) -> tg.Tensor:
    """The images, from 0 to 1, of logits without noise, which is 1/2 for all bytes: the inverse of `to_logits`."""
    v = (tg.sigmoid(y) - DRAWN_IN) / (1 - 2 * DRAWN_IN)
    return tg.clip((256 * v - 0.5) / 255, 0, 1)


def bits(model: RealNVP, x: tg.Tensor) -> tg.Tensor:
    """-log2 p for each number of the images x, from 0 to 1; their mean."""
    numbers = math.prod(x.shape[1:])
    y, stretched = to_logits(x, tg.rand(x.shape, x.dtype, x.device))
    z, log_det = model(y)
    log_normal = -0.5 * (z**2).sum(axis=1) - 0.5 * numbers * math.log(2 * math.pi)
    return 8 - (log_normal + log_det + stretched).mean() / (numbers * math.log(2))


class TrainedRealNVP(Trained):
    """An invertible model: an image's latent vector is exact."""

    def __init__(self, model: RealNVP, options: RealNVPOptions) -> None:
        self.model, self.device, self.temperature = model, options.device, options.temperature
        self.gaussian = math.prod(model.last_shape)

    def draw(self, n: int, classes: list[int] | None = None) -> tg.Tensor:
        return tg.randn((n, self.gaussian), device=self.device)

    def decode(self, z: tg.Tensor) -> tg.Tensor:
        return to_images(self.model.inverse(self.temperature * z))

    def encode(self, x: tg.Tensor) -> tg.Tensor:
        return self.model(to_logits(x, 0.5)[0])[0] / self.temperature


def build(options: RealNVPOptions, data: ImageDataset) -> dict[str, RealNVP]:
    """The network, by its name in the checkpoint."""
    return {"model": RealNVP(data.train_images.shape[1:], options.couplings, options.width)}


def main(options: RealNVPOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"].to(options.device)
    adam, trained = options.adam(model, len(data.train_images)), options.trained({"model": model}, data)
    test, shown = data.draw_test_images(500), trained.draw(64)

    def loss(images: numpy.ndarray) -> tg.Tensor:
        return bits(model, tg.tensor(to_float(images, 0, 1), device=options.device))

    def step(images: numpy.ndarray) -> dict[str, tg.Tensor]:
        of_batch = loss(images)
        adam.minimize(of_batch)
        return {"bits": of_batch}

    def evaluate() -> dict[str, tg.Tensor]:
        with nn.evaluating(model):
            return {"test_bits": loss(test), "black_bits": loss(numpy.zeros_like(test[:1]))}

    def generated(z: tg.Tensor) -> numpy.ndarray:
        with nn.evaluating(model):
            return trained.decode(z).numpy()

    Training(
        options,
        {"model": model, "adam": adam},
        Loader(data.train_images, batch_size=options.batch_size, seed=options.seed, augment=options.augmentation()),
        step,
        lambda: grid(generated(shown), columns=8),
        evaluate,
        lambda n: generated(trained.draw(n)),
        data=data,
        average=options.averaged(model),
    ).run()


if __name__ == "__main__":
    command_line(main, RealNVPOptions)
