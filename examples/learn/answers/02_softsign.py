"""02: the forward and backward of softsign."""

import numpy

import tinygen as tg
from tinygen.learn import Exercise


class Softsign(tg.Function):
    def forward(self, x):
        return x / (1 + abs(x))

    def backward(self, g, y, x):
        return g / (1 + tg.abs(x)) ** 2  # (1 + |x| - x sign(x)) / (1 + |x|)^2, and x sign(x) = |x|


def written(backward, forward=lambda x: x / (1 + abs(x))):
    """A Function of these two."""
    methods = {"forward": lambda self, x: forward(x), "backward": lambda self, g, y, x: backward(g, y, x)}
    return type("Softsign", (tg.Function,), methods)


def applied(function, x, g):
    """The output, and the gradient that arrives at x."""
    x = tg.tensor(x, requires_grad=True)
    y = function()(x)
    return [y, tg.grad(y, x, tg.tensor(g))]


EXERCISES = [
    Exercise(
        "Softsign",
        Softsign,
        lambda rng: [(rng.normal(size=shape), rng.normal(size=shape)) for shape in ((), (5,), (2, 3))],
        apply=applied,
        ideas={
            "backward returns the slope alone; multiply it by g, the gradient that arrives": written(
                lambda g, y, x: 1 / (1 + tg.abs(x)) ** 2 + 0 * g
            ),
            "backward returns 1 / (1 + |x|): that is y / x, and not the slope, which has a square below": written(
                lambda g, y, x: g / (1 + tg.abs(x))
            ),
            "backward hands g on as it came; multiply it by the slope of softsign": written(lambda g, y, x: g),
            "backward returns g times y, and y is not the slope": written(lambda g, y, x: g * y),
            "the slope of |x| is the sign of x. Without it your slope is right for one sign of x only": written(
                lambda g, y, x: g * (1 + tg.abs(x) - x) / (1 + tg.abs(x)) ** 2
            ),
            "the signs of the rule for quotients are exchanged: it is u' v - u v', and what you have is its negative": written(
                lambda g, y, x: -g / (1 + tg.abs(x)) ** 2
            ),
            "the second term of u' v - u v' has a plus: for softsign it must make the slope smaller": written(
                lambda g, y, x: g * (1 + 2 * tg.abs(x)) / (1 + tg.abs(x)) ** 2
            ),
            "backward divides by 1 + x^2: that is the slope of the arctangent; the square is of 1 + |x|": written(
                lambda g, y, x: g / (1 + x**2)
            ),
            "forward divides by 1 + x and not 1 + |x|; then it is no S, and it breaks at x = -1": written(
                lambda g, y, x: g / (1 + x) ** 2, lambda x: x / (1 + x)
            ),
            "backward has (1 + x)^2 below, which is right for x > 0 only: for x < 0 it is (1 - x)^2, and 1 + |x| holds for both": written(
                lambda g, y, x: g / (1 + x) ** 2
            ),
            "backward has (1 - x)^2 below, which is right for x < 0 only: for x > 0 it is (1 + x)^2, and 1 + |x| holds for both": written(
                lambda g, y, x: g / (1 - x) ** 2
            ),
            "forward is given a NumPy array, and tg.abs takes Tensors: use NumPy's function there, np.abs(x)": written(
                lambda g, y, x: g / (1 + tg.abs(x)) ** 2, lambda x: x / (1 + tg.abs(x))
            ),
        },
        right=[
            written(lambda g, y, x: g * (1 - tg.abs(y)) ** 2),
            written(lambda g, y, x: g / (1 + 2 * tg.abs(x) + x * x), lambda x: numpy.sign(x) * (1 - 1 / (1 + numpy.abs(x)))),
        ],
        hints=[
            "For x > 0 the slope of x / (1 + x) is ((1 + x) - x) / (1 + x)^2. What is left above?",
            "For x < 0 the slope of x / (1 - x) is ((1 - x) + x) / (1 - x)^2. And 1 - x is 1 + |x| there.",
            "forward: x / (1 + abs(x)). backward: g times 1 / (1 + tg.abs(x)) squared.",
        ],
    ),
]
