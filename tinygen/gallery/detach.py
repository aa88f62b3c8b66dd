"""A forgotten detach.

To the discriminator D, generated images are data, and `detach` cuts them off from the generator G.
Without it, `backward()` of D's loss reaches G, too, and leaves gradients there that make images easier
to recognise. G's own loss adds gradients that make them harder to recognise. If that loss is
log(1 - D(G(z))), the two sums are opposite and, but for noise and one step of D, equal. So G stands
still, and D wins. If it is -log D(G(z)), they cancel in part, which is easily overlooked.

The cure is `detach`. `minimize` of tinygen's optimisers is safe without it, because it computes the
gradients of its own parameters alone; `detach` then saves no more than memory.
"""

import numpy

from tinygen import functional as F
from tinygen import optim
from tinygen.data import to_float
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import EVERY, SHOWN, batches, discriminator, generated, generator, images, noise


def train(sick: bool, steps: int) -> Outcome:
    g, d = generator(), discriminator()
    adam_g, adam_d = (optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (g, d))
    mean = to_float(images(), 0, 1).mean(axis=0)
    losses, distances = dict[int, float](), dict[int, float]()
    for step, real in enumerate(batches(steps, low=-1)):
        adam_g.zero_grad()
        adam_d.zero_grad()
        fake = g(noise())
        seen = fake if sick else fake.detach()
        loss_d = F.binary_cross_entropy_with_logits(d(real), 1.0) + F.binary_cross_entropy_with_logits(d(seen), 0.0)
        loss_d.backward()
        adam_d.step()
        loss_g = -F.binary_cross_entropy_with_logits(d(g(noise())), 0.0)
        loss_g.backward()
        adam_g.step()
        losses[step] = loss_d.item()
        if step % EVERY == 0 or step == steps - 1:
            distances[step] = float(numpy.sqrt(((generated(g, 256).mean(axis=0) - mean) ** 2).mean()))
    curves = {"distance between the mean images": distances, "loss of D": losses}
    return Outcome(distances[steps - 1], curves, generated(g, SHOWN))


FAILURE = Failure(train, 400, "root mean square between the mean generated and the mean real image", high=0.2)
