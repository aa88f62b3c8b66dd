"""Too high a learning rate.

The first steps of Adam change every weight by about the learning rate, whatever its gradient. The
weights of this autoencoder are about 0.1 to begin with, and the steps are 0.3. After a few of them, the
narrowest layer gives 0 for every image, because all of its ReLUs get negative numbers. The slope of
ReLU is 0 there, so these units are dead: no gradient reaches their weights any more. The layers behind
them get the same code for all images, and can learn no more than the mean image. The upper row of the
picture has images, the lower one what the autoencoder makes of them.

The cure is a lower rate. The sign that it is low enough is a loss below that of the mean image.
"""

import numpy

from tinygen import functional as F
from tinygen import nn, optim
from tinygen.data import to_float
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import LATENT, SIZE, batches, images


def train(sick: bool, steps: int) -> Outcome:
    encoder = nn.Sequential(nn.Flatten(), nn.Dense(SIZE * SIZE, 128), nn.ReLU(), nn.Dense(128, LATENT), nn.ReLU())
    decoder = nn.Sequential(nn.Dense(LATENT, 128), nn.ReLU(), nn.Dense(128, SIZE * SIZE), nn.Reshape(SIZE, SIZE, 1))
    learning_rate = 0.3 if sick else 0.002
    adam = optim.Adam([*encoder.parameters(), *decoder.parameters()], learning_rate)
    losses, dead = dict[int, float](), dict[int, float]()
    for step, x in enumerate(batches(steps, low=0)):
        code = encoder(x)
        logits = decoder(code)
        loss = F.binary_cross_entropy_with_logits(logits, x)
        adam.minimize(loss)
        losses[step] = loss.item()
        dead[step] = float((code.numpy() == 0).all(axis=0).mean())
    last = [*losses.values()][-25:]
    rows = [x.numpy()[:8], F.sigmoid(logits).numpy()[:8]]
    return Outcome(sum(last) / len(last) / of_the_mean(), {"loss": losses, "share of dead units": dead}, numpy.concatenate(rows))


def of_the_mean() -> float:
    """The loss of a network that always shows the mean image p: -E[x log p + (1 - x) log(1 - p)]."""
    p = to_float(images(), 0, 1).mean(axis=0).clip(1e-6, 1 - 1e-6)
    return float(-(p * numpy.log(p) + (1 - p) * numpy.log(1 - p)).mean())


FAILURE = Failure(train, 300, "loss, 1 being that of the mean image for every image", high=0.9)
