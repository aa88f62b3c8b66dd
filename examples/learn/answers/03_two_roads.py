"""03: gradients that arrive by several roads are added up."""

import numpy

from tinygen.learn import Exercise


def gradient(a, g):
    b = a * a
    at_b = g * a + g  # through the product, and through the sum
    return g * b + at_b * a + at_b * a


def add_up(arrivals):
    sums = {}
    for name, g in arrivals:
        sums[name] = sums[name] + g if name in sums else g
    return sums


def with_first(join):
    """add_up with another way to join what is there with what arrives."""

    def add_up(arrivals):
        sums = {}
        for name, g in arrivals:
            sums[name] = join(sums[name], g) if name in sums else g
        return sums

    return add_up


def in_place(before, g):
    before += g
    return before


def all_arrays(arrivals):
    return {name: sum(g for _, g in arrivals) for name, _ in arrivals}


def averaged(arrivals):
    return {name: numpy.mean([g for other, g in arrivals if other == name], axis=0) for name, _ in arrivals}


def negligent(arrivals):
    """The first gradient of each name is lost."""
    sums = {}
    for name, g in arrivals:
        sums[name] = sums[name] + g if name in sums else 0 * g
    return sums


def grouped(arrivals):
    return {name: sum(g for other, g in arrivals if other == name) for name, _ in arrivals}


def copied(arrivals):
    sums = {}
    for name, g in arrivals:
        if name in sums:
            sums[name] += g
        else:
            sums[name] = g.copy()
    return sums


def seen(function, arrivals):
    """The sums by name, and the arrays that arrived, as they are afterwards."""
    sums = function(arrivals)
    return [[[name, sums[name]] for name in sorted(sums)], [g for _, g in arrivals]]


def arrivals(rng):
    p, q, r = rng.normal(size=(3, 2))
    number = rng.normal(size=(1,))
    return [([("p", p), ("q", p), ("p", q), ("p", r), ("q", r)],), ([("p", number), ("q", q), ("q", q)],)]


EXERCISES = [
    Exercise(
        "gradient",
        gradient,
        lambda rng: [tuple(map(float, rng.uniform(0.5, 2, 2))) for _ in range(4)],
        ideas={
            "a stands in the second product itself: there is a road from c to a that does not go through b": lambda a, g: (
                2 * a * g * (a + 1)
            ),
            "c = a * b + b uses b twice: add g, which comes through the +, to what comes through the product": lambda a, g: (
                g * a * a + 2 * a * g * a
            ),
            "c = a * b + b uses b twice: what comes through the product is missing": lambda a, g: g * a * a + 2 * a * g,
            "b = a * a uses a twice: what arrives at b goes to a by two roads": lambda a, g: g * a * a + a * g * (a + 1),
            "the result is not multiplied by g": lambda a, g: 3 * a * a + 2 * a,
            "g is multiplied twice on the roads through b: it is in what arrives at b already": lambda a, g: (
                g * a * a + 2 * a * g * g * (a + 1)
            ),
            "along a road slopes are multiplied, and you have added what arrives at b to the slope of b": lambda a, g: (
                g * a * a + g * (a + 1) + 2 * a
            ),
            "this is c itself, times g, and not its slope": lambda a, g: g * (a**3 + a * a),
        },
        right=[lambda a, g: g * (3 * a**2 + 2 * a), lambda a, g: g * a * a + 2 * a * (g * a + g)],
        hints=[
            "First what arrives at b: c = a * b + b uses it in two places.",
            "At b arrives g a + g. The product b = a * a passes that on to a twice, times a each time.",
            "And c = a * b + b passes g b to a directly. Add all three.",
        ],
    ),
    Exercise(
        "add_up",
        add_up,
        arrivals,
        apply=seen,
        ideas={
            "what arrives later overwrites what was there: add the two": with_first(lambda before, g: g),
            "only the first gradient is kept; those that arrive later are lost": with_first(lambda before, g: before),
            "the sums are right where nobody else looks, but += has changed arrays that arrived. "
            "Make a new one: sums[name] = sums[name] + g": with_first(in_place),
            "along a road slopes are multiplied, but different roads are added": with_first(lambda before, g: before * g),
            "this is the mean of what arrived; L changes for all reasons at once, so it must be the sum": averaged,
            "everything is added up for every name: each name has its own sum": all_arrays,
            "the first gradient of each name is lost: put it there as it is, not zeros": negligent,
        },
        right=[grouped, copied],
        hints=[
            "Go through the pairs with a dict that is empty at first. Is the name in it already?",
            "If not, put g there. If it is, put there the sum of both, as a new array.",
            "sums[name] = sums[name] + g if name in sums else g",
        ],
    ),
]
