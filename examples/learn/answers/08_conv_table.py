"""08: a convolution as a table, and its transpose."""

import numpy

from tinygen.learn import Exercise


def table(w, size, stride, padding):
    rows = (size + 2 * padding - len(w)) // stride + 1
    t = numpy.zeros((rows, size))
    for i in range(rows):
        for a in range(len(w)):
            p = i * stride + a - padding
            if 0 <= p < size:
                t[i, p] += w[a]
    return t


def conv_data(y, w, size, stride, padding):
    x = numpy.zeros(size)
    for i in range(len(y)):
        for a in range(len(w)):
            p = i * stride + a - padding
            if 0 <= p < size:
                x[p] += w[a] * y[i]
    return x


def placed(position, join=numpy.add):
    """table with another way to find p, from (i, a, stride, padding, size, the kernel's length); None leaves it out."""

    def table(w, size, stride, padding):
        rows = (size + 2 * padding - len(w)) // stride + 1
        t = numpy.zeros((rows, size))
        for i in range(rows):
            for a in range(len(w)):
                p = position(i, a, stride, padding, size, len(w))
                if p is not None and 0 <= p < size:
                    t[i, p] = join(t[i, p], w[a])
        return t

    return table


def turned(i, a, stride, padding, size, kernel):
    return i * stride + kernel - 1 - a - padding


def rolled(i, a, stride, padding, size, kernel):
    return (i * stride + a - padding) % size


def clipped(i, a, stride, padding, size, kernel):
    return min(max(i * stride + a - padding, 0), size - 1)


def from_the_end(i, a, stride, padding, size, kernel):
    p = i * stride + a - padding
    return p + size if p < 0 else p


