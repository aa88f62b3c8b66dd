"""05: the gradient of what was broadcast."""

import numpy

from tinygen.learn import Exercise


def sum_to(g, shape):
    lead = g.ndim - len(shape)
    repeated = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=repeated, keepdims=True).reshape(shape)


def product_gradients(g, a, b):
    return sum_to(g * b, a.shape), sum_to(g * a, b.shape)


def brought_down(reduce):
    """sum_to with another way than the sum to bring an axis down. reduce(g, axis) keeps the axis, with length 1."""

    def sum_to(g, shape):
        lead = g.ndim - len(shape)
        for i in range(g.ndim):
            if i < lead or shape[i - lead] == 1:
                g = reduce(g, i)
        return g.reshape(shape)

    return sum_to


def first_axes_only(g, shape):
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


def ones_only(g, shape):
    lead = g.ndim - len(shape)
    return g.sum(axis=tuple(lead + i for i, n in enumerate(shape) if n == 1), keepdims=True)


def without_ones(g, shape):
    lead = g.ndim - len(shape)
    return g.sum(axis=tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1))


def everything(g, shape):
    return numpy.full(shape, g.sum())


def last_axes(g, shape):
    """The missing axes are taken to be the last ones."""
    g = g.sum(axis=tuple(range(len(shape), g.ndim)))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def one_by_one(g, shape):
    while g.ndim > len(shape):
        g = g.sum(0)
    for i, n in enumerate(shape):
        if n == 1:
            g = g.sum(i, keepdims=True)
    return g


def by_elements(g, shape):
    result = numpy.zeros(shape)
    for index in numpy.ndindex(g.shape):
        own = index[g.ndim - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True))] += g[index]
    return result


def summed_first(g, a, b):
    return sum_to(sum_to(g, a.shape) * b, a.shape), sum_to(sum_to(g, b.shape) * a, b.shape)


def products(shapes):
    def cases(rng):
        found = []
        for one, other in shapes:
            a, b = rng.normal(size=one), rng.normal(size=other)
            found.append((rng.normal(size=(a * b).shape), a, b))
        return found

    return cases


EXERCISES = [
    Exercise(
        "sum_to",
        sum_to,
        lambda rng: [
            (rng.normal(size=large), small)
            for large, small in [((2, 3), (2, 3)), ((3, 3), (3,)), ((3, 3), (3, 1)), ((2, 2, 2), (2, 1)), ((2, 3), ()), ((2, 3), (1, 1))]
        ],
        ideas={
            "an axis comes down by its sum, and you take the first element: each repetition is a road of its own": brought_down(
                lambda g, i: g.take([0], i)
            ),
            "an axis comes down by its sum, and you take the mean: roads are added up": brought_down(lambda g, i: g.mean(i, keepdims=True)),
            "an axis comes down by its sum, and you take the largest": brought_down(lambda g, i: g.max(i, keepdims=True)),
            "only the axes that are missing in shape are summed; sum those, too, in which shape has a 1": first_axes_only,
            "only the axes in which shape has a 1 are summed; sum those, too, that are missing in shape": ones_only,
            "the sum has lost the axes of length 1: the result must have the given shape": without_ones,
            "everything is summed: sum only what was repeated": everything,
            "the axes that shape lacks are the first ones, and you take them for the last": last_axes,
            "the sign is wrong: a sum is all there is to it": brought_down(lambda g, i: -g.sum(i, keepdims=True)),
        },
        right=[one_by_one, by_elements],
        hints=[
            "g has g.ndim - len(shape) more axes than shape: the first ones. All of those are summed.",
            "Axis i of shape is axis i + (g.ndim - len(shape)) of g. Where shape has a 1, it is summed, too, with keepdims=True.",
            "Collect these axes in a tuple: g.sum(axis=that, keepdims=True).reshape(shape)",
        ],
    ),
    Exercise(
        "product_gradients",
        product_gradients,
        products([((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (2, 3)), ((2, 2), (2, 1)), ((3, 1), (1, 2)), ((), (2,))]),
        ideas={
            "the gradients have the large shape: bring each down with sum_to to the shape of its own array": lambda g, a, b: (g * b, g * a),
            "the slope of a product in a is b: you give g times a to a": lambda g, a, b: (
                sum_to(g * a, a.shape),
                sum_to(g * b, b.shape),
            ),
            "g is missing: the slope is b, and what arrives is to be multiplied by it": lambda g, a, b: (
                sum_to(b + 0 * g, a.shape),
                sum_to(a + 0 * g, b.shape),
            ),
            "g comes down before it is multiplied; each repetition of a met another element of b: multiply first, then sum": summed_first,
            "these are the gradients of a + b: in a product, g is multiplied by the other factor": lambda g, a, b: (
                sum_to(g, a.shape),
                sum_to(g, b.shape),
            ),
            "the first of the two is not brought down to the shape of a": lambda g, a, b: (g * b, sum_to(g * a, b.shape)),
            "the second of the two is not brought down to the shape of b": lambda g, a, b: (sum_to(g * b, a.shape), g * a),
            "the two are exchanged: the gradient to a comes first": lambda g, a, b: (sum_to(g * a, b.shape), sum_to(g * b, a.shape)),
        },
        right=[
            lambda g, a, b: (one_by_one(g * b, a.shape), one_by_one(g * a, b.shape)),
            lambda g, a, b: [by_elements(b * g, a.shape), by_elements(a * g, b.shape)],
        ],
        hints=[
            "First as if the shapes were equal: what goes to a, and what to b?",
            "g * b goes to a. Its shape is that of y; a.shape says what it must come down to.",
            "return sum_to(g * b, a.shape), sum_to(...)",
        ],
        uses=["sum_to"],
    ),
]
