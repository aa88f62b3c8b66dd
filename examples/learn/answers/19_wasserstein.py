"""19: the Wasserstein distance on a line, by sorting, and as an area between shares."""

import numpy

from tinygen.learn import Exercise


def wasserstein(x, y):
    return abs(numpy.sort(x) - numpy.sort(y)).mean()


def gradient(x, y):
    slopes = numpy.empty(len(x))
    order = numpy.argsort(x)
    slopes[order] = numpy.sign(x[order] - numpy.sort(y)) / len(x)
    return slopes


def area(x, y):
    places = numpy.sort(numpy.concatenate([x, y]))
    left = places[:-1, None]
    return (abs((x <= left).mean(1) - (y <= left).mean(1)) * numpy.diff(places)).sum()


def one_by_one(x, y):
    left, total = list(y), 0.0
    for number in sorted(x):
        nearest = min(left)
        left.remove(nearest)
        total += abs(number - nearest)
    return total / len(x)


def by_ranks(x, y):
    return numpy.sign(x - numpy.sort(y)[numpy.argsort(numpy.argsort(x))]) / len(x)


def with_unsorted(x, y):
    slopes = numpy.empty(len(x))
    order = numpy.argsort(x)
    slopes[order] = numpy.sign(x[order] - y) / len(x)
    return slopes


def measured(x, y, h=1e-6):
    steps = h * numpy.eye(len(x))
    slopes = [(wasserstein(x + step, y) - wasserstein(x - step, y)) / (2 * h) for step in steps]
    return numpy.round(numpy.array(slopes) * len(x)) / len(x)


def repeated(x, y):
    """Grains divided until there are as many of both."""
    return wasserstein(numpy.repeat(x, len(y)), numpy.repeat(y, len(x)))


def by_searching(x, y):
    places = numpy.sort([*x, *y])
    shares = [numpy.searchsorted(numpy.sort(grains), places[:-1], side="right") / len(grains) for grains in (x, y)]
    return numpy.diff(places) @ abs(shares[0] - shares[1])


def nearest(x, y):
    return y[abs(x[:, None] - y).argmin(1)]


def steps(x, y, points, shares=lambda x, t: (x <= t).mean(1)):
    """F - G at points, which is a column."""
    return shares(x, points) - shares(y, points)


def widths(places, height):
    """The area under heights that begin at the left places."""
    return (height * numpy.diff(places)).sum()


def places(x, y):
    return numpy.sort(numpy.concatenate([x, y]))


def grains(*lengths):
    """Cases of x and y with these lengths, unsorted."""
    return lambda rng: [(rng.normal(size=n), rng.normal(1, 2, size=m)) for n, m in lengths]


