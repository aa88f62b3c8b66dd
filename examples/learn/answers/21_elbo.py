"""21: the ELBO of a linear Gaussian model, and the posterior."""

import math

import numpy

from tinygen.learn import Exercise


def kl(m, v, a, b):
    return 0.5 * ((v + (m - a) ** 2) / b - 1 - numpy.log(v / b))


def elbo(x, w, s, m, v):
    reconstruction = -0.5 * (math.log(2 * math.pi * s**2) + ((x - w * m) ** 2 + w**2 * v) / s**2)
    return reconstruction - kl(m, v, 0.0, 1.0)


def best_q(x, w, s):
    return w * x / (w**2 + s**2), s**2 / (w**2 + s**2)


def bound(square=lambda x, w, m, v: (x - w * m) ** 2 + w**2 * v, variance=lambda s: s**2, log=True, minus=1.0):
    """An ELBO with another mean of (x - w z)^2, variance of x, constant, or factor of the KL."""

    def elbo(x, w, s, m, v):
        constant = math.log(2 * math.pi * variance(s)) if log else 0.0
        return -0.5 * (constant + square(x, w, m, v) / variance(s)) - minus * kl(m, v, 0.0, 1.0)

    return elbo


def by_density(x, w, s, m, v):
    """log p(x) minus the gap."""
    total = w**2 + s**2
    return -0.5 * (math.log(2 * math.pi * total) + x**2 / total) - kl(m, v, *best_q(x, w, s))


def by_entropy(x, w, s, m, v):
    joint = -math.log(2 * math.pi * s) - ((x - w * m) ** 2 + w**2 * v) / (2 * s**2) - (m**2 + v) / 2
    return joint + (math.log(2 * math.pi * v) + 1) / 2


def by_precision(x, w, s):
    precision = 1 + (w / s) ** 2
    return w * x / s**2 / precision, 1 / precision


def upwards(x, w, s):
    """The best q by steps to where the slopes are 0."""
    m, v = 0.0, 1.0
    for _ in range(2000):
        m += 0.05 * (w * (x - w * m) / s**2 - m)
        v += 0.05 * v**2 * (1 / v - 1 - w**2 / s**2)
    return m, v


def numbers(count):
    """Cases of that many numbers."""
    return lambda rng: [tuple(rng.uniform(0.5, 2, count).tolist()) for _ in range(4)]


