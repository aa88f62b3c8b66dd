"""01: central differences, and the step that is best for them."""

import math

from tinygen.learn import Exercise


def slope(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def best_step(a, b):
    return (b / (2 * a)) ** (1 / 3)  # 2 a h - b / h^2 = 0


EXERCISES = [
    Exercise(
        "slope",
        slope,
        lambda rng: [(f, float(x), 0.1) for f in (math.exp, math.sin, lambda t: t**4) for x in rng.uniform(0.5, 2, 3)],
        ideas={
            "this is measured on one side of x: f(x + h) - f(x). Its error is of the order h; use x - h, too": lambda f, x, h: (
                (f(x + h) - f(x)) / h
            ),
            "this is measured on one side of x: f(x) - f(x - h). Its error is of the order h; use x + h, too": lambda f, x, h: (
                (f(x) - f(x - h)) / h
            ),
            "the points are 2 h apart, and you divide by h": lambda f, x, h: (f(x + h) - f(x - h)) / h,
            "the difference is not divided: a slope is a change for each unit of x": lambda f, x, h: f(x + h) - f(x - h),
            "the difference is the wrong way round: what lies at x + h comes first": lambda f, x, h: (f(x - h) - f(x + h)) / (2 * h),
            "this is the second derivative: f(x) falls out of a slope": lambda f, x, h: (f(x + h) - 2 * f(x) + f(x - h)) / h**2,
            "you multiply by 2 h, and it must be divided": lambda f, x, h: (f(x + h) - f(x - h)) * 2 * h,
        },
        right=[lambda f, x, h: 0.5 * ((f(x + h) - f(x)) / h + (f(x) - f(x - h)) / h), lambda f, x, h: (f(x - h) - f(x + h)) / (-2 * h)],
        hints=[
            "Write down f(x + h) and f(x - h) by the series, and subtract one from the other.",
            "What is left is 2 h f'(x) and a term with h^3. By what must you divide?",
            "(f(x + h) - f(x - h)) / ...",
        ],
    ),
    Exercise(
        "best_step",
        best_step,
        lambda rng: [tuple(map(float, rng.uniform(0.1, 3, 2))) for _ in range(4)],
        ideas={
            "you set the two terms equal: that is where they cross, and not where their sum is smallest": lambda a, b: (b / a) ** (1 / 3),
            "this is the best step of a one-sided quotient, whose error is a h + b / h": lambda a, b: (b / a) ** 0.5,
            "the roles of a and b are exchanged: with larger rounding errors b, the step must be larger": lambda a, b: (
                (a / (2 * b)) ** (1 / 3)
            ),
            "the equation is 2 a h = b / h^2; the h's together have the power 3, so take the cube root": lambda a, b: (b / (2 * a)) ** 0.5,
            "the derivative of a h^2 is 2 a h; you have the 2 on the other side": lambda a, b: (2 * b / a) ** (1 / 3),
            "no root is taken: the equation gives h^3": lambda a, b: b / (2 * a),
        },
        right=[lambda a, b: math.exp(math.log(b / 2 / a) / 3), lambda a, b: math.cbrt(b / a / 2)],
        hints=[
            "At the lowest point of a curve its slope is 0. What is the derivative of a h^2 + b / h?",
            "2 a h - b / h^2 = 0. Multiply by h^2.",
            "h^3 = b / (2 a)",
        ],
    ),
]
