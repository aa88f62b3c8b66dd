"""Least squares GAN: DCGAN's networks with squared errors instead of logarithms (Mao et al., 2017).

D regresses 1 on real images and 0 on generated ones, and G moves D's output towards 1:

    D minimises 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2,    G minimises 1/2 (D(G(z)) - 1)^2.

The gradient of a squared error grows with the error, whereas that of log s(D) vanishes when the
sigmoid saturates. So G learns even from images that D rejects with certainty.

    python examples/lsgan.py                  50 epochs on the embedded Fashion-MNIST subset,
                                              four minutes on 2 fast cores
    python examples/lsgan.py --data FOLDER    your own images

Watch samples/epoch-*.png. In the log, D(x) and D(G(z)) are D's outputs: both are 1/2 if D cannot
tell real from generated images.
"""

from dataclasses import dataclass
from pathlib import Path

from dcgan import DCGANOptions, build, train

import tinygen as tg
from tinygen.command_line import command_line
from tinygen.training.gan import GAN


@dataclass(kw_only=True)
class LSGANOptions(DCGANOptions):
    out: Path = Path("runs/lsgan")
    """folder of the run: log, samples, checkpoint"""


def main(options: LSGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    losses = tg.least_squares_discriminator_loss, tg.least_squares_generator_loss
    train(GAN(options, data, **build(options, data)), *losses, answer=lambda score: score)


if __name__ == "__main__":
    command_line(main, LSGANOptions)
