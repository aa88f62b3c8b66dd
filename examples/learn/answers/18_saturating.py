"""18: log(1 - D) saturates where -log D is steep; both by softplus, without overflow."""

import math

import numpy

from tinygen.learn import Exercise


def softplus(x):
    return numpy.maximum(x, 0) + numpy.log1p(numpy.exp(-abs(x)))


def losses(a):
    return -softplus(a), softplus(-a)


def slopes(a):
    d = 1 / (1 + numpy.exp(-a))
    return -d, d - 1


def by_sides(x):
    y = numpy.empty_like(x)
    y[x > 0] = x[x > 0] + numpy.log1p(numpy.exp(-x[x > 0]))
    y[x <= 0] = numpy.log1p(numpy.exp(x[x <= 0]))
    return y


def number_by_number(function, x):
    """The results as numbers, or as text where one is not finite."""
    with numpy.errstate(all="ignore"):
        return [float(y) if math.isfinite(y) else str(y) for y in numpy.ravel(function(x))]


def pair(function, a):
    """Both results, of an array of logits."""
    with numpy.errstate(all="ignore"):
        first, second = function(a)
    return [numpy.asarray(first), numpy.asarray(second)]


def sigmoid(a):
    return 1 / (1 + numpy.exp(-a))


EXERCISES = [
    Exercise(
        "softplus",
        softplus,
        lambda rng: [(numpy.array([-1000.0, -60.0, -30.0, -1.0, 0.0, 2.0, 40.0, 1000.0]),), (rng.normal(size=5),)],
        apply=number_by_number,
        ideas={
            "exp(1000) is infinite, and 1 + exp(-60) is rounded to 1: take exp(x) out of the logarithm where x > 0, and use log1p": (
                lambda x: numpy.log(1 + numpy.exp(x))
            ),
            "exp(1000) is infinite: for x > 0, softplus(x) = x + log(1 + exp(-x))": lambda x: numpy.log1p(numpy.exp(x)),
            "x + log(1 + exp(-x)) is for x > 0 only: now exp(1000) comes from x = -1000": lambda x: x + numpy.log1p(numpy.exp(-x)),
            "nothing overflows, but 1 + exp(-60) is rounded to 1, whose logarithm is 0: use log1p": lambda x: (
                numpy.maximum(x, 0) + numpy.log(1 + numpy.exp(-abs(x)))
            ),
            "this is relu. softplus is rounder: add log(1 + exp(-|x|))": lambda x: numpy.maximum(x, 0),
            "the part that was taken out of the logarithm is missing: add x where x > 0": lambda x: numpy.log1p(numpy.exp(-abs(x))),
            "for x > 0 it is not x alone: log(1 + exp(-x)) is left": lambda x: numpy.where(x > 0, x, numpy.log1p(numpy.exp(x))),
            "exp is cut off, so softplus(1000) becomes 700: take exp(x) out of the logarithm instead": lambda x: numpy.log1p(
                numpy.exp(numpy.minimum(x, 700))
            ),
            "where x < 0 you add x, too: what is taken out is max(x, 0)": lambda x: x + numpy.log1p(numpy.exp(-abs(x))),
            "what is taken out is x for x > 0 and nothing for x < 0; |x| is added for both": lambda x: (
                abs(x) + numpy.log1p(numpy.exp(-abs(x)))
            ),
        },
        right=[by_sides, lambda x: numpy.logaddexp(0.0, x)],
        hints=[
            "1 + exp(x) = exp(x) (exp(-x) + 1). What is the logarithm of that?",
            "For x > 0 it is x + log(1 + exp(-x)), for x < 0 log(1 + exp(x)). In both the exp is of -|x|.",
            "np.maximum(x, 0) + np.log1p(...)",
        ],
    ),
    Exercise(
        "losses",
        losses,
        lambda rng: [(rng.normal(size=5),), (numpy.array([-1000.0, 3.0, 1000.0]),)],
        apply=pair,
        ideas={
            "the two are exchanged: log(1 - D) comes first": lambda a: losses(a)[::-1],
            "log(1 - D) is negative: it is -softplus(a)": lambda a: (softplus(a), softplus(-a)),
            "-log D is positive: it is softplus(-a)": lambda a: (-softplus(a), -softplus(-a)),
            "1 - D is sigmoid(-a), so log(1 - D) is -softplus(a), and you have log D": lambda a: (-softplus(-a), softplus(-a)),
            "-log D is softplus(-a): with a, it is -log(1 - D)": lambda a: (-softplus(a), softplus(a)),
            "both are of the other probability: these are log D and -log(1 - D)": lambda a: (-softplus(-a), softplus(a)),
            "for each logit there is a loss; you return their means": lambda a: tuple(numpy.mean(loss) for loss in losses(a)),
            "D is rounded to 1, or exp overflows: use softplus of a and of -a, not log of D": lambda a: (
                numpy.nan_to_num(numpy.log(1 - sigmoid(a))),
                numpy.nan_to_num(-numpy.log(sigmoid(a))),
            ),
        },
        right=[lambda a: (-numpy.logaddexp(0, a), numpy.logaddexp(0, -a)), lambda a: (a * -1.0 - softplus(-a), softplus(a) - a)],
        hints=[
            "-log D = log(1 + exp(-a)) and log(1 - D) = -log(1 + exp(a)) stand in the text. Where is softplus in each?",
            "log(1 + exp(-a)) is softplus of what?",
            "return -softplus(a), softplus(...)",
        ],
        uses=["softplus"],
    ),
    Exercise(
        "slopes",
        slopes,
        lambda rng: [(rng.uniform(-8, 8, 5),), (numpy.array([-6.0, 0.0, 6.0]),)],
        apply=pair,
        ideas={
            "the two are exchanged: the slope of log(1 - D) comes first": lambda a: slopes(a)[::-1],
            "both losses fall as a rises, so both slopes are negative": lambda a: (sigmoid(a), sigmoid(-a)),
            "the second slope has the wrong sign: softplus(-a) has -a inside, and the chain rule brings a -1": lambda a: (
                -sigmoid(a),
                sigmoid(-a),
            ),
            "the first slope has the wrong sign: the loss is minus softplus(a)": lambda a: (sigmoid(a), -sigmoid(-a)),
            "the slope of softplus(-a) has sigmoid(-a), not sigmoid(a)": lambda a: (-sigmoid(a), -sigmoid(a)),
            "this is 1 / (D - 1) and -1 / D, the slopes in D. In a they are still multiplied with the slope of sigmoid, D (1 - D)": (
                lambda a: (-1 / (1 - sigmoid(a)), -1 / sigmoid(a))
            ),
            "this is the slope of the sigmoid, D (1 - D), in both": lambda a: (-sigmoid(a) * sigmoid(-a),) * 2,
            "these are the losses, not their slopes": losses,
        },
        right=[
            lambda a: (-0.5 - 0.5 * numpy.tanh(a / 2), 0.5 * numpy.tanh(a / 2) - 0.5),
            lambda a: (-numpy.exp(-softplus(-a)), -sigmoid(-a)),
        ],
        hints=[
            "The losses are -softplus(a) and softplus(-a). The slope of softplus(x) is sigmoid(x).",
            "The first is -sigmoid(a). In the second, -a has the slope -1: what is the whole?",
            "With d = 1 / (1 + np.exp(-a)), return -d, d - ...",
        ],
    ),
]
