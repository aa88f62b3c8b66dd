"""What flow, diffusion and super-resolution share: guidance by class, pictures, and the run.

Their models turn noise into images in several steps. The simplest is in examples/flow.py.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen import functional as F
from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, Images, Loader, to_float
from tinygen.engine.tensor import Tensor
from tinygen.evaluation.features import train_classifier
from tinygen.evaluation.judge import relative_frechet_distance
from tinygen.nn import Module, evaluating
from tinygen.report.pictures import grid
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Metrics, Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained

HIDDEN = 0.1  # the share of labels that a model is not told in training
TESTED = 500  # the most images that are tested or compared
BATCH = 100  # images that are sampled at once for a comparison
COLUMNS = 8  # of the picture

Prediction = Callable[[Tensor, float], Tensor]  # a network's output for noisy images at a time
Sampler = Callable[[Prediction, Tensor], Tensor]  # from noise to images from -1 to 1


@dataclass(kw_only=True)
class DenoisingOptions(DescentOptions, Options):
    """The options of every script whose model turns noise into images in several steps."""

    batch_size: Positive[int] = 32
    """images per step; more of them make fewer and hardly better steps"""
    average: float = 0.998
    """decay of the moving average of the weights that samples are made with; 0 is none"""
    width: Positive[int] = 32
    """channels of the network where images have half their height and width, a multiple of 8"""
    steps: Positive[int] = 10
    """in which noise becomes an image"""

    def check(self) -> None:
        super().check()
        if self.width % 8:
            raise UsageError(f"--width must be a multiple of 8, the number of groups of channels, got {self.width}")


@dataclass(kw_only=True)
class GuidedOptions(DenoisingOptions):
    """The options of every such script whose model can be asked for a class."""

    guidance: float = 0.5
    """w, how far images are driven towards what is typical of their class; 0 is not at all"""

    def check(self) -> None:
        super().check()
        if not 0 <= self.guidance < math.inf:
            raise UsageError(f"--guidance must be at least 0, got {self.guidance}")


class TrainedDenoiser(Trained):
    """A network f(x, t, c) of noisy images (n, H, W, C), times (n, 1, 1, 1) and classes (n, K).

    A row of c is 1 at the number of the class and 0 elsewhere. A row of zeros is no class. A latent
    vector is the noise of an image and, behind it, the row of its class.
    """

    def __init__(self, model: Module, options: GuidedOptions, data: ImageDataset, sampler: Sampler) -> None:
        self.model, self.options, self.sampler = model, options, sampler
        self.shape, self.classes = data.train_images.shape[1:], data.classes
        self.gaussian = math.prod(self.shape)
        self.inputs = {"model": ((1, *self.shape), (1, 1, 1, 1), (1, len(self.classes)))}

    def draw(self, n: int, classes: list[int] | None = None) -> Tensor:
        labels = numpy.arange(n) % len(self.classes) if classes is None else numpy.array(classes)
        c = F.one_hot(labels, len(self.classes)).to(self.options.device)
        return F.concatenate([F.randn((n, self.gaussian), device=self.options.device), c], axis=1)

    def decode(self, z: Tensor) -> Tensor:
        return self.sample(z, self.sampler, self.options.guidance)

    def sample(self, z: Tensor, sampler: Sampler, guidance: float) -> Tensor:
        """The images of latent vectors by this sampler and guidance."""
        x, c = z[:, : self.gaussian].reshape(-1, *self.shape), z[:, self.gaussian :]
        return F.clip((sampler(self.guided(c, guidance), x) + 1) / 2, 0.0, 1.0)

    def guided(self, c: Tensor, guidance: float) -> Prediction:
        """(1 + w) f(x, t, c) - w f(x, t, 0) for the guidance w (Ho & Salimans, 2022)."""

        def prediction(x: Tensor, t: float) -> Tensor:
            times = F.full((len(x), 1, 1, 1), t, x.dtype, x.device)
            of_class = self.model(x, times, c)
            return of_class + guidance * (of_class - self.model(x, times, F.zeros_like(c))) if guidance else of_class

        return prediction


class Denoising:
    """A model that turns noise into images, its Adam, and its data. Samples are of the averaged weights."""

    def __init__(self, options: DenoisingOptions, data: ImageDataset, model: Module) -> None:
        self.options, self.data, self.model = options, data, model.to(options.device)
        self.trained: Any = options.trained({"model": model}, data)
        self.adam = options.adam(model, len(data.train_images))
        self.tested = numpy.random.default_rng(0).permutation(len(data.test_images))[:TESTED]

    def images(self, batch: Images) -> Tensor:
        """uint8 images as a tensor from -1 to 1."""
        return F.tensor(to_float(batch, -1, 1), device=self.options.device)

    def told(self, labels: numpy.ndarray, hidden: float) -> Tensor:
        """The rows of classes, by their numbers. A share of them, chosen at random, is hidden: 0."""
        chosen = F.rand((len(labels), 1), device=self.options.device) < hidden
        return F.where(chosen, 0.0, F.one_hot(F.tensor(labels, device=self.options.device), len(self.data.classes)))

    def train(self, loss: Callable[[Tensor, Tensor], Tensor], samples: Callable[[], numpy.ndarray] | None = None) -> None:
        """Run the training.

        loss       loss(x, c) is the mean over images x, from -1 to 1, of classes c; the log has that of
                   test images, too
        samples    samples() gives the images, from 0 to 1, of the picture after each epoch. By default
                   there is a row for each class, and a finished run generates images
        """
        data, options = self.data, self.options
        test, test_classes = self.images(data.test_images[self.tested]), self.told(data.test_labels[self.tested], 0)
        noise = F.concatenate([F.randn((COLUMNS, math.prod(test.shape[1:])), device=options.device)] * len(data.classes))
        shown = F.concatenate([noise, self.told(numpy.arange(len(data.classes)).repeat(COLUMNS), 0)], axis=1)

        def step(batch: numpy.ndarray, labels: numpy.ndarray) -> Metrics:
            mean = loss(self.images(batch), self.told(labels, HIDDEN))
            self.adam.minimize(mean)
            return {"loss": mean}

        fixed = evaluating(self.model)
        training = Training(
            options,
            {"model": self.model, "adam": self.adam},
            Loader(data.train_images, data.train_labels, batch_size=options.batch_size, seed=options.seed, augment=options.augmentation()),
            step,
            samples=fixed(lambda: grid(samples() if samples else self.trained.decode(shown).numpy(), COLUMNS)),
            evaluate=fixed(lambda: {"test_loss": loss(test, test_classes)}),
            generate=None if samples else fixed(lambda n: self.trained.decode(self.trained.draw(n)).numpy()),
            data=data,
            average=options.averaged(self.model),
        )
        training.run()

    def compare(self, ways: Mapping[str, tuple[Sampler, float]]) -> None:
        """Write findings.txt: how good images are that are sampled in these ways, by sampler and guidance.

        All ways begin with the same noise. They are judged by a classifier that is trained here: by the
        feature Frechet distance to as many test images, and by the share in which it sees the class
        that was asked for. Nothing is written for data of one class, which trains no classifier.
        """
        data = self.data
        if len(data.classes) < 2:
            return
        test, labels = data.test_images[self.tested], data.test_labels[self.tested]
        train = numpy.random.default_rng(0).permutation(len(data.train_images))[: len(test)]
        judge = train_classifier(data.train_images, data.train_labels, len(data.classes), 0, len(data.train_images) // 8)
        real = judge.describe_images(test)[0]
        lines = ["| images | feature Frechet distance | seen as of their class |", "|---|---:|---:|"]

        def add(name: str, images: Images, labels: numpy.ndarray) -> None:
            features, probabilities = judge.describe_images(images)
            right = (probabilities.argmax(axis=1) == labels).mean()
            lines.append(f"| {name} | {relative_frechet_distance(features, real):.3f} | {right:.3f} |")

        add(f"{len(test)} test images", test, labels)
        add("training images", data.train_images[train], data.train_labels[train])
        with evaluating(self.model):
            z = self.trained.draw(len(test), labels.tolist())
            for name, (sampler, guidance) in ways.items():
                parts = [self.trained.sample(z[i : i + BATCH], sampler, guidance).numpy() for i in range(0, len(z), BATCH)]
                add(name, numpy.rint(numpy.concatenate(parts) * 255).astype(numpy.uint8), labels)
        print("\n".join(lines))
        (self.options.out / "findings.txt").write_text("\n".join(lines) + "\n")
