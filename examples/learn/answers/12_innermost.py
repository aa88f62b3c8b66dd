"""12: lines of memory, and the convolution whose innermost loop runs along them."""

import numpy

from tinygen.learn import Exercise


def lines(count, step):
    return len({number * step // 16 for number in range(count)})


def convolve(x, w, stride, dilation, y):
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for a in range(w.shape[0]):
                    for b in range(w.shape[1]):
                        for c in range(w.shape[2]):
                            pixel = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c]
                            for k in range(y.shape[3]):
                                y[n, i, j, k] += pixel * w[a, b, c, k]


def taps_outside(x, w, stride, dilation, y):
    """Right: the taps outside, the pixels inside, and still k innermost."""
    for a, b, c in numpy.ndindex(w.shape[:3]):
        for n, i, j in numpy.ndindex(y.shape[:3]):
            pixel, sums = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c], y[n, i, j]
            for k in range(len(sums)):
                sums[k] = sums[k] + w[a, b, c, k] * pixel


def by_rows(x, w, stride, dilation, y):
    """Right: the rows of weights and of sums are found before the loop over k."""
    for n, i, j in numpy.ndindex(y.shape[:3]):
        sums = y[n, i, j]
        for a, b, c in numpy.ndindex(w.shape[:3]):
            pixel, weights = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c], w[a, b, c]
            for k in range(y.shape[3]):
                sums[k] += pixel * weights[k]


def by_vectors(x, w, stride, dilation, y):
    """NumPy's loop over k."""
    for n, i, j in numpy.ndindex(y.shape[:3]):
        for a, b, c in numpy.ndindex(w.shape[:3]):
            y[n, i, j] += x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c] * w[a, b, c]


def meeting(place):
    """A convolve with another way to find p and q, from (i, a, stride, dilation, kernel) of one axis."""

    def convolve(x, w, stride, dilation, y):
        for n, i, j in numpy.ndindex(y.shape[:3]):
            for a, b in numpy.ndindex(w.shape[:2]):
                p, q = (place(*axis) for axis in zip((i, j), (a, b), stride, dilation, w.shape[:2], strict=True))
                y[n, i, j] += x[n, p % x.shape[1], q % x.shape[2]] @ w[a, b]

    return convolve


def k_before_c(x, w, stride, dilation, y):
    for n, i, j in numpy.ndindex(y.shape[:3]):
        for a, b, k, c in numpy.ndindex(*w.shape[:2], y.shape[3], w.shape[2]):
            y[n, i, j, k] += x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c] * w[a, b, c, k]


def read_in_the_loop(x, w, stride, dilation, y):
    for n, i, j in numpy.ndindex(y.shape[:3]):
        for a, b, c, k in numpy.ndindex(w.shape):
            y[n, i, j, k] += x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c] * w[a, b, c, k]


def overwriting(x, w, stride, dilation, y):
    for n, i, j in numpy.ndindex(y.shape[:3]):
        for a, b, c, k in numpy.ndindex(w.shape):
            y[n, i, j, k] = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c] * w[a, b, c, k]


def on_zeros(x, w, stride, dilation, y):
    y[...] = 0
    convolve(x, w, stride, dilation, y)


ORDER = "it is right, and the innermost loop is not over k: the weights that are read one after the other are not neighbours"
READS = "it is right, and the number of x is read anew for each k: read it before the innermost loop"
VECTORS = "it is right, and NumPy loops over k in your place, with an array for each product: write `for k in range(y.shape[3])`"


class Noted(numpy.ndarray):
    """An array that lists the numbers that are read from it, and from its views, one by one."""

    def __array_finalize__(self, source):
        self.numbers = getattr(source, "numbers", [])

    def __getitem__(self, index):
        part = super().__getitem__(index)
        if not isinstance(part, Noted):
            self.numbers.append(part)
        return part


def noted(*shape):
    """An array of 0, 1, 2, ..., and the list of the numbers that are read from it."""
    array = numpy.arange(float(numpy.prod(shape))).reshape(shape).view(Noted)
    array.numbers = []
    return array, array.numbers


