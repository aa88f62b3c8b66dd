# mypy: allow-untyped-defs
"""Products of matrices."""

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.conv import ONE_PIXEL, gathered
from tinygen_kernels.cpu.elementwise import leaky_relu
from tinygen_kernels.cpu.memory import contiguous, empty
from tinygen_kernels.cpu.weight import weight_gradient


def matmul(a: Array, b: Array, bias: Array | None = None, negative_slope: float = 1.0) -> Array:
    """The bias is added behind the sum, so the bits are those of a product and a sum."""
    y = _matrix_product(a, b)
    if bias is not None:
        y += bias
    return y if negative_slope == 1 else leaky_relu(y, negative_slope)


def _matrix_product(a: Array, b: Array) -> Array:
    """A 1x1 convolution of images of one pixel.

    If b is transposed in memory, it is conv2d_data. A transposed a would have to be copied. Two
    cases avoid copies: if a is transposed and has more columns than b, the product is computed as a
    weight gradient. If b is transposed and large, (b.T @ a.T).T is computed instead, which copies
    only a and the result. Of stacked matrices, each product is computed by itself.
    """
    if a.ndim > 2:
        y = empty((*a.shape[:-1], b.shape[-1]), a.dtype)
        for place in numpy.ndindex(a.shape[:-2]):
            y[place] = _matrix_product(a[place], b[place])
        return y
    (rows, length), columns = a.shape, b.shape[1]
    if _transposed(a) and length > columns:
        return weight_gradient(a.T[:, None, None, :], b[:, None, None, :], ONE_PIXEL).reshape(rows, columns)
    if _transposed(b) and a.size + rows * columns < b.size:
        return contiguous(_matrix_product(b.T, contiguous(a).T).T)
    w = b.T if _transposed(b) else b
    return gathered(a, w, None, ONE_PIXEL, (rows, columns), data=_transposed(b))


def _transposed(matrix: Array) -> bool:
    return matrix.flags.f_contiguous and not matrix.flags.c_contiguous