def without_bounds(w, size, stride, padding):
    t = numpy.zeros(((size + 2 * padding - len(w)) // stride + 1, size))
    for i, a in numpy.ndindex(len(t), len(w)):
        t[i, i * stride + a - padding] += w[a]
    return t


def data_without_bounds(y, w, size, stride, padding):
    x = numpy.zeros(size)
    for i, a in numpy.ndindex(len(y), len(w)):
        x[i * stride + a - padding] += w[a] * y[i]
    return x


def by_units(w, size, stride, padding):
    """Column p is what the convolution makes of an x that is 1 at p alone."""
    padded = numpy.pad(numpy.eye(size), ((0, 0), (padding, padding)))
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, len(w), axis=1)[:, ::stride]
    return (windows @ w).T


def by_rows(w, size, stride, padding):
    rows = []
    for i in range((size + 2 * padding - len(w)) // stride + 1):
        row = numpy.zeros(size + 2 * padding)
        row[i * stride : i * stride + len(w)] = w
        rows.append(row[padding : padding + size])
    return numpy.array(rows)


def data_of(table):
    """conv_data by a table."""
    return lambda y, w, size, stride, padding: table(w, size, stride, padding).T @ y


def stretched(y, w, size, stride, padding):
    """Each y once, zeros between, nothing spread."""
    x = numpy.zeros(size)
    for i, value in enumerate(y):
        if 0 <= i * stride - padding < size:
            x[i * stride - padding] = value
    return x


def overwritten(y, w, size, stride, padding):
    x = numpy.zeros(size)
    for i in range(len(y)):
        for a in range(len(w)):
            if 0 <= i * stride + a - padding < size:
                x[i * stride + a - padding] = w[a] * y[i]
    return x


def uncropped(y, w, size, stride, padding):
    x = numpy.zeros(size + 2 * padding)
    for i in range(len(y)):
        x[i * stride : i * stride + len(w)] += w * y[i]
    return x


def cropped(y, w, size, stride, padding):
    return uncropped(y, w, size, stride, padding)[padding : padding + size]


def averaged(y, w, size, stride, padding):
    return conv_data(y, w, size, stride, padding) / numpy.maximum(
        1, conv_data(numpy.ones(len(y)), numpy.ones(len(w)), size, stride, padding)
    )


def inverse(y, w, size, stride, padding):
    return numpy.linalg.pinv(table(w, size, stride, padding)) @ y


GEOMETRIES = [(3, 7, 2, 0), (3, 4, 1, 1), (4, 8, 2, 1), (2, 6, 3, 0), (3, 6, 2, 2)]


def of_tables(rng):
    return [(rng.normal(size=kernel), *rest) for kernel, *rest in GEOMETRIES]


def of_data(rng):
    return [(rng.normal(size=len(table(w, *rest))), w, *rest) for w, *rest in of_tables(rng)]


EXERCISES = [
    Exercise(
        "table",
        table,
        of_tables,
        ideas={
            "the stride is missing: from one row to the next the kernel moves on by stride columns": placed(
                lambda i, a, stride, padding, size, kernel: i + a - padding
            ),
            "the padding is missing: it moves the kernel to the left, so p is smaller by it": placed(
                lambda i, a, stride, padding, size, kernel: i * stride + a
            ),
            "the padding has the wrong sign: p = i stride + a - padding": placed(
                lambda i, a, stride, padding, size, kernel: i * stride + a + padding
            ),
            "the kernel is turned: w[0] meets the leftmost x here": placed(turned),
            "what falls out on the left comes in again on the right: x counts as zero outside, so leave it out": placed(rolled),
            "a negative p counts from the end, as Python does it: x counts as zero outside, so leave it out": placed(from_the_end),
            "p may lie outside of x, which counts as zero there: leave out where it is not in 0 <= p < size": without_bounds,
            "what falls outside is put on the border: x counts as zero outside, so leave it out": placed(clipped),
            "this is the table transposed: it has a row for each y, and a column for each x": lambda *case: table(*case).T,
            "the table has the columns of the padded x; leave out `padding` of them on each side": lambda w, size, stride, padding: table(
                w, size + 2 * padding, stride, 0
            ),
            "the table has only zeros and ones: T[i, p] is w[a]": lambda w, *rest: table(numpy.ones(len(w)), *rest),
        },
        right=[by_units, by_rows],
        hints=[
            "Begin with np.zeros of the shape that is asked for. Two loops: over the rows i and over the kernel's a.",
            "In row i, w[a] stands in the column p = i * stride + a - padding.",
            "If p is not in 0 <= p < size, there is no such column: leave it out. Else T[i, p] = w[a].",
        ],
    ),
    Exercise(
        "conv_data",
        conv_data,
        of_data,
        ideas={
            "where kernels overlap, the later one overwrites: add, with +=": overwritten,
            "the stride is missing: y[i] begins at i * stride": data_of(
                placed(lambda i, a, stride, padding, size, kernel: i + a - padding)
            ),
            "the padding is missing: p = i stride + a - padding": data_of(
                placed(lambda i, a, stride, padding, size, kernel: i * stride + a)
            ),
            "the padding has the wrong sign: p = i stride + a - padding": data_of(
                placed(lambda i, a, stride, padding, size, kernel: i * stride + a + padding)
            ),
            "the kernel is turned. A transposed convolution turns nothing: w[a] y[i] goes to the p of the same i and a": data_of(
                placed(turned)
            ),
            "a negative p counts from the end, as Python does it: the padding is not part of x, so leave it out": data_of(
                placed(from_the_end)
            ),
            "p may lie outside of x, in the padding: leave out where it is not in 0 <= p < size": data_without_bounds,
            "each y lands on one x: it must be spread over as many as the kernel has": stretched,
            "the padding is still there: leave out `padding` numbers at each end": uncropped,
            "where kernels overlap you take the mean; the transposed table adds": averaged,
            "this is the inverse, as far as there is one. The adjoint is the table transposed, and does not lead back to x": inverse,
        },
        right=[cropped, data_of(by_rows)],
        hints=[
            "T.T @ y: x[p] is the sum of T[i, p] y[i] over i. Use the same two loops as for the table.",
            "Where table has T[i, p] = w[a], here x[p] += w[a] * y[i].",
            "If p is not in 0 <= p < size, leave it out: nobody asked for the gradient of the padding.",
        ],
    ),
]