def moves(function):
    """What is wrong with the order in which a right convolve reads."""
    (x, of_x), (w, of_w) = noted(1, 4, 4, 3), noted(2, 2, 3, 16)
    y = numpy.zeros((1, 3, 3, 16))
    function(x, w, (1, 1), (1, 1), y)
    if len(of_w) < y.size:
        return VECTORS
    if (numpy.diff(of_w) == 1).mean() < 0.5:
        return ORDER
    return READS if len(of_x) > y.size * 12 / 2 else None  # each number of y has 12 products


def added(function, x, w, stride, dilation, y):
    function(x, w, stride, dilation, y)
    return y


def drawn(rng):
    for stride, dilation in [((1, 1), (1, 1)), ((2, 1), (1, 2)), ((1, 2), (3, 1))]:
        yield rng.normal(size=(2, 6, 7, 2)), rng.normal(size=(2, 3, 2, 3)), stride, dilation, rng.normal(size=(2, 2, 2, 3))


EXERCISES = [
    Exercise(
        "lines",
        lines,
        lambda rng: [(64, 128), (64, 1), (11, 3), (17, 1), (5, 16), (7, 8), (3, 100), (1, 5), (9, 17)],
        ideas={
            "the step is not used: numbers that lie further apart are in more lines": lambda count, step: -(-count // 16),
            "neighbours share a line: with a step of 1, one line serves 16 numbers": lambda count, step: count,
            "with a step of more than 16, lines between two numbers are left out, and not touched": lambda count, step: (
                (count - 1) * step // 16 + 1
            ),
            "the last number lies (count - 1) steps from the first, and not count steps": lambda count, step: min(
                count, -(-count * step // 16)
            ),
            "one is missing: the first line counts, too": lambda count, step: len({number * step // 16 for number in range(1, count)}),
            "a line has 64 bytes, and a number of float32 has 4 of them: 16 numbers": lambda count, step: len(
                {number * step // 64 for number in range(count)}
            ),
            "you divide the step by 16 first, and what is left over is lost": lambda count, step: len(
                {number * (step // 16) for number in range(count)}
            ),
        },
        right=[
            lambda count, step: min(count, (count - 1) * step // 16 + 1),
            lambda count, step: len(numpy.unique(numpy.arange(count) * step // 16)),
        ],
        hints=[
            "Number i of those that are read stands at i * step. In which line is that, if lines 0, 1, 2, ... have 16 numbers each?",
            "In line i * step // 16. How many different lines are there?",
            "len(set(...)) counts different numbers.",
        ],
    ),
    Exercise(
        "convolve",
        convolve,
        drawn,
        apply=added,
        also=moves,
        ideas={
            ORDER: k_before_c,
            READS: read_in_the_loop,
            VECTORS: by_vectors,
            "each product overwrites the one before it: add to y, with +=": overwriting,
            "what stood in y before is lost: the convolution is added to it": on_zeros,
            "y is as before: add to the y that is given; nothing is returned": lambda x, w, stride, dilation, y: y + 1,
            "the stride is missing: output pixel (i, j) begins at row i * stride[0]": meeting(
                lambda i, a, stride, dilation, kernel: i + a * dilation
            ),
            "the dilation is missing: tap a lies a * dilation[0] rows further down": meeting(
                lambda i, a, stride, dilation, kernel: i * stride + a
            ),
            "stride and dilation are exchanged: the stride goes with i and j, the dilation with a and b": meeting(
                lambda i, a, stride, dilation, kernel: i * dilation + a * stride
            ),
            "the kernel is turned by half a turn: the first tap meets the uppermost pixel, as in loops": meeting(
                lambda i, a, stride, dilation, kernel: i * stride + (kernel - 1 - a) * dilation
            ),
            "only the first image is there: the outermost loop is over all images n": lambda x, w, stride, dilation, y: convolve(
                x, w, stride, dilation, y[:1]
            ),
        },
        right=[taps_outside, by_rows],
        hints=[
            "Copy loops, and move the line `for k ...` to the end, before the product.",
            "The lines with p and q, and pixel = x[n, p, q, c], stand before `for k ...`.",
            "for k in range(y.shape[3]): y[n, i, j, k] += pixel * w[a, b, c, k]",
        ],
    ),
]
