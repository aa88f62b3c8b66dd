"""22: how much of the data a generator covers, and the deviation within a batch."""

import numpy

import tinygen as tg
from tinygen.learn import Exercise


def coverage(points, centres, radius):
    distances = numpy.linalg.norm(points[:, None] - centres, axis=2)
    good = distances.min(axis=1) <= radius
    counts = numpy.bincount(distances.argmin(axis=1)[good], minlength=len(centres))
    return int((counts >= len(points) / (4 * len(centres))).sum()), float(good.mean())


def with_spread(x):
    c = x - x.mean(axis=0)
    spread = tg.sqrt((c * c).mean(axis=0) + 1e-8).mean()
    return tg.concatenate([x, spread * tg.ones((len(x), 1), x.dtype)], axis=1)


def measured(
    distance=lambda difference: numpy.sqrt((difference**2).sum(axis=2)),
    least=lambda n, k: n / (4 * k),
    only_good=True,
    result=lambda found, quality, k: (found, quality),
):
    """A coverage with another distance, another least number of points, other points counted, or another result."""

    def coverage(points, centres, radius):
        distances = distance(points[:, None] - centres)
        good = distances.min(axis=1) <= radius
        nearest = distances.argmin(axis=1)[good if only_good else slice(None)]
        counts = numpy.bincount(nearest, minlength=len(centres))
        return result(int((counts >= least(len(points), len(centres))).sum()), float(good.mean()), len(centres))

    return coverage


def of_each_centre(points, centres, radius):
    near = numpy.linalg.norm(points[:, None] - centres, axis=2) <= radius
    return int((near.sum(axis=0) >= len(points) / (4 * len(centres))).sum()), float(near.any(axis=1).mean())


def in_loops(points, centres, radius):
    counts = [0] * len(centres)
    for point in points:
        distances = [numpy.hypot(*(point - centre)) for centre in centres]
        if min(distances) <= radius:
            counts[distances.index(min(distances))] += 1
    return sum(4 * len(centres) * count >= len(points) for count in counts), sum(counts) / len(points)


def batches(rng):
    """Points around some of the centres, two of which are near each other, and 20 points far from all."""
    cases = []
    for deviation, shares in ((0.45, [30, 12, 2, 0, 8]), (0.1, [20, 3, 12, 1, 0]), (0.45, [40, 3, 0, 1, 13])):
        centres = rng.uniform(-1.5, 1.5, size=(5, 2))
        centres[4] = centres[0] + 0.3
        around = [centre + deviation * rng.normal(size=(n, 2)) for centre, n in zip(centres, shares, strict=True)]
        cases.append((numpy.concatenate([*around, 3 * rng.normal(size=(20, 2))]), centres, 0.6))
    centres = numpy.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    points = numpy.repeat([*centres, [9.0, 9.0]], [2, 1, 9, 12], axis=0)  # 24 / (4 * 3) is 2
    return [*cases, (points, centres, 0.6)]


def spread_of(spread, column=lambda x, s: tg.concatenate([x, s * tg.ones((len(x), 1)).astype(x.dtype)], axis=1)):
    """with_spread with another spread, or put elsewhere."""
    return lambda x: column(x, spread(x))


def deviations(x, axis=0):
    c = x - x.mean(axis=axis, keepdims=True)
    return tg.sqrt((c * c).mean(axis=axis) + 1e-8)


def right_spread(x):
    return deviations(x).mean()


def after(function, x, g):
    """The output, its dtype, and the gradient that arrives at x; a sentence where two dtypes meet."""
    x = tg.tensor(x, requires_grad=True)
    try:
        y = function(x)
    except TypeError as error:
        if "one floating dtype" in str(error):
            return f"{x.dtype} numbers meet others; write tg.ones((N, 1)).astype(x.dtype)"
        raise
    return [y, str(y.dtype), tg.grad(y, x, tg.tensor(g, y.dtype)) if y.shape == g.shape else None]


def spreads(rng):
    """Points, and gradients of the output, in both dtypes."""
    for scale, n, dtype in ((1, 4, "float64"), (0.1, 6, "float64"), (1, 5, "float32")):
        yield (scale * rng.normal(size=(n, 2)) * (1, 3) + (0.5, 2)).astype(dtype), rng.normal(size=(n, 3))


