"""20: the score function's estimator, reparameterisation, and a baseline."""

import numpy

import tinygen as tg
from tinygen.learn import Exercise


def score_estimates(f, m, s, noise):
    z = m + s * noise
    return f(z) * (z - m) / s**2


def pathwise_estimates(f, m, s, noise):
    z = tg.tensor(m + s * noise, requires_grad=True)
    slope = tg.grad(f(z).sum(), z)
    return slope, slope * tg.tensor(noise)


def best_baseline(values, scores):
    return (values * scores**2).mean() / (scores**2).mean()


def through_both(f, m, s, noise):
    """Each draw has an m and an s of its own, so that tg.grad finds all."""
    ms, ss = (tg.tensor(numpy.full(noise.shape, value), requires_grad=True) for value in (m, s))
    return tg.grad(f(ms + ss * tg.tensor(noise)).sum(), [ms, ss])


def pathwise(estimates):
    """The estimates made of the slope at z, f(z), z, s and the noise."""

    def pathwise_estimates(f, m, s, noise):
        z = tg.tensor(m + s * noise, requires_grad=True)
        y = f(z)
        return estimates(tg.grad(y.sum(), z).numpy(), y.numpy(), z.numpy(), s, noise)

    return pathwise_estimates


def slope_at_mean(f, m, s, noise):
    slope = pathwise_estimates(f, m, 0.0, noise)[0].numpy()
    return slope, slope * noise


def density(m, s, z):
    return numpy.exp(-((z - m) ** 2) / (2 * s**2)) / (s * numpy.sqrt(2 * numpy.pi))


def draws(rng):
    return [(f, *rng.uniform(0.5, 2, 2).tolist(), rng.normal(size=4)) for f in (lambda z: z**2 + 1.0, lambda z: z**3 - 2.0 * z)]


