"""What all GAN scripts share: networks with their optimisers, noise, pictures, and the run.

Each script defines its own training step; the simplest is in examples/dcgan.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy
import tyro

from tinygen import functional as F
from tinygen.backend import to_device
from tinygen.command_line import UsageError
from tinygen.data import Augmentation, ImageDataset, Loader, to_float
from tinygen.engine.grad import grad
from tinygen.engine.tensor import Tensor
from tinygen.evaluation import metrics
from tinygen.nn import BatchNorm, DifferentiableAugment, Module, evaluating
from tinygen.nn.augment import CHANGES
from tinygen.nn.norm import taking_turns
from tinygen.report.pictures import grid
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Metrics, Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained


@dataclass(kw_only=True)
class GANOptions(DescentOptions, Options):
    """The options of every script that trains a GAN."""

    lr: Positive[float] = 2e-4
    """learning rate of Adam, for both networks"""
    latent: Positive[int] = 100
    """dimensions of the noise"""
    r1: Annotated[float, tyro.conf.arg(metavar="GAMMA")] = 0.0
    """weight of the R1 penalty, gamma/2 times the squared norm of the discriminator's gradient to the real
    images; 0 is none"""

    augment: Annotated[str | None, tyro.conf.arg(metavar="A,B")] = None
    """random changes of the images of a batch: flip, shift, crop; and of all images that the
    discriminator sees: colour, translation, cutout"""

    def augmentation(self) -> Augmentation | None:
        names = [name for name in self.augmentations() if name not in CHANGES]
        return Augmentation(names, or_else=CHANGES) if names else None

    def seeing(self, discriminator: Module) -> Module:
        """The discriminator, before which --augment changes the images."""
        names = [name for name in self.augmentations() if name in CHANGES]
        return Augmented(discriminator, DifferentiableAugment(names)) if names else discriminator

    def check(self) -> None:
        super().check()
        if self.batch_size == 1:
            raise UsageError("--batch-size must be at least 2: networks with batch norm compare the images of a batch")
        if not 0 <= self.r1 < float("inf"):
            raise UsageError(f"--r1 must be at least 0, got {self.r1}")

    def trained(self, networks: Mapping[str, Any], data: Any) -> "TrainedGAN":
        return TrainedGAN(networks["generator"], self)


class Augmented(Module):
    """A discriminator of images and, if it takes any, labels: the images are changed before it."""

    def __init__(self, network: Module, augment: DifferentiableAugment) -> None:
        self.network, self.augment = network, augment

    def forward(self, x: Tensor, *others: Any) -> Any:
        return self.network(self.augment(x), *others)


class TrainedGAN(Trained):
    """A generator (n, latent) -> (n, H, W, C), from -1 to 1, of z ~ N(0, 1)."""

    def __init__(self, generator: Module, options: GANOptions) -> None:
        self.generator, self.gaussian, self.device = generator, options.latent, options.device

    def draw(self, n: int, classes: list[int] | None = None) -> Tensor:
        return F.randn((n, self.gaussian), device=self.device)

    def decode(self, z: Tensor) -> Tensor:
        return (self.generator(z) + 1) / 2


class GAN:
    """A generator of images from -1 to 1, a discriminator, an Adam for each, and the data.

    Adam's first beta is 0.5, as usual for GANs (Radford et al., 2016). With --average, the samples are
    of the averaged generator. The generator steps in every `critic_steps`-th batch.
    """

    def __init__(
        self,
        options: GANOptions,
        data: ImageDataset,
        generator: Module,
        discriminator: Module,
        betas: tuple[float, float] = (0.5, 0.999),
        critic_steps: int = 1,
    ) -> None:
        self.options, self.data, self.critic_steps = options, data, critic_steps
        self.generator, self.discriminator = generator.to(options.device), options.seeing(discriminator.to(options.device))
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.trained = options.trained(self.networks, data)
        self.adam_g = options.adam(generator, len(data.train_images), betas, critic_steps)
        self.adam_d = options.adam(discriminator, len(data.train_images), betas)

    def noise(self, n: int) -> Tensor:
        """z ~ N(0, 1): (n, latent)."""
        return F.randn((n, self.options.latent), device=self.options.device)

    def real(self, batch: numpy.ndarray) -> Tensor:
        """A batch of the real images, from -1 to 1; with --r1 it requires a gradient."""
        return Tensor(to_device(to_float(batch, -1, 1), self.options.device), requires_grad=self.options.r1 > 0)

    def scores(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D(real) and D(fake), for as many generated images as real ones.

        One pass over both takes less time than two. Real and generated images take turns in it, because
        processes that share a batch divide it by rows, and `MinibatchDeviation` compares only images of
        one kind. There are two passes where D has batch norm, which would take both kinds for one
        batch, and with --r1, since the penalty's gradient to the real images would pass through all.
        If a layer of your own compares the images of a batch, write d(real), d(fake) instead.
        """
        if self.options.r1 or any(isinstance(module, BatchNorm) for module in self.discriminator.modules()):
            return self.discriminator(real), self.discriminator(fake)
        pairs = F.reshape(F.stack([real, fake], axis=1), (2 * len(real), *real.shape[1:]))
        with taking_turns(self.discriminator, 2):
            scores = self.discriminator(pairs)
        return scores[::2], scores[1::2]

    def penalty(self, real: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """The penalty that the discriminator's loss has beside its own terms, by its name in the log.

            R1 = gamma/2 mean_n |grad_(x_n) sum_m D(x_m)|^2  at the real images x,  scores_m = D(x_m)

        (Mescheder, Geiger & Nowozin, 2018), with --r1 as gamma; without it there is none. The scores are
        those of the loss, so that both terms see the same dropout and the same random changes.
        """
        if not self.options.r1:
            return {}
        gradient = grad(scores.sum(), real, create_graph=True)
        return {"R1": (0.5 * self.options.r1 / len(real)) * (gradient * gradient).sum()}

    def sample(self, *inputs: Tensor) -> numpy.ndarray:
        """Generated images, in evaluation mode, in which they do not depend on each other."""
        with evaluating(self.generator):
            return self.generator(*inputs).numpy()

    def generate(self, n: int) -> numpy.ndarray:
        """n images from 0 to 1 of random latent vectors."""
        with evaluating(self.generator):
            return self.trained.decode(self.trained.draw(n)).numpy()

    def train(
        self,
        step: Callable[..., Metrics],
        samples: Callable[[], numpy.ndarray],
        *labels: numpy.ndarray,
        columns: int = 8,
        evaluate: Callable[[], Metrics] = dict,
    ) -> None:
        """Run the training.

        step        step(batch, *labels) trains on a batch, as `Training` describes
        samples     samples() gives the images, from -1 to 1, of the picture after each epoch
        labels      arrays with one row for each image, passed to step
        columns     columns of the picture
        evaluate    evaluate() gives further numbers for the log after each epoch

        The log has the diversity of 256 generated images: their mean distance from each other,
        divided by that of the real images. It is near 0 if the generator has collapsed.
        """
        images = self.data.train_images
        real_distance = mean_distance(to_float(images[:: max(1, len(images) // 256)], 0, 1))
        training = Training(
            self.options,
            {**self.networks, "adam_g": self.adam_g, "adam_d": self.adam_d},
            Loader(images, *labels, batch_size=self.options.batch_size, seed=self.options.seed, augment=self.options.augmentation()),
            step,
            samples=lambda: grid((samples() + 1) / 2, columns),
            evaluate=lambda: {"diversity": mean_distance(self.generate(256)) / real_distance, **evaluate()},
            generate=self.generate,
            data=self.data,
            average=self.options.averaged(self.generator),
            kind=lambda: (self.adam_d.steps + 1) % self.critic_steps == 0,
        )
        training.run()


def mean_distance(images: numpy.ndarray) -> float:
    """The mean Euclidean distance between two different images of (N, H, W, C)."""
    flat = images.reshape(len(images), -1)
    return float(metrics.distances(flat, flat).sum() / (len(flat) * (len(flat) - 1)))