EXERCISES = [
    Exercise(
        "coverage",
        coverage,
        batches,
        ideas={
            "a single point makes a centre found; a quarter of the fair share n / K is needed": measured(least=lambda n, k: 1),
            "the whole fair share n / K is asked for, and a quarter of it is enough": measured(least=lambda n, k: n / k),
            "exactly n / (4 K) good points are enough: at least means >=, and not >": measured(least=lambda n, k: n / (4 * k) + 1e-9),
            "a quarter of all points is asked for, and it is a quarter of n / K": measured(least=lambda n, k: n / 4),
            "points count for a centre however far they are: only good points do": measured(only_good=False),
            "the square of the distance is compared with the radius": measured(lambda difference: (difference**2).sum(axis=2)),
            "the distance is the root of the sum of squares, and you add up the sizes of the differences": measured(
                lambda difference: abs(difference).sum(axis=2)
            ),
            "the distance is the root of the sum of squares, and you take the larger difference": measured(
                lambda difference: abs(difference).max(axis=2)
            ),
            "a point near two centres counts for both; it counts for the nearest alone": of_each_centre,
            "found is a number of centres, and you give their share": measured(result=lambda found, quality, k: (found / k, quality)),
            "quality is the share of good points, and you give the share of bad ones": measured(
                result=lambda found, quality, k: (found, 1 - quality)
            ),
            "quality is the share of good points, and you give that of the centres that are found": measured(
                result=lambda found, quality, k: (found, found / k)
            ),
            "the two are exchanged: found comes first": measured(result=lambda found, quality, k: (quality, found)),
        },
        right=[measured(), in_loops],
        hints=[
            "The distances of all pairs: np.linalg.norm(points[:, None] - centres, axis=2), of shape (n, K).",
            "good = distances.min(axis=1) <= radius. Which centre is nearest? distances.argmin(axis=1)[good].",
            "np.bincount(nearest, minlength=K) counts. Compare with n / (4 * K), and add up. quality is good.mean().",
        ],
    ),
    Exercise(
        "with_spread",
        with_spread,
        spreads,
        apply=after,
        ideas={
            "the numbers are right, but no gradient flows through the spread, so G does not learn in which direction to spread: "
            "use no raw data": spread_of(lambda x: tg.tensor(right_spread(x).data)),
            "tg.ones is float32, and x may be float64: tg.ones((N, 1)).astype(x.dtype)": spread_of(
                right_spread, lambda x, s: tg.concatenate([x, s * tg.ones((len(x), 1))], axis=1)
            ),
            "the ones are always float64, and x may be float32, as in training: astype(x.dtype)": spread_of(
                right_spread, lambda x, s: tg.concatenate([x, s * tg.ones((len(x), 1), "float64")], axis=1)
            ),
            "the result is always float64; it should have the dtype of x": lambda x: with_spread(x.astype("float64")),
            "the spread is taken within each point, between its two coordinates; take it over the batch, axis 0": spread_of(
                lambda x: deviations(x, 1).reshape(-1, 1)
            ),
            "this is the variance: a root is missing": spread_of(lambda x: ((x - x.mean(axis=0)) ** 2 + 1e-8).mean(axis=0).mean()),
            "the mean of each coordinate is not subtracted": spread_of(lambda x: tg.sqrt((x * x).mean(axis=0) + 1e-8).mean()),
            "one mean of all numbers is subtracted, and each coordinate has its own": spread_of(
                lambda x: tg.sqrt(((x - x.mean()) ** 2).mean(axis=0) + 1e-8).mean()
            ),
            "the root comes last; take it for each coordinate, and then the mean of the two": spread_of(
                lambda x: tg.sqrt(((x - x.mean(axis=0)) ** 2).mean() + 1e-8)
            ),
            "the two deviations are added up: take their mean": spread_of(lambda x: deviations(x).sum()),
            "the spread is the first column, and it should be the last": spread_of(
                right_spread, lambda x, s: tg.concatenate([s * tg.ones((len(x), 1), x.dtype), x], axis=1)
            ),
            "both deviations have a column; one number is wanted, their mean": spread_of(
                deviations, lambda x, s: tg.concatenate([x, s * tg.ones((len(x), 2), x.dtype)], axis=1)
            ),
            "you divide by N - 1; here the mean over the batch is meant": spread_of(
                lambda x: tg.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=0) / (len(x) - 1) + 1e-8).mean()
            ),
            "this is the mean size of x - mean, and not the root of the mean square": spread_of(
                lambda x: tg.abs(x - x.mean(axis=0)).mean()
            ),
        },
        right=[
            spread_of(right_spread),
            spread_of(lambda x: 0.5 * tg.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=0) + 1e-8).sum()),
        ],
        hints=[
            "c = x - x.mean(axis=0) has the points with the mean 0. Of it you need the mean square over axis 0.",
            "tg.sqrt((c * c).mean(axis=0) + 1e-8) has two numbers; .mean() of them is the spread.",
            "tg.concatenate([x, spread * tg.ones((len(x), 1)).astype(x.dtype)], axis=1)",
        ],
        tolerance=1e-5,  # of float32
    ),
]
