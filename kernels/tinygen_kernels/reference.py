"""The definition of every kernel, in the plainest NumPy.

Read this before `tinygen_kernels.cpu`, which computes the same fast. Nothing here is meant to be
fast. The functions are those of `tinygen_kernels.Kernels`, where shapes and conventions are given.

The three convolutions are the seven loops of `ladder/loops.py`, over n, i, j, k, a, b and c, around one
line each. Output pixel (i, j) meets pixel (p, q) of the image at tap (a, b) of the kernel:

    conv2d           y[n,i,j,k] += x[n,p,q,c] * w[a,b,c,k]
    conv2d_data      x[n,p,q,c] += y[n,i,j,k] * w[a,b,c,k]
    conv2d_weight    w[a,b,c,k] += x[n,p,q,c] * y[n,i,j,k]

Here only the loops over a and b are left. The pixels that one tap (a, b) meets form a grid in the
padded image. For the whole batch this grid is one strided slice, so n, i and j need no loop, and a
matrix product does the sums over c and k:

    conv2d           y[:]    += x[grid] @ w[a, b]      reads the grid
    conv2d_data      x[grid] += y[:] @ w[a, b].T       writes to the grid (transposed convolution)
    conv2d_weight    w[a, b]  = x[grid].T @ y[:]       correlates x and y at this tap

conv2d is rung 5 of the ladder. BLAS, a library of matrix products, computes them. It keeps sums in
registers through all channels, where rung 4 loads and stores a sum for each. What is still slow:
each row of output pixels is a small product of its own. In the benchmark's layer it is of 8 pixels,
and on a Zen 3 such products take 2.5 times as long as one of all pixels, so this rung is slower
than rung 4. And y is read and written once for each tap.
"""

from collections.abc import Iterator

import numpy

from tinygen_kernels import Array, Arrays, Average, Padding, Pair, moments
from tinygen_kernels.geometry import output_size, pooled_size, taps


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0) -> Array:
    images, *size, _ = x.shape
    kernel_size, outputs = w.shape[:2], w.shape[3]
    padded = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    output = output_size((size[0], size[1]), kernel_size, stride, padding, dilation)
    y = numpy.zeros((images, *output, outputs), x.dtype)
    for tap, rows, columns in taps(kernel_size, output, stride, dilation):
        y += padded[:, rows, columns] @ w[tap]
    return _finished(y, bias, negative_slope)


def conv2d_data(
    y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0
) -> Array:
    (top, bottom), (left, right) = padding
    padded = numpy.zeros((y.shape[0], top + size[0] + bottom, left + size[1] + right, w.shape[2]), y.dtype)
    for tap, rows, columns in taps(w.shape[:2], y.shape[1:3], stride, dilation):
        padded[:, rows, columns] += y @ w[tap].T
    x = padded[:, top : top + size[0], left : left + size[1]]
    return _finished(x.copy(), bias, negative_slope)


def _finished(y: Array, bias: Array | None, negative_slope: float) -> Array:
    z = y if bias is None else y + bias
    return z if negative_slope == 1 else leaky_relu(z, negative_slope)


