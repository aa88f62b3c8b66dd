# %% [markdown]
# # 21 A bound, beside what it bounds
#
# A VAE should give large probability to the data it has seen: log p(x) should grow. For a network
# nobody can compute log p(x), and so a VAE trains with something smaller, the ELBO. How much smaller?
# One model is so simple that both can be computed: z and x are single numbers. You write the ELBO,
# close the gap, and see how a bad ELBO spoils the model itself.
#
# z is drawn from N(0, 1): the normal distribution with mean 0 and **variance** 1. Then x is drawn from
# N(w z, s^2): w stands for the decoder, s is the deviation of its errors. Variances of independent
# draws add, and w z has w^2 times the variance of z.

# %%
import math

import numpy as np

from tinygen.learn import check, predict, show


def log_normal(x, m, v):
    """log of the density of N(m, v) at x."""
    return -0.5 * (np.log(2 * math.pi * v) + (x - m) ** 2 / v)


def draws(w, s):
    """A million x of the model."""
    z, noise = np.random.default_rng(0).normal(size=(2, 1_000_000))
    return w * z + s * noise


predict("w = 2, s = 1. What is the variance of x?", lambda: round(float(np.var(draws(2.0, 1.0))), 2))

# %% [markdown]
# So here log p(x) is known: x has the distribution N(0, w^2 + s^2).
#
# ## The bound
#
# x and z together have the density p(x, z) = p(x | z) p(z), with p(x | z) the density of x once z
# is known. And p(z | x) = p(x, z) / p(x) says which z may have made x. So log p(x) = log p(x, z) -
# log p(z | x) for each z, and in the mean over z drawn from any density q. Subtract log q(z) and
# add it again:
#
#     log p(x) =  mean of [log p(x | z) + log p(z) - log q(z)]  +  mean of [log q(z) - log p(z | x)]
#                                  ELBO                                KL(q || p(z | x))
#
# KL(q || p) is the mean over q of log q - log p. Since log t <= t - 1, it is at least the mean of
# 1 - p/q, which is 0; and it is 0 if q is p. So the ELBO is a lower bound of log p(x), and what is
# missing is the KL from q to the **posterior** p(z | x). By the same definition
#
#     ELBO = mean over q of log p(x | z)  -  KL(q || N(0, 1))
#
# Let q be N(m, v). You need two means over q: that of z is m, and that of (z - c)^2 is (m - c)^2 + v.


# %%
def kl(m, v, a, b):
    """KL(N(m, v) || N(a, b)); v and b are variances."""
    raise NotImplementedError


def elbo(x, w, s, m, v):
    """The ELBO of the model at x with q = N(m, v), exactly: no z is drawn."""
    raise NotImplementedError


# %% [markdown]
# ## The best q
#
# Where is the ELBO largest? Its slopes in m and in v must be 0. (A VAE's encoder learns to give this m
# and v for each x.)


# %%
def best_q(x, w, s):
    """The m and the v for which the ELBO at x is largest."""
    raise NotImplementedError


# %%
check("21", globals())


def single_estimates(x, w, s, m, v):
    """log p(x | z) + log p(z) - log q(z) for a thousand z drawn from q."""
    z = m + math.sqrt(v) * np.random.default_rng(0).normal(size=1000)
    return log_normal(x, w * z, s**2) + log_normal(z, 0.0, 1.0) - log_normal(z, m, v)


# %% [markdown]
# Three q for w = 2, s = 1, x = 3. A VAE estimates its ELBO from draws of z.

# %%
show("log p(x)      ", lambda: round(float(log_normal(3.0, 0.0, 5.0)), 3))
show("ELBO, prior   ", lambda: round(float(elbo(3.0, 2.0, 1.0, 0.0, 1.0)), 3))
show("ELBO, half way", lambda: round(float(elbo(3.0, 2.0, 1.0, 1.0, 0.5)), 3))
show("ELBO, best    ", lambda: round(float(elbo(3.0, 2.0, 1.0, *best_q(3.0, 2.0, 1.0))), 3))

predict(
    "The ELBO is below log p(x). Can the estimate of a single draw be above it? (yes or no)",
    lambda: "yes" if (single_estimates(3.0, 2.0, 1.0, 1.0, 0.5) > log_normal(3.0, 0.0, 5.0)).any() else "no",
)
predict(
    "The variance of these single estimates for the best q is?", lambda: round(float(single_estimates(3, 2, 1, *best_q(3, 2, 1)).var()), 3)
)

# %% [markdown]
# With the best q there is nothing left to average: log p(x, z) - log p(z | x) is log p(x) for every z.
#
# ## A bad q spoils the model
#
# Data are drawn with w = 2, s = 1. Now w is learnt, by the largest mean ELBO over the data. The
# encoder is lazy: whatever x is, q = N(0, 1).


# %%
def learnt(q):
    """The w with the largest mean ELBO, of 0, 0.1, ... 3."""
    x = draws(2.0, 1.0)[:1000]
    return max(np.arange(0, 3.05, 0.1), key=lambda w: np.mean(elbo(x, w, 1.0, *q(x, w, 1.0))))


predict("Which w has the largest ELBO with the best q for each x and w? (of 0, 0.1, ... 3)", lambda: round(float(learnt(best_q)), 3))
predict("And with the lazy q?", lambda: round(float(learnt(lambda x, w, s: (0.0 * x, 1.0))), 3))

# %% [markdown]
# For the lazy encoder z says nothing about x, so the model does best to ignore z: w = 0. In a VAE this
# is called posterior collapse. It can begin on either side, and each side then has a reason to stay.
