# %% [markdown]
# # 24 The museum
#
# A mistake that ends with an error is a kind one. These ten do not: the model trains, the loss falls, and
# the images are worse than they could be, or wrong. Three of them stood for years in code from which
# many learned. They hang in five rooms, two in each. You are told what was observed, and find the lines.
#
# Each function below is complete but for two mistakes. Delete the line with `raise`, and mend the two:
# mostly a few letters each. `check` says what it still sees. Tools that somewhere help: t.detach(),
# t.sum(axis=(1, 2, 3)), t.reshape(-1, 1), images.transpose(0, 2, 3, 1), and, for a model in use and not
# in training, `with nn.evaluating(model):`.

# %%
import numpy as np

import tinygen as tg
from tinygen import nn
from tinygen.learn import check, predict

bce = tg.binary_cross_entropy_with_logits

# %% [markdown]
# What may such a mistake look like from outside? D is perfect here: its logits are 100 for real images,
# and -100 for generated ones.

# %%
logits = tg.tensor([100.0])
predict("What is D's loss, bce(real, 1.0) + bce(fake, 0.0)?", lambda: round((bce(logits, 1.0) + bce(-logits, 0.0)).item(), 2))
predict(
    "And if somebody gives sigmoid(logits) to bce? (to one decimal place)",
    lambda: round((bce(tg.sigmoid(logits), 1.0) + bce(tg.sigmoid(-logits), 0.0)).item(), 2),
)


def best_noise(weight):
    """The d, to two digits, for which weight d^2 + (d^2 - 1) / 2 - log d is smallest."""
    d = np.arange(0.01, 2, 0.01)
    return round(float(d[np.argmin(weight * d**2 + (d**2 - 1) / 2 - np.log(d))]), 2)


# %% [markdown]
# And a VAE: noise of deviation d in a latent number makes an error of about d^2 in each pixel, and costs
# a KL of (d^2 - 1) / 2 - log d. The prior has d = 1, and then z says least about x.

# %%
predict("If the errors of 784 pixels are added up, which d is best? (to two decimal places)", lambda: best_noise(784), tolerance=0.2)
predict("And if somebody takes their mean?", lambda: best_noise(1))


# %% [markdown]
# ## Room 1: a VAE
#
# *Observed:* all reconstructions are nearly the same grey image, and the KL falls to 0. In another run,
# the decoder gets another noise than the KL pays for.


# %%
def negative_elbo(decoder, x, mean, log_var, noise):
    """The negative ELBO, as a mean over the N images x (N, H, W, C), from 0 to 1.

    mean and log_var (N, latent) are those of q; log_var is the logarithm of the variance. The decoder
    gives the logit of each pixel: log p(x | z) is the sum over the pixels of x logit - softplus(logit).
    tg.gaussian_kl adds up over the latent numbers, and takes the mean over the images.
    """
    raise NotImplementedError
    z = mean + tg.exp(log_var) * noise
    logits = decoder(z)
    reconstruction = (tg.softplus(logits) - x * logits).mean()
    return reconstruction + tg.gaussian_kl(mean, log_var)


# %% [markdown]
# ## Room 2: a step of D
#
# *Observed:* D's loss stops falling early, although D is always right. And G learns in D's step, too: in
# the wrong direction.


# %%
def discriminator_step(generator, discriminator, x, z):
    """D's loss, from logits. Afterwards D's parameters have their gradients, and G's have none."""
    raise NotImplementedError
    real = tg.sigmoid(discriminator(x))
    fake = tg.sigmoid(discriminator(generator(z)))
    loss = bce(real, 1.0) + bce(fake, 0.0)
    loss.backward()
    return loss


# %% [markdown]
# ## Room 3: a Wasserstein critic
#
# *Observed:* the critic's loss is not minus a distance: it is never negative. And the penalty holds the
# slope for one image near 1, but the score of an image depends on which others are in its batch.
# (nn.BatchNorm gives each channel the mean 0 and the deviation 1 over the batch. A model in use, and not
# in training, takes the mean and deviation that were kept in training.)


# %%
def wasserstein_critic(x, fake, penalty):
    """A new critic of points (N, 2), and its loss: mean score of fake - mean score of x + 10 penalty."""
    raise NotImplementedError
    critic = nn.Sequential(nn.Dense(2, 8), nn.BatchNorm(8), nn.LeakyReLU(), nn.Dense(8, 1))
    loss = tg.relu(1.0 - critic(x)).mean() + tg.relu(1.0 + critic(fake)).mean()
    return critic, loss + 10.0 * penalty(critic, x, fake)


# %% [markdown]
# ## Room 4: images in and out
#
# *Observed:* every image looks like several small grey ones; networks learn them all the same. And what
# comes out for an image depends on the others in its batch.


# %%
def reconstructions(model, images):
    """What a trained model (N, H, W, C) -> (N, H, W, C), from -1 to 1, makes of images: an array from 0 to 1.

    The images have come from another framework: bytes from 0 to 255, as (N, C, H, W). Its model has
    batch norm. Afterwards the model is as it was.
    """
    raise NotImplementedError
    n, c, h, w = images.shape
    x = tg.tensor((images / 127.5 - 1).reshape(n, h, w, c), "float32")
    return (model(x).numpy() + 1) / 2


# %% [markdown]
# ## Room 5: G's loss, with a secret
#
# Each image is generated from a number, its code, too, and a network guesses the code from the image.
# *Observed:* all guesses are the same, the mean of the codes. And whatever is tried with the relativistic
# loss of lesson 23, the images do not change.


# %%
def generator_loss(real, fake, guess, code):
    """G's relativistic average loss of the scores (N, 1), plus the mean of (guess - code)^2.

    guess is (N, 1), and code is (N,).
    """
    raise NotImplementedError
    loss = bce(fake - real.mean(), 1.0) + bce(real - fake.mean(), 0.0)
    loss = bce(fake, 1.0)
    return loss + ((guess - code) ** 2).mean()


# %%
check("24", globals())
