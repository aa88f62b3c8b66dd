"""VQ-VAE: images as grids of discrete codes, and a transformer that writes such grids.

The encoder turns an image into a grid of vectors z, a quarter as high and wide. Each is replaced by
the nearest of a codebook's 64 vectors, e, from which the decoder computes the logits of the pixels
(van den Oord et al., 2017). "Nearest" has no slope, so the straight-through estimator gives z the
gradient of e. The first --autoencoder-epochs minimise, in nats per image,

    -log p(x | e) + 1/4 sum |z - stop(e)|^2,

whose second term commits z to its code. A code follows the vectors that choose it, as their moving
average, and moves to a random vector if hardly any does, so that no code is left unused. In the
other epochs the autoencoder rests, and a transformer learns the prior p(k_1) p(k_2 | k_1) ... of
the grid's codes, row by row. As the encoder leaves no choice of codes, the sum of both losses,

    -ELBO = -log p(x | e) - log p(k_1 ... k_n) >= -log p(x),

is the VAE's bound, for one code instead of a Gaussian.

    python examples/vqvae.py                  40 epochs on the embedded Fashion-MNIST subset
    python examples/vqvae.py --by-class --out runs/vqvae_by_class
                                              the prior is told the class of the image
    python examples/vqvae.py --data FOLDER    your own images

Expect reconstructions of 207 nats after 10 epochs, where vae.py's have 227 at the end, from codes
that cost more: 49 numbers, each of 64, say more than 20 noisy ones. In the log, perplexity is the
number of codes in use, e^entropy of their shares in the test images. samples/epoch-*.png shows test
images, below them their reconstructions, and then samples of the prior, decoded: noise while the
autoencoder learns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy
import tyro
from transformer import Transformer, written
from vae import reconstruction_loss

import tinygen as tg
from tinygen import nn
from tinygen.backend import Array, from_host, generator, place, sharing, summed, to_device
from tinygen.command_line import UsageError, command_line
from tinygen.data import ImageDataset, Images, Loader, to_float
from tinygen.report.pictures import grid
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Metrics, Training
from tinygen.training.options import Options, Positive
from tinygen.training.trained import Trained

CODES, FEATURES = 64, 16


@dataclass(kw_only=True)
class VQVAEOptions(DescentOptions, Options):
    out: Path = Path("runs/vqvae")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 40
    """passes over the training data, those before --resume included"""
    lr: Positive[float] = 3e-3
    """learning rate of Adam, for the autoencoder and for the prior"""
    autoencoder_epochs: Positive[int] = 15
    """the first epochs, which train the autoencoder; the others train the prior"""
    by_class: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """train a prior for each class, in one network, so that samples can be asked for by class"""

    def trained(self, networks: Mapping[str, Any], data: ImageDataset) -> "TrainedVQVAE":
        return TrainedVQVAE(networks["model"], networks["prior"], data.classes if self.by_class else ())


def drawn(z: tg.Tensor) -> tg.Tensor:
    """CODES of the vectors z (N, FEATURES) at random; 0 in the place of vectors that other processes have."""
    first, everything = place(len(z))
    with sharing(None):
        rows = from_host(lambda: generator().integers(everything, size=CODES), z.device) - first
    here = (rows >= 0) & (rows < len(z))
    return tg.where(here[:, None], z[rows * here], 0.0)


class Codebook(nn.Module):
    """Vectors (..., FEATURES) -> the nearest code to each, and the numbers (...) of these codes.

    In training, each code moves before that to the mean of the vectors that have chosen it, a
    moving average over the batches. A code with less than one vector in a batch moves to a random
    one.
    """

    def __init__(self) -> None:
        self.codes, self.sums = nn.Buffer(tg.randn((CODES, FEATURES))), nn.Buffer(tg.zeros((CODES, FEATURES)))
        self.counts = nn.Buffer(tg.zeros((CODES, 1)))

    def nearest(self, z: tg.Tensor) -> tg.Tensor:
        """The k with the least |z - e_k|^2, that is, the least |e_k|^2 - 2 <z, e_k>."""
        return ((self.codes * self.codes).sum(axis=1) - 2.0 * (z @ self.codes.transpose())).argmin(axis=-1)

    def follow(self, z: tg.Tensor) -> None:
        """Move the codes towards the vectors z (N, FEATURES) that choose them: those of all processes that share the batch."""
        chosen = tg.one_hot(self.nearest(z), CODES, z.dtype)
        own = chosen.sum(axis=0).reshape(-1, 1), chosen.transpose() @ z, drawn(z)
        count, total, others = (tg.Tensor(summed(t.data)) for t in own)
        counts, sums = 0.99 * self.counts + 0.01 * count, 0.99 * self.sums + 0.01 * total
        unused = counts < 1.0
        counts, sums = tg.where(unused, 1.0, counts), tg.where(unused, others, sums)
        for buffer, moved in ((self.counts, counts), (self.sums, sums), (self.codes, sums / counts)):
            buffer.data[...] = moved.data

    def forward(self, z: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        with tg.no_grad():
            if self.training:
                self.follow(z.reshape(-1, z.shape[-1]))
            numbers = self.nearest(z)
            return self.codes[numbers], numbers


class VQVAE(nn.Module):
    """Images (N, H, W, channels) -> logits of their pixels, vectors z, codes and the codes' numbers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        height, width, channels = shape
        if height % 4 or width % 4:
            raise UsageError(f"images of {height}x{width} do not fit: height and width must be divisible by 4; --size 32")
        self.grid = height // 4, width // 4, FEATURES
        self.encoder = nn.Sequential(
            nn.Conv2D(channels, 32, 4, stride=2, padding="same"),
            nn.ReLU(),
            nn.Conv2D(32, 64, 4, stride=2, padding="same"),
            nn.ReLU(),
            nn.Conv2D(64, FEATURES, 1),
        )
        self.codebook = Codebook()
        self.decoder = nn.Sequential(
            nn.Conv2D(FEATURES, 64, 3, padding="same"),
            nn.ReLU(),
            nn.ConvTranspose2D(64, 32, 4, stride=2, padding="same"),
            nn.ReLU(),
            nn.ConvTranspose2D(32, channels, 4, stride=2, padding="same"),
        )

    def encode(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
        z = self.encoder(x)
        return z, *self.codebook(z)

    def forward(self, x: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor, tg.Tensor]:
        z, codes, numbers = self.encode(x)
        return self.decoder(tg.straight_through(codes, z)), z, codes, numbers


def commitment_loss(z: tg.Tensor, codes: tg.Tensor) -> tg.Tensor:
    """1/4 |z - stop(e)|^2, summed over the grid and averaged over the batch."""
    return 0.25 * ((z - codes.detach()) ** 2).sum(axis=(1, 2, 3)).mean()


def prior_loss(prior: Transformer, numbers: tg.Tensor, labels: Array) -> tg.Tensor:
    """-log p(k_1 ... k_n) of grids of numbers (N, rows, columns), averaged over the batch.

    Each begins behind a token of its class, whose numbers come after those of the codes.
    """
    tokens = tg.concatenate([tg.Tensor(CODES + labels[:, None]), numbers.reshape(len(numbers), -1)], axis=1)
    return prior.steps * tg.cross_entropy(prior(tokens[:, :-1]), tokens[:, 1:])


def perplexity(numbers: numpy.ndarray) -> float:
    """e^entropy of the shares of the numbers: k if k of them are equally frequent."""
    shares = numpy.unique(numbers, return_counts=True)[1] / numbers.size
    return float(numpy.exp(-(shares * numpy.log(shares)).sum()))


class TrainedVQVAE(Trained):
    """A latent vector is the codes of a grid, one behind the other."""

    def __init__(self, model: VQVAE, prior: Transformer, classes: tuple[str, ...]) -> None:
        self.model, self.prior, self.classes = model, prior, classes
        self.inputs = {"prior": (numpy.arange(prior.steps)[None] % 2,)}

    def draw(self, n: int, classes: list[int] | None = None) -> tg.Tensor:
        labels = numpy.arange(n) % max(1, len(self.classes)) if classes is None else numpy.array(classes)
        numbers = written(self.prior, CODES + labels, self.prior.steps)
        return self.model.codebook.codes[numbers].reshape(n, -1)

    def decode(self, z: tg.Tensor) -> tg.Tensor:
        return tg.sigmoid(self.model.decoder(z.reshape(-1, *self.model.grid)))

    def encode(self, x: tg.Tensor) -> tg.Tensor:
        return self.model.encode(x)[1].reshape(len(x), -1)


def build(options: VQVAEOptions, data: ImageDataset) -> dict[str, Any]:
    """The networks, by their names in the checkpoint, the prior with weights from N(0, 0.02^2)."""
    model = VQVAE(data.train_images.shape[1:])
    rows, columns, _ = model.grid
    prior = Transformer(CODES + (len(data.classes) if options.by_class else 1), CODES, rows * columns)
    nn.init.initialize(prior, nn.init.normal)
    return {"model": model, "prior": prior}


def main(options: VQVAEOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    networks = build(options, data)
    model, prior = (network.to(options.device) for network in networks.values())
    trained, examples, first = options.trained(networks, data), len(data.train_images), options.autoencoder_epochs
    adam = replace(options, epochs=first).adam(model, examples)
    adam_prior = replace(options, epochs=max(1, options.epochs - first)).adam(prior, examples)
    loader = Loader(data.train_images, data.train_labels, batch_size=options.batch_size, seed=options.seed, augment=options.augmentation())

    def pixels(images: Images) -> tg.Tensor:
        return tg.tensor(to_float(images, 0, 1), device=options.device)

    def first_phase() -> bool:
        return adam.steps < first * len(loader)

    def step(images: Array, labels: Array) -> Metrics:
        x = pixels(images)
        if first_phase():
            logits, z, codes, _ = model(x)
            losses = {"reconstruction": reconstruction_loss(x, logits), "commitment": commitment_loss(z, codes)}
            adam.minimize(losses["reconstruction"] + losses["commitment"])
            return losses
        with nn.evaluating(model):
            *_, numbers = model.encode(x)
        loss = prior_loss(prior, numbers, labels * options.by_class)
        adam_prior.minimize(loss)
        return {"prior": loss}

    def evaluate() -> dict[str, float]:
        """The terms of -ELBO on the test images, in batches of 500, and the perplexity of their codes."""
        images, labels, terms, found = data.test_images, data.test_labels * options.by_class, numpy.zeros(2), []
        with nn.evaluating(model), nn.evaluating(prior):
            for i in range(0, len(images), 500):
                x, given = pixels(images[i : i + 500]), to_device(labels[i : i + 500], options.device)
                logits, *_, numbers = model(x)
                terms += [len(x) * loss.item() for loss in (reconstruction_loss(x, logits), prior_loss(prior, numbers, given))]
                found.append(numbers.numpy())
        reconstruction, codes = terms / len(images)
        means = {"test_-ELBO": reconstruction + codes, "test_reconstruction": reconstruction, "test_prior": codes}
        return {**means, "perplexity": perplexity(numpy.concatenate(found))}

    def generate(n: int) -> numpy.ndarray:
        with nn.evaluating(model), nn.evaluating(prior):
            return trained.decode(trained.draw(n)).numpy()

    def samples() -> numpy.ndarray:
        test = pixels(data.draw_test_images(10))
        with nn.evaluating(model):
            reconstructed = trained.decode(trained.encode(test)).numpy()
        return grid(numpy.concatenate([test.numpy(), reconstructed, generate(40)]), columns=len(test))

    parts = {**networks, "adam": adam, "adam_prior": adam_prior}
    Training(options, parts, loader, step, samples, evaluate, generate, data, options.averaged(prior), first_phase).run()


if __name__ == "__main__":
    command_line(main, VQVAEOptions)
