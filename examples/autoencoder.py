"""A convolutional autoencoder, compared with principal component analysis (PCA).

The encoder f compresses an image to 64 numbers and the decoder g reconstructs it (Hinton &
Salakhutdinov, 2006, with convolutions). Both minimise |x - g(f(x))|^2, summed over the pixels of an
image. If f and g are linear, the optimum is known: the projection onto the first 64 principal
components of the training images (Baldi & Hornik, 1989). A nonlinear autoencoder has to beat it.

    python examples/autoencoder.py                    30 epochs on the embedded Fashion-MNIST
                                                      subset, a minute on 2 fast cores
    python examples/autoencoder.py --data FOLDER      your own images

Compare test_error, the squared error per test image, with PCA_error: expect 6.7 and 8.1.
samples/epoch-*.png shows test images, below them the autoencoder's reconstructions, and below these
the reconstructions by PCA.
"""

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


@dataclass(kw_only=True)
class AutoencoderOptions(DescentOptions, Options):
    out: Path = Path("runs/autoencoder")
    """folder of the run: log, samples, checkpoint"""
    bottleneck: Positive[int] = 64
    """dimensions of the code, and number of principal components"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedAutoencoder":
        return TrainedAutoencoder(*networks["model"])


def encoder(shape: tuple[int, int, int], bottleneck: int) -> nn.Sequential:
    """(N, *shape) -> (N, bottleneck); shape is (H, W, channels)."""
    height, width, channels = shape
    return nn.Sequential(
        nn.Conv2D(channels, 64, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dense((height // 2 - 2) * (width // 2 - 2) * 64, bottleneck),
    )


def decoder(bottleneck: int, shape: tuple[int, int, int]) -> nn.Sequential:
    """(N, bottleneck) -> (N, *shape), from 0 to 1."""
    height, width, channels = shape
    return nn.Sequential(
        nn.Dense(bottleneck, height // 4 * (width // 4) * 64),
        nn.ReLU(),
        nn.Reshape(height // 4, width // 4, 64),
        nn.ConvTranspose2D(64, 64, 3, padding="same"),
        nn.ReLU(),
        nn.Upsample2D(2),
        nn.ConvTranspose2D(64, 64, 3, padding="same"),
        nn.ReLU(),
        nn.Upsample2D(2),
        nn.ConvTranspose2D(64, channels, 3, padding="same"),
        nn.Sigmoid(),
    )


def squared_error(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """|x - y|^2, averaged over the batch."""
    return ((x - y) ** 2).sum(axis=(1, 2, 3)).mean()


def projected(images: numpy.ndarray, training: numpy.ndarray, count: int) -> numpy.ndarray:
    """The images (N, H, W, C), reconstructed from `count` principal components of `training`."""
    flat, mean = training.reshape(len(training), -1), training.mean(axis=0).ravel()
    components = numpy.linalg.svd(flat - mean, full_matrices=False)[2][:count]
    return (mean + (images.reshape(len(images), -1) - mean) @ components.T @ components).reshape(images.shape)


class TrainedAutoencoder(Trained):
    """Encodes and decodes. Its codes have no known distribution, so it cannot sample."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: tg.Tensor) -> tg.Tensor:
        return self.encoder(x)

    def decode(self, z: tg.Tensor) -> tg.Tensor:
        return self.decoder(z)


def build(options: AutoencoderOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The network, by its name in the checkpoint."""
    height, width, channels = data.train_images.shape[1:]
    if height % 4 or width % 4 or min(height, width) < 8:
        raise UsageError(f"images of {height}x{width} do not fit: height and width must be divisible by 4, and 8 at least; --size 32")
    shape = height, width, channels
    return {"model": nn.Sequential(encoder(shape, options.bottleneck), decoder(options.bottleneck, shape))}


def main(options: AutoencoderOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"].to(options.device)
    adam = options.adam(model, len(data.train_images))
    test = tg.tensor(to_float(data.draw_test_images(len(data.test_images)), 0, 1))
    linear = tg.tensor(projected(test.numpy(), to_float(data.train_images, 0, 1), options.bottleneck))

    def step(images: numpy.ndarray) -> dict[str, tg.Tensor]:
        x = tg.tensor(to_float(images, 0, 1), device=options.device)
        error = squared_error(x, model(x))
        adam.minimize(error)
        return {"error": error}

    def reconstructed(images: tg.Tensor) -> tg.Tensor:
        """The reconstructions of the images, in batches of 500."""
        with nn.evaluating(model):
            return tg.concatenate([model(images[i : i + 500].to(options.device)).to("cpu") for i in range(0, len(images), 500)])

    training = Training(
        options,
        {"model": model, "adam": adam},
        Loader(data.train_images, batch_size=options.batch_size, seed=options.seed, augment=options.augmentation()),
        step,
        samples=lambda: grid(tg.concatenate([test[:10], reconstructed(test[:10]), linear[:10]]).numpy(), columns=10),
        evaluate=lambda: {"test_error": squared_error(test, reconstructed(test)), "PCA_error": squared_error(test, linear)},
        data=data,
        average=options.averaged(model),
    )
    training.run()


if __name__ == "__main__":
    command_line(main, AutoencoderOptions)