EXERCISES = [
    Exercise(
        "wasserstein",
        wasserstein,
        grains((5, 5), (6, 6), (3, 3)),
        ideas={
            "you pair the numbers as they stand: sort both first": lambda x, y: abs(x - y).mean(),
            "only x is sorted; y must be, too": lambda x, y: abs(numpy.sort(x) - y).mean(),
            "only y is sorted; x must be, too": lambda x, y: abs(x - numpy.sort(y)).mean(),
            "this is the difference of the means. Ways to the left and to the right cancel in it: "
            "take the absolute value of each pair": lambda x, y: abs(x.mean() - y.mean()),
            "this is the sum over the pairs. A grain has the mass 1/n: take the mean": lambda x, y: len(x) * wasserstein(x, y),
            "this is the mean of the squares. Work is mass times way": lambda x, y: ((numpy.sort(x) - numpy.sort(y)) ** 2).mean(),
            "this is the root of the mean square. Work is mass times way": lambda x, y: (
                ((numpy.sort(x) - numpy.sort(y)) ** 2).mean() ** 0.5
            ),
            "this is the longest way; the work is the mean of all": lambda x, y: abs(numpy.sort(x) - numpy.sort(y)).max(),
            "the smallest is paired with the largest: that is the dearest pairing": lambda x, y: abs(
                numpy.sort(x) - numpy.sort(y)[::-1]
            ).mean(),
            "each x goes to its nearest y, and some y get several grains and others none": lambda x, y: abs(x - nearest(x, y)).mean(),
        },
        right=[one_by_one, lambda x, y: sum(abs(a - b) for a, b in zip(sorted(x), sorted(y), strict=True)) / len(x)],
        hints=[
            "Which x belongs to which y, if no two ways may cross?",
            "np.sort(x) and np.sort(y): the first with the first, the second with the second.",
            "The mean of abs(np.sort(x) - np.sort(y))",
        ],
    ),
    Exercise(
        "gradient",
        gradient,
        grains((9, 9), (11, 11), (10, 10)),
        ideas={
            "the slopes are in the order of the sorted x: bring each back to the place of its x": lambda x, y: (
                numpy.sign(numpy.sort(x) - numpy.sort(y)) / len(x)
            ),
            "you index with argsort to bring them back, and that sorts once more. Write slopes[order] = ...": lambda x, y: (
                numpy.sign(numpy.sort(x) - numpy.sort(y)) / len(x)
            )[numpy.argsort(x)],
            "the slope is larger by n than it should be: a grain has the mass 1/n": lambda x, y: len(x) * gradient(x, y),
            "the sign is wrong: where x is right of its y, W grows with x": lambda x, y: -gradient(x, y),
            "the slope of |x - y| is its sign, 1 or -1, and not the way itself": lambda x, y: (
                (x - numpy.sort(y)[numpy.argsort(numpy.argsort(x))]) / len(x)
            ),
            "you pair the numbers as they stand: each x belongs to the y of the same rank": lambda x, y: numpy.sign(x - y) / len(x),
            "y is sorted, and x is not: find the rank of each x": lambda x, y: numpy.sign(x - numpy.sort(y)) / len(x),
            "x is sorted, and y is not: x[order] belongs to np.sort(y)": with_unsorted,
            "each x goes to its nearest y: then some y get several grains": lambda x, y: numpy.sign(x - nearest(x, y)) / len(x),
            "all x go the same way, towards the mean of y: then they keep their shape": lambda x, y: numpy.full(
                len(x), numpy.sign(x.mean() - y.mean()) / len(x)
            ),
        },
        right=[by_ranks, measured],
        hints=[
            "Sorted, it is simple: the slope of |x - y| in x is 1 where x > y, and -1 where x < y. And the mass is 1/n.",
            "order = np.argsort(x) says where the sorted numbers stand in x: x[order] is sorted.",
            "Make an empty array, and write slopes[order] = np.sign(x[order] - np.sort(y)) / len(x).",
        ],
    ),
    Exercise(
        "area",
        area,
        lambda rng: [
            *grains((3, 5), (4, 4), (6, 2))(rng),
            (numpy.array([2.0, 0.0, 2.0]), numpy.array([1.0, 5.0])),
            (numpy.array([4.0, 6.0]), numpy.array([1.0, 5.0, 7.0])),
        ],
        ideas={
            "the heights are not multiplied by the widths: F - G holds from one grain to the next, np.diff of the places": lambda x, y: abs(
                steps(x, y, places(x, y)[:-1, None])
            ).sum(),
            "this is the mean of the heights; the area has widths, np.diff of the places": lambda x, y: abs(
                steps(x, y, places(x, y)[:, None])
            ).mean(),
            "this is the largest height, not the area (it is known, too, as Kolmogorov's distance)": lambda x, y: abs(
                steps(x, y, places(x, y)[:, None])
            ).max(),
            "areas where F is above G cancel those where it is below, and the difference of the means is left: "
            "take the absolute value of each": lambda x, y: abs(widths(places(x, y), steps(x, y, places(x, y)[:-1, None]))),
            "you add up F - G with its sign: where G is larger the area counts too": lambda x, y: widths(
                places(x, y), steps(x, y, places(x, y)[:-1, None])
            ),
            "the heights are squared: sand is carried as far as it is, once": lambda x, y: widths(
                places(x, y), steps(x, y, places(x, y)[:-1, None]) ** 2
            ),
            "the heights are taken at the right end of each piece; between two grains the share is the one at the left end": lambda x, y: (
                widths(places(x, y), abs(steps(x, y, places(x, y)[1:, None])))
            ),
            "the grain at t itself counts as well: x <= t, not x < t": lambda x, y: widths(
                places(x, y), abs(steps(x, y, places(x, y)[:-1, None], lambda x, t: (x < t).mean(1)))
            ),
            "these are numbers of grains; a share is divided by how many there are": lambda x, y: widths(
                places(x, y), abs(steps(x, y, places(x, y)[:-1, None], lambda x, t: (x <= t).sum(1)))
            ),
            "both are divided by the length of x: G is the share of the grains of y": lambda x, y: widths(
                places(x, y), abs(steps(x, y, places(x, y)[:-1, None], lambda grains, t: (grains <= t).sum(1) / len(x)))
            ),
            "F and G change at the grains of y, too: take the places of both": lambda x, y: widths(
                numpy.sort(x), abs(steps(x, y, numpy.sort(x)[:-1, None]))
            ),
        },
        right=[repeated, by_searching],
        hints=[
            "Sort the places of all grains, x and y together. Between two neighbours, F and G are constant: a rectangle.",
            "Its width is the difference of the neighbours, its height |F - G| at the left one; F(t) is (x <= t).mean().",
            "A loop over zip(places[:-1], places[1:]): total += abs((x <= left).mean() - ...) * (right - left)",
        ],
    ),
]
