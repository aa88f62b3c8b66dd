"""A recurrent GAN: the generator writes an image row by row, and the discriminator reads the rows.

At each step the generator's cell takes the noise z and the previous row. Its state h, which starts
as a function of z, gives the next row:

    h_t = cell([z, row_(t-1)], h_(t-1)),    row_t = tanh(W h_t + b).

Gradients flow through all steps, and through the generated rows (as in C-RNN-GAN for music: Mogren,
2016). The discriminator's logit is computed from all states of its cell and from their standard
deviation over the batch. It learns faster, so it has a quarter of the generator's features. The
losses are DCGAN's.

    python examples/recurrent_gan.py                  60 epochs on the embedded Fashion-MNIST
                                                      subset, three minutes on 2 fast cores
    python examples/recurrent_gan.py --cell lstm      another cell: rnn, gru or lstm
    python examples/recurrent_gan.py --data FOLDER    your own images

Watch samples/epoch-*.png: no layer knows that the pixels of a column belong together, so straight
sleeves and trouser legs have been learned.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcgan import discriminator_loss, generator_loss, train

import tinygen as tg
from tinygen import nn
from tinygen.command_line import command_line
from tinygen.data import ImageDataset
from tinygen.training.gan import GAN, GANOptions
from tinygen.training.options import Positive

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(kw_only=True)
class RecurrentGANOptions(GANOptions):
    out: Path = Path("runs/recurrent_gan")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 60
    """passes over the training data, those before --resume included"""
    lr: Positive[float] = 5e-4
    """learning rate of Adam, for both networks"""
    cell: Literal["rnn", "gru", "lstm"] = "gru"
    """recurrent cell of both networks"""
    features: Positive[int] = 256
    """size of the generator's state"""


class Generator(nn.Module):
    """(N, latent) -> (N, *shape), row by row, from -1 to 1."""

    def __init__(self, cell: str, features: int, latent: int, shape: tuple[int, ...]) -> None:
        self.shape, self.width = shape, shape[1] * shape[2]
        self.start = nn.Dense(latent, features)
        self.cell = CELLS[cell](latent + self.width, features)
        self.row = nn.Dense(features, self.width)

    def forward(self, z: tg.Tensor) -> tg.Tensor:
        state = tg.tanh(self.start(z)), *self.cell.start(len(z))[1:]
        row = tg.zeros((len(z), self.width), z.dtype, z.device)
        rows = []
        for _ in range(self.shape[0]):
            state = self.cell.step(tg.concatenate([z, row], axis=1), state)
            row = tg.tanh(self.row(state[0]))
            rows.append(row)
        return tg.stack(rows, axis=1).reshape(-1, *self.shape)


class BatchDeviation(nn.Module):
    """(N, features) -> (N, features + 1): appends ten times the features' mean standard deviation.

    The deviation is over the batch; a small one reveals a collapsed generator (after Karras et al.,
    2018).
    """

    def __init__(self) -> None:
        self.deviation = nn.MinibatchDeviation()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return tg.concatenate([x, 10.0 * self.deviation(x)[:, -1:]], axis=1)


def discriminator(cell: str, features: int, shape: tuple[int, ...]) -> nn.Sequential:
    """(N, *shape) -> (N, 1), the logit of being real."""
    rows, columns, channels = shape
    return nn.Sequential(
        nn.Reshape(rows, columns * channels),
        CELLS[cell](columns * channels, features),
        nn.Flatten(),
        nn.Dropout(0.3),
        BatchDeviation(),
        nn.Dense(rows * features + 1, 1),
    )


def build(options: RecurrentGANOptions, data: ImageDataset) -> dict[str, nn.Module]:
    """The networks, by their names in the checkpoint."""
    shape = data.train_images.shape[1:]
    return {
        "generator": Generator(options.cell, options.features, options.latent, shape),
        "discriminator": discriminator(options.cell, options.features // 4, shape),
    }


def main(options: RecurrentGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    train(GAN(options, data, **build(options, data)), discriminator_loss, generator_loss)


if __name__ == "__main__":
    command_line(main, RecurrentGANOptions)
