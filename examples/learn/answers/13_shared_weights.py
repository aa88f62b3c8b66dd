"""13: a convolution in which four pixels share each weight that is read."""

import numpy

from tinygen.learn import Exercise


def cost(pixels, outputs):
    return 2 + 1 / pixels + 1 / outputs


def convolve(x, w, stride, dilation, y):
    whole = y.shape[2] // 4 * 4
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(0, whole, 4):
                for a in range(w.shape[0]):
                    p = i * stride[0] + a * dilation[0]
                    for b in range(w.shape[1]):
                        q = j * stride[1] + b * dilation[1]
                        for c in range(w.shape[2]):
                            x0 = x[n, p, q, c]
                            x1 = x[n, p, q + stride[1], c]
                            x2 = x[n, p, q + 2 * stride[1], c]
                            x3 = x[n, p, q + 3 * stride[1], c]
                            for k in range(y.shape[3]):
                                weight = w[a, b, c, k]
                                y[n, i, j, k] += x0 * weight
                                y[n, i, j + 1, k] += x1 * weight
                                y[n, i, j + 2, k] += x2 * weight
                                y[n, i, j + 3, k] += x3 * weight
            for j in range(whole, y.shape[2]):
                for a in range(w.shape[0]):
                    for b in range(w.shape[1]):
                        for c in range(w.shape[2]):
                            pixel = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c]
                            for k in range(y.shape[3]):
                                y[n, i, j, k] += pixel * w[a, b, c, k]


def with_zeros(x, w, stride, dilation, y):
    """Right: a missing pixel adds 0 to the last one."""
    last = y.shape[2] - 1
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(0, last + 1, 4):
                j1, j2, j3 = min(j + 1, last), min(j + 2, last), min(j + 3, last)
                for a in range(w.shape[0]):
                    p = i * stride[0] + a * dilation[0]
                    for b in range(w.shape[1]):
                        q = b * dilation[1]
                        for c in range(w.shape[2]):
                            x0 = x[n, p, j * stride[1] + q, c]
                            x1 = x[n, p, j1 * stride[1] + q, c] if j + 1 <= last else 0 * x0
                            x2 = x[n, p, j2 * stride[1] + q, c] if j + 2 <= last else 0 * x0
                            x3 = x[n, p, j3 * stride[1] + q, c] if j + 3 <= last else 0 * x0
                            for k in range(y.shape[3]):
                                weight = w[a, b, c, k]
                                y[n, i, j, k] += x0 * weight
                                y[n, i, j1, k] += x1 * weight
                                y[n, i, j2, k] += x2 * weight
                                y[n, i, j3, k] += x3 * weight


def in_groups(
    pixels=4, read=True, share=True, over_k=True, first=lambda j, m: j + m, step=lambda stride: stride, turn=lambda taps: taps, rest=True
):
    """convolve with `pixels` of a row together, and other ideas in its places.

    `read`: a number of x is read before the loop over k; `share`: a weight is read once; `over_k`: the
    innermost loop is over k; `first` says to which pixel number m of a group adds; `step` maps the
    stride from one pixel of a group to the next; `turn` reorders the taps; `rest`: the last pixels of a
    row are there.
    """

    def convolve(x, w, stride, dilation, y):
        width = y.shape[2]
        for n, i in numpy.ndindex(y.shape[:2]):
            for j in range(0, width if rest else width - pixels + 1, pixels):
                group = range(min(pixels, width - j))
                for a, b in numpy.ndindex(w.shape[:2]):
                    p, q = i * stride[0] + turn(a) * dilation[0], j * stride[1] + b * dilation[1]
                    columns = [q + m * step(stride[1]) for m in group]
                    places = [(c, k) for c in range(w.shape[2]) for k in range(y.shape[3])]
                    for c, k in places if over_k else sorted(places, key=lambda place: place[::-1]):
                        if k == 0 or not read or not over_k:
                            numbers = [x[n, p, column, c] for column in columns]
                        weight = w[a, b, c, k]
                        for m in group:
                            y[n, i, first(j, m), k] += numbers[m] * (weight if share else w[a, b, c, k])

    return convolve


def by_vectors(x, w, stride, dilation, y):
    """Right: NumPy's loop over k, for four pixels at once."""
    for n, i in numpy.ndindex(y.shape[:2]):
        for j in range(0, y.shape[2], 4):
            for a, b, c in numpy.ndindex(w.shape[:3]):
                q, count = j * stride[1] + b * dilation[1], min(4, y.shape[2] - j)
                pixels = x[n, i * stride[0] + a * dilation[0], q : q + (count - 1) * stride[1] + 1 : stride[1], c]
                y[n, i, j : j + 4] += pixels[:, None] * w[a, b, c]


def last_again(x, w, stride, dilation, y):
    """The last pixel of a row is there once for each that is missing."""
    convolve(x, w, stride, dilation, y)
    before = numpy.zeros_like(y)
    convolve(x, w, stride, dilation, before)
    y[:, :, -1] += before[:, :, -1] * (-y.shape[2] % 4)


def neighbours(x, w, stride, dilation, y):
    """Whole fours read x without the stride; the rest of a row is right."""
    whole = y.shape[2] // 4 * 4
    in_groups(step=lambda stride: 1)(x, w, stride, dilation, y[:, :, :whole])
    convolve(x[:, :, whole * stride[1] :], w, stride, dilation, y[:, :, whole:])


