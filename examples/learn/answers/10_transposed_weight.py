"""10: the gradients of the transposed convolution, and of the gradient of a weight."""

import itertools

import numpy
from tinygen_kernels.geometry import output_size
from tinygen_kernels.reference import conv2d, conv2d_data, conv2d_weight

from tinygen.learn import Exercise


def transposed_gradients(g, y, w, stride, padding, dilation):
    geometry = stride, padding, dilation
    return conv2d(g, w, None, *geometry), conv2d_weight(g, y, w.shape[:2], *geometry)


def weight_gradients(g, x, y, stride, padding, dilation):
    geometry = stride, padding, dilation
    return conv2d_data(y, g, None, x.shape[1:3], *geometry), conv2d(x, g, None, *geometry)


def adjoint(linear, g, shape):
    """linear*(g), element by element: <what an array makes that is 1 there alone, g>."""
    result = numpy.zeros(shape)
    for place in numpy.ndindex(*shape):
        unit = numpy.zeros(shape)
        unit[place] = 1
        result[place] = (linear(unit) * g).sum()
    return result


def transposed_by_units(g, y, w, *geometry):
    size = g.shape[1:3]
    return (
        adjoint(lambda unit: conv2d_data(unit, w, None, size, *geometry), g, y.shape),
        adjoint(lambda unit: conv2d_data(y, unit, None, size, *geometry), g, w.shape),
    )


def weight_by_units(g, x, y, *geometry):
    size = g.shape[:2]
    return (
        adjoint(lambda unit: conv2d_weight(unit, y, size, *geometry), g, x.shape),
        adjoint(lambda unit: conv2d_weight(x, unit, size, *geometry), g, y.shape),
    )


def open_places(names, x, w, y, stride, padding, dilation):
    """What S(x, w, y) multiplies the arrays of these names with, meeting by meeting."""
    (top, bottom), (left, right) = padding
    padded = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    to_x, to_w, to_y = map(numpy.zeros_like, (padded, w, y))
    for (i, j), (a, b) in itertools.product(numpy.ndindex(*y.shape[1:3]), list(numpy.ndindex(*w.shape[:2]))):
        p, q = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
        to_x[:, p, q] += y[:, i, j] @ w[a, b].T
        to_w[a, b] += padded[:, p, q].T @ y[:, i, j]
        to_y[:, i, j] += padded[:, p, q] @ w[a, b]
    found = {"x": to_x[:, top : to_x.shape[1] - bottom, left : to_x.shape[2] - right], "w": to_w, "y": to_y}
    return tuple(found[name] for name in names)


def changed(function, stride=None, padding=None, dilation=None):
    """The function with another geometry: each argument maps the right one to the wrong one."""
    changes = [change or (lambda same: same) for change in (stride, padding, dilation)]
    return lambda *case: function(*case[:3], *(change(value) for change, value in zip(changes, case[3:], strict=True)))


def one(pair):
    return 1, 1


def backwards(padding):
    return tuple((after, before) for before, after in padding)


def with_first(function, first):
    """The function with another first result."""
    return lambda *case: (first(*case), function(*case)[1])


def with_second(function, second):
    return lambda *case: (function(*case)[0], second(*case))


def wrong_geometry(function):
    return {
        "the stride is not passed on: all three functions take the same geometry": changed(function, stride=one),
        "the dilation is not passed on: all three functions take the same geometry": changed(function, dilation=one),
        "the padding is the wrong way round, bottom before top: all three functions take the same geometry": changed(
            function, padding=backwards
        ),
        "the two gradients are in the wrong order": lambda *case: function(*case)[::-1],
    }


GEOMETRIES = [
    (2, (4, 3), (3, 2), (1, 1), ((1, 1), (0, 1)), (1, 1)),  # everything has one shape, so that exchanged arrays do not fail
    (3, (5, 6), (2, 3), (2, 1), ((1, 0), (1, 2)), (1, 2)),
]


def drawn(rng):
    """x, w, y, and the geometry."""
    for channels, size, kernel, *geometry in GEOMETRIES:
        shapes = (2, *size, channels), (*kernel, channels, 2), (2, *output_size(size, kernel, *geometry), 2)
        yield *(rng.normal(size=shape) for shape in shapes), *geometry


