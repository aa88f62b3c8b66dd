# %% [markdown]
# # 20 Two ways to the slope of a mean
#
# A generator and a VAE draw z at random, and compute a loss f(z) from it. To train them we need the
# slope of the *mean* loss in the numbers that the draw depends on. But how does one differentiate a
# throw of dice? There are two ways. Both are right in the mean, and one of them needs many times as
# many draws. You write both, and see why every VAE uses the same one.
#
# Let z be drawn from the normal distribution with mean m and deviation s. Its **density** p says how
# draws are shared out: the share of draws between z and z + dz is p(z) dz. So the mean of f over many
# draws is the sum of f(z) p(z) dz, an integral. The **variance** is the mean of (z - mean)^2, and the
# **deviation** its root. Here
#
#     p(z) = exp(-(z - m)^2 / (2 s^2)) / (s sqrt(2 pi)),    and    L = mean of f(z) = integral of p(z) f(z) dz
#
# For f(z) = z^2, L is m^2 + s^2.

# %%
import numpy as np

import tinygen as tg
from tinygen.learn import check, predict

noise = np.random.default_rng(0).normal(size=1_000_000)


def mean_square(m):
    """L for f(z) = z^2 and s = 1, from a million draws."""
    return float(np.mean((m + noise) ** 2))


predict(
    "f(z) = z^2, m = 1, s = 1. What is dL/dm? (measured as in lesson 01)", lambda: round((mean_square(1.1) - mean_square(0.9)) / 0.2, 1)
)

# %% [markdown]
# ## The first way: which draws were good?
#
# Only p depends on m, so dL/dm is the integral of (dp/dm) f. To estimate it from draws, it must be a
# mean over p again. Since the slope of log p is (dp/dm) / p,
#
#     dL/dm = integral of p (d log p / dm) f dz = mean of  f(z) u,    with the **score** u = d log p(z) / dm
#
# f is not differentiated: it can be a game that was won or lost. A draw with large f pulls p towards
# larger values of u. (REINFORCE, Williams, 1992.)


# %%
def score_estimates(f, m, s, noise):
    """An estimate f(z) u of dL/dm for each z = m + s noise: an array as long as noise.

    noise is an array of draws with mean 0 and deviation 1. f takes an array and returns one.
    """
    raise NotImplementedError


# %% [markdown]
# ## The second way: where would this draw have gone?
#
# Draw the noise first. Then z = m + s noise is an ordinary function of m and s, and L is the mean of
# f(m + s noise) over noise that depends on nothing. For each draw, differentiate by the chain rule.
# (Reparameterisation, Kingma and Welling, 2014.)


# %%
def pathwise_estimates(f, m, s, noise):
    """Estimates of dL/dm and of dL/ds for each z = m + s noise: two Tensors or arrays as long as noise.

    f takes a Tensor and returns one of the same shape, element by element; let tg.grad find its slope.
    """
    raise NotImplementedError


# %% [markdown]
# ## A baseline
#
# Let b be a fixed number. The mean of b u is b times the integral of dp/dm, and that is the slope of
# the whole area under p, which is always 1: so it is 0. Then (f(z) - b) u has the right mean for any b.
# Its variance is smallest where its mean square is smallest: a parabola in b.


# %%
def best_baseline(values, scores):
    """The b for which the mean of ((values - b) scores)^2 is smallest: a number, from two arrays of one length."""
    raise NotImplementedError


# %%
check("20", globals())


def variance(way, f):
    """The variance of the estimates of dL/dm at m = 1, s = 1, from a million draws."""
    if way == "score":
        return round(float(np.var(score_estimates(f, 1.0, 1.0, noise))), 1)
    if way == "pathwise":
        estimates = pathwise_estimates(f, 1.0, 1.0, noise)[0]
        return round(float(np.var(estimates.numpy() if isinstance(estimates, tg.Tensor) else estimates)), 1)
    baseline = best_baseline(f(1.0 + noise), noise)
    return round(float(np.var(score_estimates(lambda z: f(z) - baseline, 1.0, 1.0, noise))), 1)


def square(z):
    return z**2


def higher(z):
    return z**2 + 100.0


def jump(z):
    """1 for positive z, 0 for negative."""
    return 0.5 + 0.5 * z / abs(z)


# %% [markdown]
# A mean of n estimates has their variance divided by n: with four times the variance, one needs four
# times as many draws.

# %%
predict("f = z^2. The variance of the pathwise estimates is?", lambda: variance("pathwise", square))
predict("And of the score estimates? (any guess)", lambda: variance("score", square), tolerance=0.2)
predict("Now f = z^2 + 100. The pathwise variance is?", lambda: variance("pathwise", higher))
predict("And the variance of the score estimates? (any guess)", lambda: variance("score", higher), tolerance=0.2)
predict("And with the best baseline? (any guess)", lambda: variance("best baseline", higher), tolerance=0.2)

# %% [markdown]
# The score's way does not know that 100 was added everywhere: it judges each draw by its value
# alone. Still it can do what the other cannot. Let f be 1 for z > 0, and 0 elsewhere. Then L is the
# probability that z > 0. It grows with m: with more m, more draws win.

# %%
predict("f = 1 for z > 0, else 0. The variance of the score estimates is? (any guess)", lambda: variance("score", jump), tolerance=0.2)
predict("The variance of the pathwise estimates is?", lambda: variance("pathwise", jump))

# %% [markdown]
# No variance at all, and always the same answer: 0, which is wrong. A jump has no slope to either side,
# so no draw sees it. The way through f needs an f that can be differentiated; a VAE's decoder can.