EXERCISES = [
    Exercise(
        "score_estimates",
        score_estimates,
        draws,
        ideas={
            "this is the score alone; multiply it by f(z), which says how good the draw was": lambda f, m, s, noise: noise / s,
            "you divide z - m by s, or take the noise: the slope of -(z - m)^2 / (2 s^2) has s^2 below": lambda f, m, s, noise: (
                f(m + s * noise) * noise
            ),
            "the score is z - m without a division: the slope of -(z - m)^2 / (2 s^2) has s^2 below": lambda f, m, s, noise: (
                f(m + s * noise) * s * noise
            ),
            "the sign of the score is wrong: more m makes the z above m more likely": lambda f, m, s, noise: -f(m + s * noise) * noise / s,
            "the score has the 2 that falls out: the slope of (z - m)^2 / 2 is z - m": lambda f, m, s, noise: (
                f(m + s * noise) * noise / s / 2
            ),
            "f was taken at the noise, and the draw is z = m + s noise": lambda f, m, s, noise: f(noise) * noise / s,
            "you return the mean; here each draw's own estimate is wanted": lambda f, m, s, noise: (
                score_estimates(f, m, s, noise).mean() + 0 * noise
            ),
            "you return one number, the mean; here each draw's own estimate is wanted": lambda f, m, s, noise: score_estimates(
                f, m, s, noise
            ).mean(),
            "you multiply f by dp/dm. The z are drawn from p already, so p would count twice: use d log p / dm": lambda f, m, s, noise: (
                score_estimates(f, m, s, noise) * density(m, s, m + s * noise)
            ),
            "you multiply f by log p, and not by its slope in m": lambda f, m, s, noise: (
                f(m + s * noise) * numpy.log(density(m, s, m + s * noise))
            ),
        },
        right=[
            lambda f, m, s, noise: f(m + s * noise) * noise / s,
            lambda f, m, s, noise: numpy.array([float(f(m + s * e)) * e / s for e in noise]),
        ],
        hints=[
            "log p(z) = -(z - m)^2 / (2 s^2) - log(s sqrt(2 pi)). Differentiate it in m, for a fixed z.",
            "u = (z - m) / s^2",
            "z = m + s * noise; return f(z) * ...",
        ],
        tolerance=1e-6,
    ),
    Exercise(
        "pathwise_estimates",
        pathwise_estimates,
        draws,
        ideas={
            "dL/ds is the same as dL/dm: but z = m + s noise moves by noise where s moves by 1": pathwise(
                lambda slope, y, z, s, noise: (slope, slope)
            ),
            "dL/dm was multiplied by s: z moves by 1 where m moves by 1": pathwise(
                lambda slope, y, z, s, noise: (slope * s, slope * noise)
            ),
            "the two are exchanged: dL/dm comes first": pathwise(lambda slope, y, z, s, noise: (slope * noise, slope)),
            "for dL/ds the slope is multiplied by z, and z moves by noise where s moves by 1": pathwise(
                lambda slope, y, z, s, noise: (slope, slope * z)
            ),
            "you use the value of f where its slope is wanted": pathwise(lambda slope, y, z, s, noise: (y, y * noise)),
            "this is the first way, with the score; here f is differentiated": pathwise(
                lambda slope, y, z, s, noise: (y * noise / s, y * (noise**2 - 1) / s)
            ),
            "f was differentiated at m for all draws, and each has its own z": slope_at_mean,
            "you return the means; here each draw's own estimates are wanted": pathwise(
                lambda slope, y, z, s, noise: (slope.mean(), (slope * noise).mean())
            ),
            "you differentiate the mean of f, which divides by n: one estimate per draw, not their mean": pathwise(
                lambda slope, y, z, s, noise: (slope / len(noise), slope * noise / len(noise))
            ),
            "dL/ds is divided by s: the chain rule gives slope times noise, and no more": pathwise(
                lambda slope, y, z, s, noise: (slope, slope * noise / s)
            ),
            "dL/ds is taken for the size of the noise, without its sign": pathwise(
                lambda slope, y, z, s, noise: (slope, slope * abs(noise))
            ),
        },
        right=[through_both, pathwise(lambda slope, y, z, s, noise: [slope, slope * noise])],
        hints=[
            "z = tg.tensor(m + s * noise, requires_grad=True). If m moves by 1, by how much does z? And if s does?",
            "tg.grad(f(z).sum(), z) has the slope at each z, since each element of f(z) depends on its own z only.",
            "dL/dm: the slope. dL/ds: the slope times tg.tensor(noise).",
        ],
        tolerance=1e-5,  # a learner's Tensors may be float32
    ),
    Exercise(
        "best_baseline",
        best_baseline,
        lambda rng: [(rng.uniform(0, 9, 5), rng.normal(size=5)) for _ in range(3)],
        ideas={
            "this is the mean of the values: draws with a large score count more": lambda values, scores: values.mean(),
            "each value counts with its score, and it should count with the square": lambda values, scores: (
                (values * scores).mean() / scores.mean()
            ),
            "below there are squares of the scores, and above the score without one": lambda values, scores: (
                (values * scores).mean() / (scores**2).mean()
            ),
            "the mean of the squared scores is missing below": lambda values, scores: (values * scores**2).mean(),
            "b scores has the mean 0 over all draws, and not over these few: do not subtract the means": lambda values, scores: (
                numpy.cov(values * scores, scores, bias=True)[0, 1] / numpy.var(scores)
            ),
            "the sign is wrong: b is subtracted from the values": lambda values, scores: -best_baseline(values, scores),
            "a factor 2 is left: it is on both sides of the equation": lambda values, scores: 2 * best_baseline(values, scores),
            "this is a median, which makes the mean of |values - b| smallest": lambda values, scores: numpy.median(values),
            "the quotient is upside down": lambda values, scores: 1 / best_baseline(values, scores),
        },
        right=[
            lambda values, scores: numpy.average(values, weights=scores**2),
            lambda values, scores: float((values * scores) @ scores / (scores @ scores)),
        ],
        hints=[
            "Differentiate the mean of (values - b)^2 scores^2 in b. At the lowest point it is 0.",
            "The mean of (values - b) scores^2 is 0. Take b out of the mean.",
            "b = (values * scores**2).mean() / ...",
        ],
    ),
]
