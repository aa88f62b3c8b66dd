"""Convolution as one matrix product (Chellapilla, Puri & Simard, 2006).

Every window is unrolled into a row of a matrix ("image to columns"), and BLAS does the rest:

    columns (N H' W', kh kw C) @ w (kh kw C, K) = y (N H' W', K)

This is rung 6 of the ladder. One large product takes the place of many small ones, and y is written
once, where rung 5 reads and writes it once for each tap. What is still slow: with stride 1 the
columns are kh*kw times as large as the image, and they are written to memory and read again. In the
benchmark's layer, of stride 2, they are 4 times as large, and writing them takes 0.3 of the time. A
loop that keeps its sums in registers, as BLAS does, can read the windows from the image itself. The
kernels of both devices are measured against this. The signatures are those of
`tinygen_kernels.Kernels`.
"""

from tinygen_kernels import Array, Padding, Pair, array_module
from tinygen_kernels.geometry import output_size, taps


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    output = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    y = _columns(x, output, w.shape[:2], stride, padding, dilation) @ w.reshape(-1, w.shape[3])
    if bias is not None:
        y += bias
    return y.reshape(len(x), *output, w.shape[3])


def conv2d_data(y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    kh, kw, channels, outputs = w.shape
    xp = array_module(y)
    columns = (y.reshape(-1, outputs) @ w.reshape(-1, outputs).T).reshape(*y.shape[:3], kh * kw, channels)
    (top, bottom), (left, right) = padding
    padded = xp.zeros((len(y), top + size[0] + bottom, left + size[1] + right, channels), y.dtype)
    for i, (_, rows, across) in enumerate(taps((kh, kw), y.shape[1:3], stride, dilation)):
        padded[:, rows, across] += columns[:, :, :, i]
    x = padded[:, top : top + size[0], left : left + size[1]]
    return xp.ascontiguousarray(x) if bias is None else x + bias


def conv2d_weight(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    columns = _columns(x, y.shape[1:3], size, stride, padding, dilation)
    return (columns.T @ y.reshape(-1, y.shape[3])).reshape(*size, x.shape[3], y.shape[3])


def _columns(x: Array, output: Pair, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    xp = array_module(x)
    padded = xp.pad(x, ((0, 0), *padding, (0, 0)))
    columns = xp.empty((len(x), *output, size[0] * size[1], x.shape[3]), x.dtype)
    for i, (_, rows, across) in enumerate(taps(size, output, stride, dilation)):
        columns[:, :, :, i] = padded[:, rows, across]
    return columns.reshape(-1, size[0] * size[1] * x.shape[3])