def overwritten(x, w, stride, dilation, y):
    for a, b, c in numpy.ndindex(w.shape[:3]):
        y[...] = 0
        convolve(x[:, a * dilation[0] :, b * dilation[1] :, c : c + 1], w[a : a + 1, b : b + 1, c : c + 1], stride, dilation, y)


def on_zeros(x, w, stride, dilation, y):
    y[...] = 0
    convolve(x, w, stride, dilation, y)


ORDER = "it is right, and the innermost loop is not over k: the weights that are read one after the other are not neighbours"
READS = "it is right, and numbers of x are read anew for each k: read the four before the innermost loop"
ALONE = "it is right, and each pixel reads its weights for itself: read w[a, b, c, k] once, into a variable, for all four"
TWO = "it is right, and a weight serves two pixels: let it serve four"


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
    """What is wrong with what a right convolve reads."""
    (x, of_x), (w, of_w) = noted(1, 3, 8, 3), noted(2, 1, 3, 16)
    y = numpy.zeros((1, 2, 8, 16))
    function(x, w, (1, 1), (1, 1), y)
    products, steps = y.size * 6, numpy.diff(of_w)
    if len(of_w) > 1 and ((steps == 0) | (steps == 1)).mean() < 0.5:
        return ORDER
    if len(of_x) > products / 2:
        return READS
    return None if len(of_w) <= products / 3 else TWO if len(of_w) <= products / 2 + 1 else ALONE


def added(function, x, w, stride, dilation, y):
    function(x, w, stride, dilation, y)
    return y


def drawn(rng):
    for width, stride, dilation in [(4, (1, 1), (1, 1)), (7, (2, 1), (1, 2)), (6, (1, 2), (2, 1))]:
        x, w = rng.normal(size=(2, 5, 16, 2)), rng.normal(size=(2, 2, 2, 3))
        yield x, w, stride, dilation, rng.normal(size=(2, 2, width, 3))


EXERCISES = [
    Exercise(
        "cost",
        cost,
        lambda rng: [(1, 16), (4, 16), (4, 128), (3, 5), (1000, 1000)],
        ideas={
            "each sum is read and also written: that is 2 for each product": lambda pixels, outputs: 1 + 1 / pixels + 1 / outputs,
            "each weight is read once for all pixels that share it: 1 / pixels for each product": lambda pixels, outputs: 3 + 1 / outputs,
            "the numbers of x are missing: one of them serves `outputs` products": lambda pixels, outputs: 2 + 1 / pixels,
            "the weights are missing: one of them serves `pixels` products": lambda pixels, outputs: 2 + 1 / outputs,
            "this is for all products together; divide by their number, pixels times outputs": lambda pixels, outputs: (
                pixels + outputs + 2 * pixels * outputs
            ),
            "the products are pixels times outputs, and you divide by the pixels alone": lambda pixels, outputs: (
                (pixels + outputs + 2 * pixels * outputs) / pixels
            ),
            "each pixel has sums of its own, which are not shared: 2 for each product": lambda pixels, outputs: 3 / pixels + 1 / outputs,
            "a number of x serves all `outputs` channels of its pixel; it is read before the loop over k": lambda pixels, outputs: (
                3 + 1 / pixels
            ),
        },
        right=[
            lambda pixels, outputs: (pixels + outputs + 2 * pixels * outputs) / (pixels * outputs),
            lambda pixels, outputs: sum([1.0, 1.0, pixels**-1, outputs**-1]),
        ],
        hints=[
            "Count for one channel of one tap: numbers of x, weights, sums read, sums written. And how many products are that?",
            "pixels + outputs + 2 * pixels * outputs numbers, for pixels * outputs products.",
            "2 + 1 / pixels + 1 / outputs",
        ],
    ),
    Exercise(
        "convolve",
        convolve,
        drawn,
        apply=added,
        also=moves,
        ideas={
            ORDER: in_groups(over_k=False),
            READS: in_groups(read=False),
            ALONE: in_groups(share=False),
            TWO: in_groups(pixels=2),
            "the last pixels of a row are missing if it has not 4, 8, 12, ... pixels": in_groups(rest=False),
            "at the end of a row the last pixel is added several times, once for each that is missing": last_again,
            "the four read neighbours of x. From one output pixel to the next, q grows by stride[1]": in_groups(step=lambda stride: 1),
            "with stride 1 it is right: the four numbers of x are stride[1] apart, q + stride[1] and not q + 1": neighbours,
            "all four are added to the first of them": in_groups(first=lambda j, m: j),
            "the kernel is turned: tap a = 0 meets the uppermost row of x": in_groups(turn=lambda a: 1 - a),
            "y is overwritten by each channel of each tap: add, with +=": overwritten,
            "what stood in y before is lost: the convolution is added to it": on_zeros,
            "y is as before: add to the y that is given; nothing is returned": lambda x, w, stride, dilation, y: y + 1,
        },
        right=[with_zeros, in_groups(), by_vectors],
        hints=[
            "whole = y.shape[2] // 4 * 4. One loop has j in range(0, whole, 4), and one, as in lesson 12, j in range(whole, y.shape[2]).",
            "In the first, q = j * stride[1] + b * dilation[1]; x0 = x[n, p, q, c], x1 = x[n, p, q + stride[1], c], and so on to x3.",
            "for k ...: weight = w[a, b, c, k]; y[n, i, j, k] += x0 * weight; y[n, i, j + 1, k] += x1 * weight; and so on.",
        ],
    ),
]
