"""Mode collapse.

The generator G maps all noise to one image. Here G takes ten steps for each step of the discriminator
D, which is long enough to find the image that D is surest of, and to map everything to it. When D has
learnt to refuse this image, G moves on to another one. The loss of D soon looks healthy. The sign of
collapse is the diversity: the mean distance between generated images, divided by that of real ones.

The cure is as many steps for D as for G. Batch norm in G helps, too, and so does a D that sees several
images at once (Salimans et al., 2016; Lin et al., 2018).
"""

from tinygen import functional as F
from tinygen import optim
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import EVERY, SHOWN, batches, discriminator, diversity, generated, generator, noise


def train(sick: bool, steps: int) -> Outcome:
    g, d = generator(), discriminator()
    adam_g, adam_d = (optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (g, d))
    steps_of_g = 10 if sick else 1
    diversities, losses = dict[int, float](), dict[int, float]()
    for step, real in enumerate(batches(steps, low=-1)):
        loss_d = F.binary_cross_entropy_with_logits(d(real), 1.0) + F.binary_cross_entropy_with_logits(d(g(noise()).detach()), 0.0)
        adam_d.minimize(loss_d)
        for _ in range(steps_of_g):
            adam_g.minimize(F.binary_cross_entropy_with_logits(d(g(noise())), 1.0))
        losses[step] = loss_d.item()
        if step % EVERY == 0:
            diversities[step] = diversity(g)
    return Outcome(diversity(g), {"diversity": diversities, "loss of D": losses}, generated(g, SHOWN))


FAILURE = Failure(train, 300, "diversity of the generated images, 1 being that of real ones", low=0.4)
