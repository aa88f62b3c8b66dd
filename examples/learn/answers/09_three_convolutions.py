"""09: the three convolutions, by one loop over the meetings of taps and pixels."""

from functools import partial
from itertools import product

import numpy
from tinygen_kernels import reference

from tinygen.learn import Exercise

TESTS = ["tests/functional/test_adjoints.py"]


def output_size(size, kernel, stride, padding, dilation):
    return tuple((size[d] + sum(padding[d]) - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(2))


def meetings(size, kernel, stride, padding, dilation):
    found = []
    for i, j in numpy.ndindex(*output_size(size, kernel, stride, padding, dilation)):
        for a, b in numpy.ndindex(*kernel):
            p = i * stride[0] + a * dilation[0] - padding[0][0]
            q = j * stride[1] + b * dilation[1] - padding[1][0]
            if 0 <= p < size[0] and 0 <= q < size[1]:
                found.append((i, j, a, b, p, q))
    return found


def conv2d(x, w, bias, stride, padding, dilation, meetings=meetings):
    size, kernel = x.shape[1:3], w.shape[:2]
    y = numpy.zeros((len(x), *output_size(size, kernel, stride, padding, dilation), w.shape[3]), x.dtype)
    for i, j, a, b, p, q in meetings(size, kernel, stride, padding, dilation):
        y[:, i, j] += x[:, p, q] @ w[a, b]
    return y if bias is None else y + bias


def conv2d_data(y, w, bias, size, stride, padding, dilation, meetings=meetings):
    x = numpy.zeros((len(y), *size, w.shape[2]), y.dtype)
    for i, j, a, b, p, q in meetings(size, w.shape[:2], stride, padding, dilation):
        x[:, p, q] += y[:, i, j] @ w[a, b].T
    return x if bias is None else x + bias


def conv2d_weight(x, y, size, stride, padding, dilation, meetings=meetings):
    w = numpy.zeros((*size, x.shape[3], y.shape[3]), x.dtype)
    for i, j, a, b, p, q in meetings(x.shape[1:3], size, stride, padding, dilation):
        w[a, b] += x[:, p, q].T @ y[:, i, j]
    return w


def met(place, outside=None):
    """meetings with another way to find p and q: place(d, i, a, stride, before, after, dilation, kernel), d being 0 or 1.

    `outside` puts a pixel that lies outside somewhere else.
    """

    def meetings(size, kernel, stride, padding, dilation):
        found = []
        for i, j in numpy.ndindex(*output_size(size, kernel, stride, padding, dilation)):
            for a, b in numpy.ndindex(*kernel):
                pixel = [place(d, n, t, stride, *padding[d], dilation, kernel) for d, n, t in ((0, i, a), (1, j, b))]
                if outside:
                    pixel = [outside(n, length) for n, length in zip(pixel, size, strict=True)]
                if all(0 <= n < length for n, length in zip(pixel, size, strict=True)):
                    found.append((i, j, a, b, *pixel))
        return found

    return meetings


GEOMETRY = {
    "the stride is missing: output pixel (i, j) begins at row i * stride[0]": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i + a * dilation[d] - before
    ),
    "the dilation is missing: tap a lies a * dilation[0] rows further down": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a - before
    ),
    "the padding is missing in p and q: subtract top and left": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d]
    ),
    "the padding has the wrong sign: a pixel of the padding has a negative p": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d] + before
    ),
    "p lacks - top: only q moves by the padding": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d] - before * d
    ),
    "q lacks - left: only p moves by the padding": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d] - before * (1 - d)
    ),
    "you subtract bottom and right: what moves the image is the padding before it, top and left": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d] - after
    ),
    "the kernel is turned by half a turn: tap 0 meets the uppermost pixel here": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + (kernel[d] - 1 - a) * dilation[d] - before
    ),
    "stride and dilation are exchanged: the stride goes with i and j, the dilation with a and b": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * dilation[d] + a * stride[d] - before
    ),
    "rows and columns of the stride are exchanged": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[1 - d] + a * dilation[d] - before
    ),
    "negative p and q count from the end, as Python does it: pixels outside the image do not meet anybody": met(
        lambda d, i, a, stride, before, after, dilation, kernel: i * stride[d] + a * dilation[d] - before,
        lambda n, length: n + length if n < 0 else n,
    ),
}


