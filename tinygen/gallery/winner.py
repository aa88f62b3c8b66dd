"""A discriminator that wins.

The learning rate of the discriminator D is fifty times that of the generator G, so D soon tells all
generated images from real ones. G minimises log(1 - D(G(z))), the loss of the minimax game. Its slope
in D's logit is -D(G(z)), which is 0 where D is sure. So G no longer learns, however wrong its images
are. The signs are a D(G(z)) near 0, a loss of D near 0, and samples that no longer change.

The cure is to minimise -log D(G(z)) instead, whose slope, D(G(z)) - 1, is steepest where D is sure
(Goodfellow et al., 2014). Slowing down D helps, too.
"""

import math

from tinygen import functional as F
from tinygen import optim
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import SHOWN, batches, discriminator, generated, generator, noise


def train(sick: bool, steps: int) -> Outcome:
    g, d = generator(), discriminator()
    adam_g, adam_d = (optim.Adam(network.parameters(), lr, betas=(0.5, 0.999)) for network, lr in ((g, 2e-4), (d, 1e-2)))
    answers, slopes = dict[int, float](), dict[int, float]()
    for step, real in enumerate(batches(steps, low=-1)):
        fake = g(noise())
        adam_d.minimize(F.binary_cross_entropy_with_logits(d(real), 1.0) + F.binary_cross_entropy_with_logits(d(fake.detach()), 0.0))
        logits = d(fake)
        loss_g = -F.binary_cross_entropy_with_logits(logits, 0.0) if sick else F.binary_cross_entropy_with_logits(logits, 1.0)
        adam_g.minimize(loss_g)
        answers[step] = F.sigmoid(logits).mean().item()
        slopes[step] = optim.clip_grad_norm(g.parameters(), math.inf)
    last = [*slopes.values()][-50:]
    return Outcome(sum(last) / len(last), {"length of G's gradient": slopes, "D(G(z))": answers}, generated(g, SHOWN))


FAILURE = Failure(train, 600, "mean length of G's gradient in the last 50 steps", low=0.1)