def conv2d_weight(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    padded = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    w = numpy.empty((*size, x.shape[3], y.shape[3]), x.dtype)
    for tap, rows, columns in taps(size, y.shape[1:3], stride, dilation):
        w[tap] = numpy.tensordot(padded[:, rows, columns], y, axes=((0, 1, 2), (0, 1, 2)))
    return w


def matmul(a: Array, b: Array, bias: Array | None = None, negative_slope: float = 1.0) -> Array:
    c = numpy.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        c += a[..., :, k, None] * b[..., k, None, :]
    return _finished(c, bias, negative_slope)


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
    images, height, width, channels = x.shape
    output = pooled_size((height, width), kernel_size, stride, padding)
    indices = numpy.empty((images, *output, channels), numpy.int32)
    for i, j, rows, columns in _windows((height, width), output, kernel_size, stride, padding):
        window = x[:, rows, columns]
        # argmax gives the first of equal values, and a NaN before everything.
        first = window.reshape(images, window.shape[1] * window.shape[2], channels).argmax(axis=1)
        row, column = numpy.divmod(first, window.shape[2])
        indices[:, i, j] = (rows.start + row) * width + columns.start + column
    return max_pool2d_gather(x, indices), indices


def max_pool2d_gather(x: Array, indices: Array) -> Array:
    y = numpy.empty(indices.shape, x.dtype)
    for n, i, j, c in numpy.ndindex(indices.shape):
        row, column = divmod(indices[n, i, j, c], x.shape[2])
        y[n, i, j, c] = x[n, row, column, c]
    return y


def max_pool2d_scatter(g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    x = numpy.zeros((g.shape[0], *size, g.shape[3]), g.dtype)
    for n, i, j, c in numpy.ndindex(indices.shape):
        row, column = divmod(indices[n, i, j, c], size[1])
        x[n, row, column, c] += g[n, i, j, c]
    return x


def avg_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    size = x.shape[1:3]
    output = pooled_size(size, kernel_size, stride, padding)
    y = numpy.empty((x.shape[0], *output, x.shape[3]), x.dtype)
    for i, j, rows, columns in _windows(size, output, kernel_size, stride, padding):
        y[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    return y


def avg_pool2d_data(g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    x = numpy.zeros((g.shape[0], *size, g.shape[3]), g.dtype)
    for i, j, rows, columns in _windows(size, g.shape[1:3], kernel_size, stride, padding):
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        x[:, rows, columns] += g[:, None, None, i, j] / pixels
    return x


def column_sums(x: Array) -> Array:
    return x.sum(axis=tuple(range(x.ndim - 1)), dtype=numpy.float64).astype(x.dtype)


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float, over_all: Average | None = None
) -> tuple[Array, Array, Array]:
    others = tuple(range(x.ndim - 1))
    exact = x.astype(numpy.float64)
    mean = exact.mean(axis=others)
    var = ((exact - mean) ** 2).mean(axis=others)
    mean, var = moments.of_all(mean, var, over_all)
    z = gamma * (exact - mean) / numpy.sqrt(var + eps) + beta
    y = leaky_relu(z, negative_slope)
    return y.astype(x.dtype), mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_backward(
    g: Array,
    x: Array,
    y: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    negative_slope: float,
    over_all: Average | None = None,
) -> tuple[Array, Array, Array]:
    others = tuple(range(x.ndim - 1))
    deviation = numpy.sqrt(var.astype(numpy.float64) + eps)
    normalised = (x - mean) / deviation
    g_z = leaky_relu_backward(g, y, negative_slope)
    g_beta = g_z.sum(axis=others, dtype=numpy.float64)
    g_gamma = (g_z * normalised).sum(axis=others)
    count = x.size // x.shape[-1]
    all_g, all_products = moments.sums_of_all(g_beta, g_gamma, over_all)
    # x also changes the mean and the deviation: the subtracted terms are the gradients through
    # them.
    g_x = gamma / deviation * (g_z - all_g / count - normalised * all_products / count)
    return g_x.astype(x.dtype), g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def group_norm(x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    exact, one_group = _grouped(x, groups), (1, 3)
    mean, var = exact.mean(axis=one_group, keepdims=True), exact.var(axis=one_group, keepdims=True)
    y = _grouped(gamma[None], groups) * (exact - mean) / numpy.sqrt(var + eps) + _grouped(beta[None], groups)
    of_channels = (numpy.repeat(moment.reshape(len(x), groups), exact.shape[3], axis=1) for moment in (mean, var))
    return y.reshape(x.shape).astype(x.dtype), *(moment.astype(x.dtype) for moment in of_channels)


def group_norm_backward(g: Array, x: Array, gamma: Array, mean: Array, var: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
    exact, g_y, mean, var, one_group = (*(_grouped(a, groups) for a in (x, g, mean, var)), (1, 3))
    deviation = numpy.sqrt(var + eps)
    normalised = (exact - mean) / deviation
    g_normalised = _grouped(gamma[None], groups) * g_y
    through_mean = g_normalised.mean(axis=one_group, keepdims=True)
    through_deviation = (g_normalised * normalised).mean(axis=one_group, keepdims=True)
    g_x = (g_normalised - through_mean - normalised * through_deviation) / deviation
    others = (sums.sum(axis=(0, 1)).reshape(-1).astype(x.dtype) for sums in (g_y * normalised, g_y))
    return g_x.reshape(x.shape).astype(x.dtype), *others


def _grouped(x: Array, groups: int) -> Array:
    """(N, ..., C) -> (N, pixels, groups, channels of a group), float64."""
    return x.astype(numpy.float64).reshape(len(x), -1, groups, x.shape[-1] // groups)


def minibatch_deviation(x: Array, eps: float, batches: int, over_all: Average | None = None) -> tuple[Array, Array, Array]:
    exact = x.astype(numpy.float64, order="C").reshape(-1, batches, *x.shape[1:])
    mean, var = moments.of_all(exact.mean(axis=0), exact.var(axis=0), over_all)
    deviation = numpy.sqrt(var + eps)
    s = deviation.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
    y = numpy.concatenate([exact, numpy.broadcast_to(s, (*exact.shape[:-1], 1))], axis=-1)
    return y.reshape(*x.shape[:-1], -1).astype(x.dtype), mean.astype(x.dtype), deviation.astype(x.dtype)


def minibatch_deviation_backward(g: Array, x: Array, mean: Array, deviation: Array, over_all: Average | None = None) -> Array:
    examples = x.reshape(-1, *mean.shape)
    g_s = g[..., -1].reshape(*examples.shape[:-1], 1).sum(axis=(0, *range(2, examples.ndim)), keepdims=True, dtype=numpy.float64)
    if over_all is not None:
        g_s = over_all(g_s)
    of_x = g_s * len(mean) / x.size * (examples - mean) / deviation
    return (g[..., :-1] + of_x.reshape(x.shape)).astype(x.dtype, order="C")


def leaky_relu(x: Array, negative_slope: float) -> Array:
    return leaky_relu_backward(x, x, negative_slope)


def leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> Array:
    return numpy.where(y <= 0, negative_slope * g if negative_slope else 0, g)


def bias_leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> tuple[Array, Array]:
    g_z = leaky_relu_backward(g, y, negative_slope)
    return g_z, column_sums(g_z)


def dropout(x: Array, p: float, seed: int | Array, first: int = 0) -> Array:
    pairs = numpy.arange(first // 2, -(-(first + x.size) // 2), dtype=numpy.uint64)
    words = numpy.stack(_philox(pairs, int(seed)), axis=1).ravel()[first % 2 :][: x.size].reshape(x.shape)
    return x * numpy.where(words < round(p * 2**32), 0, 1 / (1 - p)).astype(x.dtype)


def tanh_backward(g: Array, y: Array) -> Array:
    return g * (1 - y**2)


def sigmoid(x: Array) -> Array:
    return numpy.exp(-numpy.logaddexp(0, -x))


def softplus(x: Array) -> Array:
    return numpy.logaddexp(x, 0)


def binary_cross_entropy(z: Array, t: Array | float) -> Array:
    return softplus(z) - z * t


def binary_cross_entropy_backward(g: Array, z: Array, t: Array | float) -> Array:
    return g * (sigmoid(z) - t)


def blend(a: Arrays, b: Arrays, shares: Array | tuple[float, float]) -> None:
    sets = (arrays if isinstance(arrays, tuple) else (arrays,) for arrays in (a, b))
    for moved, other in zip(*sets, strict=True):
        moved[...] = shares[0] * moved + shares[1] * other


def adam(p: Arrays, g: Arrays, m: Arrays, v: Arrays, constants: Array) -> None:
    d, b1, c1, b2, c2, r, e = constants
    sets = (arrays if isinstance(arrays, tuple) else (arrays,) for arrays in (p, g, m, v))
    for parameter, gradient, mean, mean_square in zip(*sets, strict=True):
        mean[...] = b1 * mean + c1 * gradient
        mean_square[...] = b2 * mean_square + c2 * gradient**2
        parameter[...] = d * parameter - r * mean / (numpy.sqrt(mean_square) + e)


def _philox(counters: Array, seed: int) -> tuple[Array, Array]:
    """Two random words of 32 bits for each counter."""
    stream, key = divmod(seed, 2**32)
    left, right = counters, numpy.full_like(counters, stream)
    for _ in range(10):
        product = 0xD256D193 * left
        left, right = (product >> 32) ^ key ^ right, product & 0xFFFFFFFF
        key = (key + 0x9E3779B9) % 2**32
    return left, right


def _windows(size: Pair, output: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Iterator[tuple[int, int, slice, slice]]:
    """Each output pixel (i, j), and the rows and columns of its window inside the image."""
    for i, j in numpy.ndindex(*output):
        top, left = i * stride[0] - padding[0][0], j * stride[1] - padding[1][0]
        rows = slice(max(top, 0), min(top + kernel_size[0], size[0]))
        columns = slice(max(left, 0), min(left + kernel_size[1], size[1]))
        yield i, j, rows, columns