def everywhere(size, kernel, stride, padding, dilation):
    """The pixels of the padding meet, too."""
    (top, bottom), (left, right) = padding
    padded = size[0] + top + bottom, size[1] + left + right
    found = meetings(padded, kernel, stride, ((0, 0), (0, 0)), dilation)
    return [(i, j, a, b, p - top, q - left) for i, j, a, b, p, q in found]


def by_pixels(size, kernel, stride, padding, dilation):
    """A right one that goes through the pixels and asks who meets them."""
    found = []
    output = output_size(size, kernel, stride, padding, dilation)
    for p, q, a, b in product(*map(range, (*size, *kernel))):
        i, rest = divmod(p + padding[0][0] - a * dilation[0], stride[0])
        j, other = divmod(q + padding[1][0] - b * dilation[1], stride[1])
        if not rest and not other and 0 <= i < output[0] and 0 <= j < output[1]:
            found.append((i, j, a, b, p, q))
    return found


def lines(size, kernel, stride, padding, dilation):
    """A right one, the rows and the columns by themselves."""

    def line(d):
        for i, a in product(range(output_size(size, kernel, stride, padding, dilation)[d]), range(kernel[d])):
            if 0 <= (p := i * stride[d] + a * dilation[d] - padding[d][0]) < size[d]:
                yield i, a, p

    return [(i, j, a, b, p, q) for (i, a, p), (j, b, q) in product(line(0), list(line(1)))]


GEOMETRIES = [
    ((4, 3), (3, 2), (1, 1), ((1, 0), (0, 1)), (1, 1)),
    ((5, 5), (2, 2), (2, 1), ((0, 1), (1, 2)), (1, 1)),
    ((6, 5), (2, 3), (1, 2), ((2, 0), (2, 1)), (2, 1)),
]


def of_meetings(rng):
    return GEOMETRIES


def of_conv2d(rng):
    """Arguments of conv2d, without a bias and with one."""
    return [
        (rng.normal(size=(2, *size, 2)), rng.normal(size=(*kernel, 2, 3)), rng.normal(size=3) if n else None, *geometry)
        for n, (size, kernel, *geometry) in enumerate(GEOMETRIES)
    ]


def of_data(rng):
    return [
        (rng.normal(size=conv2d(x, w, None, *geometry).shape), w, None if bias is None else bias[:2], x.shape[1:3], *geometry)
        for x, w, bias, *geometry in of_conv2d(rng)
    ]


def of_weight(rng):
    return [(x, rng.normal(size=conv2d(x, w, None, *geometry).shape), w.shape[:2], *geometry) for x, w, _, *geometry in of_conv2d(rng)]


def wrong_meetings(function):
    """The ideas of an exercise that a wrong geometry gives."""
    return {sentence: partial(function, meetings=wrong) for sentence, wrong in GEOMETRY.items()}


def in_float64(function):
    return {DTYPE: lambda *case: function(*case).astype(float)}


DTYPE = (
    "the numbers are right, but tinygen trains in float32: the result needs the first argument's dtype, as from np.zeros(shape, x.dtype)"
)


def keeps_dtype(cases):
    """What says so if float32 does not stay float32 in the first of these cases."""

    def also(function):
        case = [part.astype("float32") if isinstance(part, numpy.ndarray) else part for part in cases(numpy.random.default_rng(0))[0]]
        return None if function(*case).dtype == numpy.float32 else DTYPE

    return also


HINT = "Go through meetings(...) with for i, j, a, b, p, q, and add to a result that is zeros at first."

