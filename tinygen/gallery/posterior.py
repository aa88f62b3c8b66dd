"""Posterior collapse.

A variational autoencoder minimises reconstruction + KL. KL is the price, in nats, of what the code
says about an image. The reconstruction is a sum over pixels, but here a mean is taken, so the code is
196 times too expensive. The encoder says nothing: all images have the same code, KL is 0, and the
decoder shows the mean of all images. The upper row of the picture has images, the lower one their
reconstructions.

The cure is the sum over pixels. A strong decoder, such as a recurrent one, may ignore the code even
then; a weight of KL that rises from 0 in the first epochs helps there (Bowman et al., 2016).
"""

import numpy

from tinygen import functional as F
from tinygen import nn, optim
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.small import LATENT, SIZE, batches


def train(sick: bool, steps: int) -> Outcome:
    encoder = nn.Sequential(nn.Flatten(), nn.Dense(SIZE * SIZE, 128), nn.ReLU(), nn.Dense(128, 2 * LATENT))
    decoder = nn.Sequential(nn.Dense(LATENT, 128), nn.ReLU(), nn.Dense(128, SIZE * SIZE), nn.Reshape(SIZE, SIZE, 1))
    adam = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    divergences, nats = dict[int, float](), dict[int, float]()
    for step, x in enumerate(batches(steps, low=0)):
        mean, log_var = F.split(encoder(x), 2, axis=1)
        logits = decoder(mean + F.exp(0.5 * log_var) * F.randn(mean.shape))
        of_pixels = F.softplus(logits) - x * logits  # -log p(pixel | code)
        reconstruction = of_pixels.mean() if sick else of_pixels.sum(axis=(1, 2, 3)).mean()
        kl = F.gaussian_kl(mean, log_var)
        adam.minimize(reconstruction + kl)
        divergences[step], nats[step] = kl.item(), of_pixels.sum().item() / len(x)
    rows = [x.numpy()[:8], F.sigmoid(decoder(mean)).numpy()[:8]]
    return Outcome(divergences[steps - 1], {"KL": divergences, "reconstruction, in nats": nats}, numpy.concatenate(rows))


FAILURE = Failure(train, 400, "KL in nats for each image", low=0.5)
