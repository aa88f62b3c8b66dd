"""11: how often a transposed convolution writes each pixel."""

import numpy
from tinygen_kernels.reference import conv2d_data

from tinygen.learn import Exercise


def written(n, kernel, stride, padding):
    counts = numpy.zeros((n - 1) * stride + kernel, int)
    for i in range(n):
        counts[i * stride : i * stride + kernel] += 1
    return counts[padding : len(counts) - padding]


def evenness(kernel, stride):
    return (kernel // stride / -(-kernel // stride)) ** 2


def even_kernel(kernel, stride):
    return -(-kernel // stride) * stride


def counted(place):
    """written with another way to find p, from (i, a, stride, padding, size); None leaves it out."""

    def written(n, kernel, stride, padding):
        counts = numpy.zeros((n - 1) * stride + kernel - 2 * padding, int)
        for i in range(n):
            for a in range(kernel):
                p = place(i, a, stride, padding, len(counts))
                if 0 <= p < len(counts):
                    counts[p] += 1
        return counts

    return written


def by_taps(n, kernel, stride, padding):
    reached = (numpy.arange(n)[:, None] * stride + numpy.arange(kernel)).ravel()
    counts = numpy.bincount(reached, minlength=(n - 1) * stride + kernel)
    return counts[padding:][: len(counts) - 2 * padding]


def by_ones(n, kernel, stride, padding):
    size = (n - 1) * stride + kernel - 2 * padding
    y, w = numpy.ones((1, n, 1, 1)), numpy.ones((kernel, 1, 1, 1))
    return conv2d_data(y, w, None, (size, 1), (stride, 1), ((padding, padding), (0, 0)), (1, 1)).ravel()


def of_convolution(n, kernel, stride, padding):
    """How often a convolution reads each of n pixels."""
    counts = numpy.zeros(n + 2 * padding, int)
    for i in range((n + 2 * padding - kernel) // stride + 1):
        counts[i * stride : i * stride + kernel] += 1
    return counts[padding : padding + n]


def in_the_middle(kernel, stride):
    """The counts of one axis, from pixel `kernel` on for one round of the strides."""
    return written(2 * kernel + 2, kernel, stride, 0)[kernel * stride :][:stride]


def by_dealing(kernel, stride):
    dealt = [len(range(a, kernel, stride)) for a in range(stride)]
    return min(dealt) ** 2 / max(dealt) ** 2


def next_even(kernel, stride):
    while kernel % stride:
        kernel += 1
    return kernel


EXERCISES = [
    Exercise(
        "written",
        written,
        lambda rng: [(4, 3, 2, 0), (4, 4, 2, 1), (3, 2, 3, 0), (3, 5, 1, 2), (5, 3, 2, 1)],
        ideas={
            "nothing is cut off: leave out `padding` pixels at either end": lambda n, kernel, stride, padding: written(
                n, kernel, stride, 0
            ),
            "only the first pixels are cut off: `padding` pixels are missing at the end, too": lambda n, kernel, stride, padding: written(
                n, kernel, stride, 0
            )[padding:],
            "the padding has the wrong sign: p = i stride + a - padding": counted(
                lambda i, a, stride, padding, size: i * stride + a + padding
            ),
            "the padding is missing in p = i stride + a - padding": counted(lambda i, a, stride, padding, size: i * stride + a),
            "the stride is missing: y[i] begins at the pixel i stride": counted(lambda i, a, stride, padding, size: i + a - padding),
            "you mark which pixels are written, and not how often: add 1 each time": lambda *case: numpy.minimum(written(*case), 1),
            "what falls out at one end comes in at the other: counts[-1] is the last pixel for Python; leave negative p out": counted(
                lambda i, a, stride, padding, size: (i * stride + a - padding) % size
            ),
            "what falls out is counted at the border pixels: leave it out": counted(
                lambda i, a, stride, padding, size: min(max(i * stride + a - padding, 0), size - 1)
            ),
            "you count how often a convolution of n pixels reads them. Here the n are spread over more pixels": of_convolution,
        },
        right=[by_taps, by_ones],
        hints=[
            "Begin with np.zeros(..., int) of the length that is asked for, and two loops: i over range(n), a over range(kernel).",
            "p = i * stride + a - padding. If 0 <= p < the length, one more writing is to be counted at p.",
            "counts[p] += 1",
        ],
    ),
    Exercise(
        "evenness",
        evenness,
        lambda rng: [(3, 2), (4, 2), (5, 2), (5, 3), (2, 3), (7, 3), (3, 1)],
        ideas={
            "this is for one axis; in an image both axes count, and the counts are multiplied": lambda kernel, stride: (
                kernel // stride / -(-kernel // stride)
            ),
            "this is the most written pixel divided by the least; the least comes first": lambda kernel, stride: (
                max(in_the_middle(kernel, stride)) ** 2 / max(1e-9, min(in_the_middle(kernel, stride))) ** 2
            ),
            "this is a difference: divide one count by the other": lambda kernel, stride: (
                (-(-kernel // stride)) ** 2 - (kernel // stride) ** 2
            ),
            "you say whether it is even (1) or not (0); how uneven is it?": lambda kernel, stride: float(kernel % stride == 0),
            "if the kernel is smaller than the stride, some pixels are never written: the least count is 0": lambda kernel, stride: (
                (max(1, kernel // stride) / -(-kernel // stride)) ** 2
            ),
            "in both axes the counts are multiplied; you have added them, or doubled one": lambda kernel, stride: min(
                1.0, 2 * (kernel // stride) / -(-kernel // stride)
            ),
            "the pixels at the border are in it: they are written less often with any kernel": lambda kernel, stride: (
                (min(written(9, kernel, stride, 0)) / max(written(9, kernel, stride, 0))) ** 2
            ),
            "this is stride / kernel; the counts are whole numbers: kernel / stride rounded down, and rounded up": lambda kernel, stride: (
                min(1.0, stride / kernel) ** 2
            ),
        },
        right=[by_dealing, lambda kernel, stride: float(min(in_the_middle(kernel, stride)) ** 2 / max(in_the_middle(kernel, stride)) ** 2)],
        hints=[
            "Deal 3 taps to 2 pixels: one gets 2, the other 1. Deal 5 taps to 3 pixels, and 2 taps to 3.",
            "In one axis the least count is kernel // stride. The most is that, plus 1 if something is left over.",
            "In an image both counts are squared. -(-kernel // stride) is kernel / stride, rounded up.",
        ],
        uses=["written"],
    ),
    Exercise(
        "even_kernel",
        even_kernel,
        lambda rng: [(3, 2), (4, 2), (5, 3), (1, 3), (9, 4), (10, 4), (7, 1)],
        ideas={
            "this makes kernels even numbers; that is right for stride 2 only": lambda kernel, stride: kernel + kernel % 2,
            "this is the next smaller multiple of the stride; the kernel must not become smaller": lambda kernel, stride: (
                kernel // stride * stride
            ),
            "a kernel that is a multiple of the stride already stays as it is": lambda kernel, stride: (kernel // stride + 1) * stride,
            "1 is added where it is uneven, and that is not always enough": lambda kernel, stride: kernel + (kernel % stride > 0),
            "kernel times stride is a multiple, and not the smallest": lambda kernel, stride: kernel * stride,
            "this is the nearest multiple of the stride; the kernel must not become smaller": lambda kernel, stride: (
                (kernel + stride // 2) // stride * stride
            ),
            "this is how often the stride fits in; multiply it by the stride": lambda kernel, stride: -(-kernel // stride),
            "you add the remainder. What is missing is stride minus the remainder": lambda kernel, stride: kernel + kernel % stride,
        },
        right=[next_even, lambda kernel, stride: kernel + -kernel % stride],
        hints=[
            "All pixels get the same number of taps if nothing is left over when they are dealt out.",
            "That is, if the kernel is a multiple of the stride. Which is the next multiple of 3 after 5?",
            "while kernel % stride: kernel += 1",
        ],
    ),
]