EXERCISES = [
    Exercise(
        "meetings",
        meetings,
        of_meetings,
        apply=lambda function, *case: sorted(tuple(map(int, meeting)) for meeting in function(*case)),
        ideas={
            **GEOMETRY,
            "meetings outside the image are there, too: leave out where p or q is not in the image": everywhere,
            "the order in each meeting is (i, j, a, b, p, q), and yours has p and q first": lambda *case: [
                (p, q, i, j, a, b) for i, j, a, b, p, q in meetings(*case)
            ],
        },
        right=[by_pixels, lines],
        hints=[
            "Four loops, or two of np.ndindex: over the pixels (i, j) of the output, and over the taps (a, b) of the kernel.",
            "p = i * stride[0] + a * dilation[0] - padding[0][0], and q likewise with the second of each pair.",
            "Append (i, j, a, b, p, q) if 0 <= p < size[0] and 0 <= q < size[1].",
        ],
    ),
    Exercise(
        "conv2d",
        conv2d,
        of_conv2d,
        also=keeps_dtype(of_conv2d),
        uses=["meetings"],
        ideas={
            **wrong_meetings(conv2d),
            **in_float64(conv2d),
            "the bias is missing": lambda x, w, bias, *geometry: conv2d(x, w, None, *geometry),
            "the bias is added at every meeting: add it once": lambda x, w, bias, *geometry: (
                conv2d(x, w, None, *geometry)
                + (0 if bias is None else bias * conv2d(numpy.ones_like(x[..., :1]), numpy.ones((*w.shape[:2], 1, 1)), None, *geometry))
            ),
            "the result has the wrong sign": lambda *case: -conv2d(*case),
        },
        right=[reference.conv2d, partial(conv2d, meetings=by_pixels)],
        hints=[
            HINT,
            "The result y has the shape (len(x), *output_size(...), w.shape[3]).",
            "y[:, i, j] += x[:, p, q] @ w[a, b], and at the end the bias, if it is not None.",
        ],
    ),
    Exercise(
        "conv2d_data",
        conv2d_data,
        of_data,
        also=keeps_dtype(of_data),
        uses=["meetings"],
        ideas={
            **wrong_meetings(conv2d_data),
            **in_float64(conv2d_data),
            "meetings wants the size of the image, which is `size`, and not that of y": lambda y, *case: conv2d_data(
                y, *case, meetings=lambda size, *rest: meetings(y.shape[1:3], *rest)
            ),
            "the bias is missing": lambda y, w, bias, *geometry: conv2d_data(y, w, None, *geometry),
            "each pixel keeps what the last meeting brought: add, with +=": partial(
                conv2d_data, meetings=lambda *case: list({meeting[4:]: meeting for meeting in meetings(*case)}.values())
            ),
            "the result has the wrong sign": lambda *case: -conv2d_data(*case),
        },
        right=[reference.conv2d_data, partial(conv2d_data, meetings=lines)],
        hints=[
            HINT,
            "x[n, p, q, c] is multiplied with the sum over k of w[a, b, c, k] g[n, i, j, k]. Which table is on its side?",
            "x[:, p, q] += y[:, i, j] @ w[a, b].T, and at the end the bias, if it is not None.",
        ],
    ),
    Exercise(
        "conv2d_weight",
        conv2d_weight,
        of_weight,
        also=keeps_dtype(of_weight),
        uses=["meetings"],
        ideas={
            **wrong_meetings(conv2d_weight),
            **in_float64(conv2d_weight),
            "meetings wants the size of the image first, x.shape[1:3], and then the kernel's": partial(
                conv2d_weight, meetings=lambda size, kernel, *rest: meetings(kernel, kernel, *rest)
            ),
            "each tap keeps what the last meeting brought: add, with +=": partial(
                conv2d_weight, meetings=lambda *case: list({meeting[2:4]: meeting for meeting in meetings(*case)}.values())
            ),
            "this is the mean over the images, and it must be the sum": lambda x, *case: conv2d_weight(x, *case) / len(x),
            "C and K are exchanged: turn x[:, p, q], and not the result": lambda *case: conv2d_weight(*case).swapaxes(2, 3),
        },
        right=[reference.conv2d_weight, partial(conv2d_weight, meetings=by_pixels)],
        hints=[
            HINT,
            "w[a, b, c, k] is multiplied with the sum over n of x[n, p, q, c] g[n, i, j, k]: a table C x K of N x C and N x K.",
            "w[a, b] += x[:, p, q].T @ y[:, i, j]",
        ],
    ),
]
