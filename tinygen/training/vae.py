"""What all VAE scripts share: the optimiser, evaluation on the test images, pictures, and the run.

The models and their loss are in examples/vae.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen import functional as F
from tinygen.data import ImageDataset, Images, Loader, to_float
from tinygen.engine.tensor import Tensor
from tinygen.nn import Module, evaluating
from tinygen.report.pictures import grid
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Metrics, Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained


@dataclass(kw_only=True)
class VariationalOptions(DescentOptions, Options):
    """The options of every script that trains a variational autoencoder."""

    latent: Positive[int] = 20
    """dimensions of the latent space"""

    def trained(self, networks: Mapping[str, Any], data: Any) -> "TrainedVAE":
        return TrainedVAE(networks["model"], self)


class LatentModel(Module):
    """A model that encodes images, (N, H, W, C) from 0 to 1, as Gaussians in latent space.

    decoder   (N, latent) -> (N, H, W, C), the logits of the pixels
    """

    decoder: Module

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, H, W, C) -> mean and log-variance of each image's Gaussian, (N, latent) each."""
        raise NotImplementedError(f"{type(self).__name__} has no encode")


class TrainedVAE(Trained):
    """A decoder of z ~ N(0, 1), and an encoder: an image's latent vector is the mean of its Gaussian."""

    def __init__(self, model: LatentModel, options: VariationalOptions) -> None:
        self.model, self.gaussian, self.device = model, options.latent, options.device

    def draw(self, n: int, classes: list[int] | None = None) -> Tensor:
        return F.randn((n, self.gaussian), device=self.device)

    def decode(self, z: Tensor) -> Tensor:
        return F.sigmoid(self.model.decoder(z))

    def encode(self, x: Tensor) -> Tensor:
        return self.model.encode(x)[0]


class Variational:
    """A variational autoencoder, its Adam, and its data."""

    def __init__(self, options: VariationalOptions, data: ImageDataset, model: LatentModel) -> None:
        self.options, self.data, self.model = options, data, model.to(options.device)
        self.trained = options.trained({"model": model}, data)
        self.adam = options.adam(model, len(data.train_images))

    def pixels(self, images: Images) -> Tensor:
        """uint8 images of the data as a tensor from 0 to 1."""
        return F.tensor(to_float(images, 0, 1), device=self.options.device)

    def decode(self, z: Tensor) -> numpy.ndarray:
        """The probabilities of the pixels, (N, H, W, C)."""
        with evaluating(self.model):
            return self.trained.decode(z).numpy()

    def train(self, step: Callable[[numpy.ndarray], Metrics], losses: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Run the training.

        step      step(batch) trains on a batch, as `Training` describes
        losses    losses(x) gives means over the images x; those of the test images are logged, with
                  test_ before their names
        """
        training = Training(
            self.options,
            {"model": self.model, "adam": self.adam},
            Loader(self.data.train_images, batch_size=self.options.batch_size, seed=self.options.seed, augment=self.options.augmentation()),
            step,
            self._samples,
            lambda: self._evaluate(losses),
            lambda n: self.decode(self.trained.draw(n)),
            data=self.data,
            average=self.options.averaged(self.model),
        )
        training.run()

    def _evaluate(self, losses: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, float]:
        """The means over all test images, computed in batches of 500."""
        images, sums = self.data.test_images, dict[str, float]()
        with evaluating(self.model):
            for start in range(0, len(images), 500):
                x = self.pixels(images[start : start + 500])
                for name, loss in losses(x).items():
                    sums[f"test_{name}"] = sums.get(f"test_{name}", 0.0) + len(x) * loss.item()
        return {name: total / len(images) for name, total in sums.items()}

    def _samples(self) -> numpy.ndarray:
        """Ten test images, their reconstructions, and six rows of interpolations between two.

        Fewer than 22 test images are repeated.
        """
        images = self.data.draw_test_images(22)
        test = self.pixels(images[numpy.arange(22) % len(images)])
        with evaluating(self.model):
            mean = self.trained.encode(test).numpy()
        weights = numpy.linspace(0, 1, 10, dtype=numpy.float32).reshape(1, 10, 1)
        between = (1 - weights) * mean[10:16, None] + weights * mean[16:22, None]
        z = numpy.concatenate([mean[:10], between.reshape(60, self.options.latent)])
        return grid(numpy.concatenate([test[:10].numpy(), self.decode(F.tensor(z, device=self.options.device))]), columns=10)