EXERCISES = [
    Exercise(
        "transposed_gradients",
        transposed_gradients,
        lambda rng: [(x, y, w, *geometry) for x, w, y, *geometry in drawn(rng)],
        ideas={
            **wrong_geometry(transposed_gradients),
            "dL/dw has y in the place of the image. g has the shape of the large image and takes its place": with_second(
                transposed_gradients, lambda g, y, w, *geometry: conv2d_weight(y, g, w.shape[:2], *geometry)
            ),
            "dL/dy is enlarged once more. The place of y is open, and the function with that open is conv2d": with_first(
                transposed_gradients, lambda g, y, w, *geometry: conv2d_data(g, w, None, y.shape[1:3], *geometry)
            ),
            "dL/dy is made with a turned kernel. Nothing is turned: w stays in its place as it is": with_first(
                transposed_gradients, lambda g, y, w, *geometry: conv2d(g, w[::-1, ::-1], None, *geometry)
            ),
            "dL/dw is turned by half a turn. Nothing is turned: w's place is open, as in conv2d_weight": with_second(
                transposed_gradients, lambda *case: transposed_gradients(*case)[1][::-1, ::-1]
            ),
            "dL/dw has its channels exchanged: w is (rows, columns, C, K), where C are the channels of the large image": with_second(
                transposed_gradients, lambda *case: transposed_gradients(*case)[1].swapaxes(2, 3)
            ),
            "dL/dy has g and w exchanged, so that g stands where w stood: g takes the place of x, and w stays in its own": with_first(
                transposed_gradients, lambda g, y, w, *geometry: conv2d(w, g, None, *geometry)
            ),
            "the size that conv2d_weight takes is that of w, w.shape[:2], and you give that of an image": with_second(
                transposed_gradients, lambda g, y, w, *geometry: conv2d_weight(g, y, y.shape[1:3], *geometry)
            ),
            "dL/dw is a mean over the images; it is a sum, as S is": with_second(
                transposed_gradients, lambda *case: transposed_gradients(*case)[1] / len(case[0])
            ),
            "dL/dw does not contain g: it must take the place of the image": with_second(
                transposed_gradients, lambda g, *case: transposed_gradients(numpy.ones_like(g), *case)[1]
            ),
        },
        right=[transposed_by_units, lambda g, y, w, *geometry: open_places("yw", g, w, y, *geometry)],
        hints=[
            "Write S with g where x stands: S(g, w, y). For dL/dy the place of y is open; which function is S with y's place open?",
            "dL/dy = conv2d(g, w, None, stride, padding, dilation). For dL/dw, the place of w is open.",
            "dL/dw = conv2d_weight(g, y, w.shape[:2], stride, padding, dilation)",
        ],
    ),
    Exercise(
        "weight_gradients",
        weight_gradients,
        lambda rng: [(w, x, y, *geometry) for x, w, y, *geometry in drawn(rng)],
        ideas={
            **wrong_geometry(weight_gradients),
            "dL/dx has x itself in the place of y. x's place is open, and y stays in its own": with_first(
                weight_gradients, lambda g, x, y, *geometry: conv2d_data(x, g, None, x.shape[1:3], *geometry)
            ),
            "dL/dx is a convolution of y. x's place is open, and the function with that open is conv2d_data": with_first(
                weight_gradients, lambda g, x, y, *geometry: conv2d(y, g, None, *geometry)
            ),
            "dL/dy has y itself in the place of x. y's place is open, and x stays in its own": with_second(
                weight_gradients, lambda g, x, y, *geometry: conv2d(y, g, None, *geometry)
            ),
            "dL/dy is a transposed convolution of x. y's place is open, and the function with that open is conv2d": with_second(
                weight_gradients, lambda g, x, y, *geometry: conv2d_data(x, g, None, y.shape[1:3], *geometry)
            ),
            "dL/dx has g and y exchanged: g takes the place of w, and y stays in its own": with_first(
                weight_gradients, lambda g, x, y, *geometry: conv2d_data(g, y, None, x.shape[1:3], *geometry)
            ),
            "dL/dy has g and x exchanged: g takes the place of w, and x stays in its own": with_second(
                weight_gradients, lambda g, x, y, *geometry: conv2d(g, x, None, *geometry)
            ),
            "the size that conv2d_data takes is that of x, x.shape[1:3], and you give that of y": with_first(
                weight_gradients, lambda g, x, y, *geometry: conv2d_data(y, g, None, y.shape[1:3], *geometry)
            ),
            "the size that conv2d_data takes is that of x, x.shape[1:3], and you give that of g": with_first(
                weight_gradients, lambda g, x, y, *geometry: conv2d_data(y, g, None, g.shape[:2], *geometry)
            ),
            "g is turned by half a turn: it takes the place of w as it is": lambda g, *case: weight_gradients(g[::-1, ::-1], *case),
            "g is not used: it must take the place of w": lambda g, *case: weight_gradients(numpy.ones_like(g), *case),
            "these are means over the images: nothing is divided": lambda *case: tuple(a / len(case[1]) for a in weight_gradients(*case)),
        },
        right=[weight_by_units, lambda g, x, y, *geometry: open_places("xy", x, g, y, *geometry)],
        hints=[
            "g has the shape of w, so S(x, g, y). For dL/dx the place of x is open.",
            "dL/dx = conv2d_data(y, g, None, x.shape[1:3], stride, padding, dilation). For dL/dy, the place of y is open.",
            "dL/dy = conv2d(x, g, None, stride, padding, dilation)",
        ],
    ),
]
