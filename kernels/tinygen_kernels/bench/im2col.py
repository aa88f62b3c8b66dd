"""Convolution as one matrix product: every window unrolled into a row of a matrix ("image to columns"), the rest left to BLAS.

    columns (N H' W', kh kw C) @ w (kh kw C, K) = y (N H' W', K)

Chellapilla, Puri & Simard, 2006. Most of the time goes into the columns: each number of the image is copied kh*kw times. Signatures
as in `tinygen_kernels.Kernels`, for dilation 1.
"""

import numpy
from numpy.lib.stride_tricks import sliding_window_view

from tinygen_kernels import Array, Padding, Pair


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    windows = _windows(x, w.shape[:2], stride, padding)
    y = windows.reshape(-1, w[..., 0].size) @ w.reshape(-1, w.shape[3])
    y = y if bias is None else y + bias
    return y.reshape(*windows.shape[:3], w.shape[3])


def conv2d_data(g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    images, rows, columns, outputs = g.shape
    kh, kw, channels, _ = w.shape
    windows = (g.reshape(-1, outputs) @ w.reshape(-1, outputs).T).reshape(images, rows, columns, kh, kw, channels)
    (top, bottom), (left, right) = padding
    padded = numpy.zeros((images, top + size[0] + bottom, left + size[1] + right, channels), g.dtype)
    for a, b in numpy.ndindex(kh, kw):
        padded[:, a : a + rows * stride[0] : stride[0], b : b + columns * stride[1] : stride[1]][:, :rows, :columns] += windows[
            :, :, :, a, b
        ]
    x = padded[:, top : top + size[0], left : left + size[1]]
    return numpy.ascontiguousarray(x) if bias is None else x + bias


def conv2d_weight(x: Array, g: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    channels, outputs = x.shape[3], g.shape[3]
    columns = _windows(x, size, stride, padding).reshape(-1, size[0] * size[1] * channels)
    return (columns.T @ g.reshape(-1, outputs)).reshape(*size, channels, outputs)


def _windows(x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
    """(N, H', W', kh, kw, C), a view."""
    padded = numpy.pad(x, ((0, 0), *padding, (0, 0)))
    windows = sliding_window_view(padded, kernel_size, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    return windows.transpose(0, 1, 2, 4, 5, 3)