EXERCISES = [
    Exercise(
        "kl",
        kl,
        numbers(4),
        ideas={
            "this is KL(N(a, b) || N(m, v)): the mean is over the first of the two": lambda m, v, a, b: kl(a, b, m, v),
            "the half in front of all is missing": lambda m, v, a, b: 2 * kl(m, v, a, b),
            "the -1 is missing: it is the mean of -(z - m)^2 / v, from log q": lambda m, v, a, b: kl(m, v, a, b) + 0.5,
            "the logarithm has the wrong sign: log q has -log v / 2, so a smaller v makes the KL larger": lambda m, v, a, b: (
                0.5 * ((v + (m - a) ** 2) / b - 1 + math.log(v / b))
            ),
            "v and b are variances, and you take them for deviations": lambda m, v, a, b: kl(m, v**2, a, b**2),
            "the mean of (z - a)^2 over q is (m - a)^2 + v, and you leave out v": lambda m, v, a, b: kl(m, v, a, b) - 0.5 * v / b,
            "the mean of (z - a)^2 over q is (m - a)^2 + v, and you leave out (m - a)^2": lambda m, v, a, b: kl(m, v, m, b),
            "you forget the logarithms of the variances": lambda m, v, a, b: kl(m, v, a, b) + 0.5 * math.log(v / b),
            "only v is divided by b, and (m - a)^2 must be, too": lambda m, v, a, b: 0.5 * (v / b + (m - a) ** 2 - 1 - math.log(v / b)),
            "this is for N(0, 1) as the second": lambda m, v, a, b: kl(m, v, 0.0, 1.0),
            "this is the KL with the sign turned: it is the mean of log q - log p": lambda m, v, a, b: -kl(m, v, a, b),
        },
        right=[
            lambda m, v, a, b: math.log(math.sqrt(b / v)) + (v + (m - a) ** 2) / (2 * b) - 0.5,
            lambda m, v, a, b: 0.5 * math.log(2 * math.pi * b) + ((m - a) ** 2 + v) / (2 * b) - 0.5 * math.log(2 * math.pi * v) - 0.5,
        ],
        hints=[
            "Write log q(z) and log p(z) with log_normal's formula, and subtract. 2 pi falls out.",
            "The mean of (z - m)^2 / v over q is 1. That of (z - a)^2 / b is ((m - a)^2 + v) / b.",
            "0.5 * (((m - a)**2 + v) / b - 1 - np.log(v / b))",
        ],
    ),
    Exercise(
        "elbo",
        elbo,
        numbers(5),
        ideas={
            "the KL is added, and it must be subtracted": bound(minus=-1.0),
            "the KL is missing": bound(minus=0.0),
            "you put z = m into log p(x | z); the mean over q has w^2 v more": bound(lambda x, w, m, v: (x - w * m) ** 2),
            "the variance of w z is w^2 v, and you have v": bound(lambda x, w, m, v: (x - w * m) ** 2 + v),
            "the variance of w z is w^2 v, and you have w v": bound(lambda x, w, m, v: (x - w * m) ** 2 + w * v),
            "s is a deviation, and you take it for a variance": bound(variance=lambda s: s),
            "the constant log(2 pi s^2) / 2 of the density is missing: then nothing can be compared with log p(x)": bound(log=False),
            "the decoder's mean is w z, and you compare x with z": bound(lambda x, w, m, v: (x - m) ** 2 + v),
            "this is the negative, the loss of a VAE; the bound itself is wanted": lambda *case: -elbo(*case),
            "this is log p(x), and the bound is below it by the gap": lambda x, w, s, m, v: by_density(x, w, s, *best_q(x, w, s)),
        },
        right=[by_density, by_entropy],
        hints=[
            "Two terms: the mean of log p(x | z) over q, minus kl(m, v, 0, 1).",
            "log p(x | z) is log_normal(x, w * z, s**2). You need the mean of (x - w z)^2: w z has the mean w m and the variance w^2 v.",
            "-0.5 * (np.log(2 * math.pi * s**2) + ((x - w * m)**2 + w**2 * v) / s**2) - kl(m, v, 0, 1)",
        ],
        uses=["kl"],
    ),
    Exercise(
        "best_q",
        best_q,
        numbers(3),
        ideas={
            "m = x / w undoes the decoder, and forgets that z near 0 is likelier": lambda x, w, s: (x / w, s**2 / (w**2 + s**2)),
            "m is x, but z is w times smaller than x": lambda x, w, s: (x, s**2 / (w**2 + s**2)),
            "this is the prior, which does not look at x": lambda x, w, s: (0.0 * x, 1.0),
            "m is right; the slope in v has -1/2 from the KL, too, so v is smaller than s^2 / w^2": lambda x, w, s: (
                w * x / (w**2 + s**2),
                s**2 / w**2,
            ),
            "m is right; v is a variance, and you give the deviation": lambda x, w, s: (w * x / (w**2 + s**2), s / math.sqrt(w**2 + s**2)),
            "m is right; v is without s^2 above": lambda x, w, s: (w * x / (w**2 + s**2), 1 / (w**2 + s**2)),
            "v is right; m is without w above: x must be brought to the size of z": lambda x, w, s: (
                x / (w**2 + s**2),
                s**2 / (w**2 + s**2),
            ),
            "m is right; you give 1 / v": lambda x, w, s: (w * x / (w**2 + s**2), 1 + (w / s) ** 2),
            "s is a deviation, and you take it for a variance": lambda x, w, s: (w * x / (w**2 + s), s / (w**2 + s)),
            "m is right; v = 1 is the prior's, and having seen x one knows more": lambda x, w, s: (w * x / (w**2 + s**2), 1.0),
            "m and v are exchanged": lambda x, w, s: best_q(x, w, s)[::-1],
        },
        right=[by_precision, upwards],
        hints=[
            "The parts of the ELBO with m: -(x - w m)^2 / (2 s^2) - m^2 / 2. With v: -w^2 v / (2 s^2) - v / 2 + log(v) / 2.",
            "w (x - w m) / s^2 - m = 0, and -w^2 / (2 s^2) - 1/2 + 1 / (2 v) = 0.",
            "v = s^2 / (w^2 + s^2). And m is w x / (...).",
        ],
        tolerance=1e-6,
    ),
]
