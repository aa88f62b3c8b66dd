"""Checkerboards.

A transposed convolution adds a multiple of its kernel to the output for each input pixel. With stride
2, kernels of 3x3 overlap in every other row and column, and pixels there are sums of more terms than
their neighbours. The result is a grid, which the weights must learn to even out (Odena, Dumoulin &
Olah, 2016). The sign is the power in the highest frequency of rows and columns, in which neighbours
alternate. Images without a grid have less of it than of lower frequencies.

The cure is to enlarge the image first, and to convolve it then. A kernel size that is a multiple of the
stride, such as 4, lets kernels overlap evenly, but does not keep the weights from drawing a grid.
"""

import numpy

from tinygen import functional as F
from tinygen import nn, optim
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import LATENT, batches

SIZE, CHANNELS = 28, 8


def alternation(images: numpy.ndarray) -> float:
    """The power in the highest frequency of rows and columns, at which pixels alternate, divided by that two frequencies below."""
    power = (numpy.abs(numpy.fft.fft2(images[..., 0])) ** 2).sum(axis=0)
    highest, below = (power[k].sum() + power[:, k].sum() for k in (SIZE // 2, SIZE // 2 - 2))
    return float(highest / below)


def train(sick: bool, steps: int) -> Outcome:
    def doubled(i: int, o: int) -> nn.Module:
        """A layer from (N, H, W, i) to (N, 2 H, 2 W, o)."""
        return nn.ConvTranspose2D(i, o, 3, 2, "same") if sick else nn.Sequential(nn.Upsample2D(2), nn.Conv2D(i, o, 3, padding="same"))

    encoder = nn.Sequential(nn.Flatten(), nn.Dense(SIZE * SIZE, 64), nn.ReLU(), nn.Dense(64, LATENT))
    start = nn.Dense(LATENT, 7 * 7 * CHANNELS), nn.ReLU(), nn.Reshape(7, 7, CHANNELS)
    decoder = nn.Sequential(*start, doubled(CHANNELS, CHANNELS), nn.ReLU(), doubled(CHANNELS, 1))
    adam = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    alternations, losses = dict[int, float](), dict[int, float]()
    for step, x in enumerate(batches(steps, low=0, size=SIZE)):
        logits = decoder(encoder(x))
        loss = F.binary_cross_entropy_with_logits(logits, x)
        adam.minimize(loss)
        losses[step] = loss.item()
        alternations[step] = alternation(F.sigmoid(logits).numpy())
    curves = {"alternation": alternations, "loss": losses}
    return Outcome(alternations[steps - 1], curves, F.sigmoid(logits).numpy()[:8])


FAILURE = Failure(train, 150, "power of the highest frequency, divided by that of a lower one", high=1.0)
