"""07: adjoints, and the gradient of a convolution's weight."""

import numpy

from tinygen.learn import Exercise

TESTS = ["tests/functional/test_adjoints.py", "tests/training/test_own_code.py"]


def pad_adjoint(g, top, bottom):
    return g[top : len(g) - bottom]


def conv2d_weight(x, y, size, stride, padding, dilation):
    x = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    w = numpy.zeros((*size, x.shape[3], y.shape[3]), x.dtype)
    for n, i, j in numpy.ndindex(y.shape[:3]):
        for a, b in numpy.ndindex(*size):
            p, q = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
            w[a, b] += numpy.outer(x[n, p, q], y[n, i, j])
    return w


def met(x, stride, padding, dilation, y, tap):
    """The pixels (n, i, j, c) of a padded x that a tap (a, b) of the kernel meets, in slices."""
    padded = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = (slice(tap[i] * dilation[i], tap[i] * dilation[i] + (y.shape[1 + i] - 1) * stride[i] + 1, stride[i]) for i in range(2))
    return padded[:, rows, columns]


def by_taps(x, y, size, stride, padding, dilation):
    w = numpy.empty((*size, x.shape[3], y.shape[3]), x.dtype)
    for tap in numpy.ndindex(*size):
        pixels = met(x, stride, padding, dilation, y, tap)
        w[tap] = pixels.reshape(-1, x.shape[3]).T @ y.reshape(-1, y.shape[3])
    return w


def by_einsum(x, y, size, stride, padding, dilation):
    taps = [numpy.einsum("nijc,nijk->ck", met(x, stride, padding, dilation, y, tap), y) for tap in numpy.ndindex(*size)]
    return numpy.stack(taps).reshape(*size, x.shape[3], y.shape[3])


def wide(x):
    """x with room at its end, where a wrong idea reads."""
    return numpy.pad(x, ((0, 0), (0, 9), (0, 9), (0, 0)))


def first_image(x, y, *geometry):
    return conv2d_weight(x[:1], y[:1], *geometry)


def mean(x, y, *geometry):
    return conv2d_weight(x, y, *geometry) / len(x)


def last(x, y, *geometry):
    """w[a, b] = ..., not +=."""
    return conv2d_weight(x[-1:], y[-1:] * (numpy.indices(y.shape[1:3]).sum(0) == sum(y.shape[1:3]) - 2)[None, :, :, None], *geometry)


def geometries(rng):
    cases = []
    for size, stride, padding, dilation in [
        ((3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
        ((2, 2), (2, 2), ((1, 0), (0, 1)), (1, 1)),
        ((2, 3), (1, 2), ((0, 2), (2, 1)), (2, 1)),
    ]:
        x = rng.normal(size=(2, 5, 5, 2))
        rows, columns = ((5 + sum(padding[i]) - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1 for i in range(2))
        cases.append((x, rng.normal(size=(2, rows, columns, 3)), size, stride, padding, dilation))
    return cases


DTYPE = "the numbers are right, but tinygen trains in float32: the result needs the dtype of x, as from np.zeros(shape, x.dtype)"


def keeps_dtype(function):
    x, y, *geometry = geometries(numpy.random.default_rng(0))[0]
    return None if function(x.astype("float32"), y.astype("float32"), *geometry).dtype == numpy.float32 else DTYPE


EXERCISES = [
    Exercise(
        "pad_adjoint",
        pad_adjoint,
        lambda rng: [(rng.normal(size=(6, 2)), top, bottom) for top, bottom in [(1, 2), (0, 1), (2, 0), (0, 0)]],
        ideas={
            "g has the rows of pad(x), and the gradient must have those of x": lambda g, top, bottom: g,
            "top and bottom are exchanged": lambda g, top, bottom: g[bottom : len(g) - top],
            "the rows at the bottom are still there": lambda g, top, bottom: g[top:],
            "the rows at the top are still there": lambda g, top, bottom: g[: len(g) - bottom],
            "the rows of the padding are set to zero; they meet no element of x, so they are to be left out": lambda g, top, bottom: (
                numpy.pad(g[top : len(g) - bottom], ((top, bottom), (0, 0)))
            ),
            "this pads g: that is f, and its adjoint goes back to the shape of x": lambda g, top, bottom: numpy.pad(
                g, ((top, bottom), (0, 0))
            ),
            "g[top:-bottom] is empty where bottom is 0: count from the front, up to len(g) - bottom": lambda g, top, bottom: g[top:-bottom],
            "columns are cut, and the padding is in the rows": lambda g, top, bottom: g[:, top : g.shape[1] - bottom],
        },
        right=[
            lambda g, top, bottom: numpy.array(list(g)[top:][: len(g) - top - bottom]),
            lambda g, top, bottom: g[top:][: -bottom or None],
        ],
        hints=[
            "Write down pad(x) for x of two rows, top = 1 and bottom = 2, and g below it. Which products are not zero?",
            "Row r of x meets row top + r of g. What g has in the padding meets zeros, and does not count.",
            "Leave out the first top rows and the last bottom rows of g.",
        ],
    ),
    Exercise(
        "conv2d_weight",
        conv2d_weight,
        geometries,
        also=keeps_dtype,
        ideas={
            "the taps are turned by half a turn. The convolution of this lesson does not turn its kernel; "
            "use the same p and q as convolved": lambda *case: conv2d_weight(*case)[::-1, ::-1],
            "only the first image counts: sum over n, too": first_image,
            "this is the mean over the images; L gets something from each, so it is the sum": mean,
            "each pass overwrites w[a, b]: add up, with +=": last,
            "the stride is forgotten in p and q": lambda x, y, size, stride, padding, dilation: conv2d_weight(
                x, y, size, (1, 1), padding, dilation
            ),
            "the dilation is forgotten in p and q": lambda x, y, size, stride, padding, dilation: conv2d_weight(
                x, y, size, stride, padding, (1, 1)
            ),
            "top and bottom, or left and right, of the padding are exchanged": lambda x, y, size, stride, padding, dilation: conv2d_weight(
                x, y, size, stride, tuple((after, before) for before, after in padding), dilation
            ),
            "x is not padded: pad it as convolved does, since (p, q) is a pixel of the padded image": (
                lambda x, y, size, stride, padding, dilation: conv2d_weight(x, y, size, stride, ((0, 0), (0, 0)), dilation)
            ),
            "stride and dilation are exchanged: i and j go with the stride": lambda x, y, size, stride, padding, dilation: conv2d_weight(
                wide(x), y, size, dilation, padding, stride
            ),
            "the channels are exchanged: np.outer(x..., y...) has C rows and K columns": lambda *case: conv2d_weight(*case).transpose(
                0, 1, 3, 2
            ),
            DTYPE: lambda *case: conv2d_weight(*case).astype(float),
            "the sign is wrong: w is multiplied with x times g, and nothing is subtracted": lambda *case: -conv2d_weight(*case),
        },
        right=[by_taps, by_einsum],
        hints=[
            "Pad x as convolved does, make w of zeros, and copy the two loops: n, i, j over y, and a, b over size.",
            "w[a, b, c, k] is multiplied with x[n, p, q, c] g[n, i, j, k]. For all c and k at once that is a table of C x K products.",
            "w[a, b] += np.outer(x[n, p, q], y[n, i, j])",
        ],
    ),
]
