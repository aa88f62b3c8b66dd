"""Which pixel meets which: sizes, paddings and the source table of a convolution.

These are plain integers, without image data. Along one axis, output pixel i reads input pixel

    source = i*stride - before + t*dilation

at kernel tap t, where `before` is the padding at the beginning. Everything here follows from that
line.
"""

from collections.abc import Iterator
from typing import Any

import numpy

from tinygen_kernels import Array, Padding, Pair


def pair(value: Any, what: str) -> Pair:
    """(rows, columns) from one integer for both, or from two. `what` names the value in the error.

    Raises ValueError if value is neither an integer nor a pair of integers.
    """
    if _is_integer(value):
        return int(value), int(value)
    if isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_integer, value)):
        return int(value[0]), int(value[1])
    raise ValueError(f"{what} is an integer or a pair of integers (rows, columns), not {value!r}")


def resolve_padding(padding: Any, size: Pair, kernel_size: Pair, stride: Pair, dilation: Pair) -> Padding:
    """The rows and columns of zeros around an image: ((top, bottom), (left, right)).

    padding is an integer for all four sides, a pair (rows, columns), the four sides themselves,
    "valid" (none), or "same". With "same" the output size is ceil(size / stride), and an odd extra
    row or column goes to the bottom or right, as in TensorFlow.

    Raises ValueError if padding is none of these, or negative.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        return _same(size[0], kernel_size[0], stride[0], dilation[0]), _same(size[1], kernel_size[1], stride[1], dilation[1])
    if isinstance(padding, tuple | list) and len(padding) == 2 and any(isinstance(side, tuple | list) for side in padding):
        sides = pair(padding[0], "padding of the rows"), pair(padding[1], "padding of the columns")
    elif isinstance(padding, str):
        raise ValueError(f'padding is "same", "valid", an integer, a pair or ((top, bottom), (left, right)), not {padding!r}')
    else:
        rows, columns = pair(padding, "padding")
        sides = (rows, rows), (columns, columns)
    if min(*sides[0], *sides[1]) < 0:
        raise ValueError(f"padding cannot be negative, but is {padding}; crop the image instead")
    return sides


def output_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """The number of positions, (rows, columns), at which the window fits into the padded image.

    Raises ValueError if there are none.
    """
    span = _span(kernel_size[0], dilation[0]), _span(kernel_size[1], dilation[1])
    padded = size[0] + sum(padding[0]), size[1] + sum(padding[1])
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"a window of {span[0]}x{span[1]} (kernel {kernel_size[0]}x{kernel_size[1]}, dilation {dilation}) does not fit into "
            f"an image of {padded[0]}x{padded[1]} ({size[0]}x{size[1]} with padding {padding}); pad more or take a smaller kernel"
        )
    return (padded[0] - span[0]) // stride[0] + 1, (padded[1] - span[1]) // stride[1] + 1


def pooled_size(size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Pair:
    """output_size for pooling. Padding has no value, so every window needs a pixel of the image.

    Raises ValueError if the image has no pixel, if a padding is as large as the window, or if the
    window does not fit.
    """
    if not all(size):
        raise ValueError(f"an image of {size[0]}x{size[1]} has no pixel to pool; it needs at least one row and one column")
    if max(padding[0]) >= kernel_size[0] or max(padding[1]) >= kernel_size[1]:
        raise ValueError(f"padding {padding} leaves windows of {kernel_size[0]}x{kernel_size[1]} without a pixel; it must be smaller")
    return output_size(size, kernel_size, stride, padding)


def transposed_size(
    size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Any,
    output_padding: Any = 0,
    output_size: Any = None,
    dilation: Pair = (1, 1),
) -> tuple[Pair, Padding]:
    """The output size of a transposed convolution, and the padding of the one it transposes.

    That convolution maps an image of the output size to one of `size`. Along each axis it does so
    for `stride` different sizes, from

        smallest = (size - 1)*stride + (kernel_size - 1)*dilation + 1 - padding on both sides

    to smallest + stride - 1. The output size is smallest + output_padding, or output_size if that
    is given. padding is an integer, a pair, the four sides, "valid" or "same"; with "same" the
    output size is size * stride unless output_size is given.

    Raises ValueError if output_size is not one of those sizes, if output_padding is not smaller
    than stride, or if the output size would be less than 1.
    """
    extra = pair(output_padding, "output_padding")
    if not (0 <= extra[0] < stride[0] and 0 <= extra[1] < stride[1]):
        raise ValueError(f"output_padding {extra} must be at least 0 and smaller than stride {stride}")
    if extra != (0, 0) and (output_size is not None or padding == "same"):
        raise ValueError(f'output_padding {extra} has no effect if output_size or "same" padding determines the size; leave it out')

    if padding == "same":
        sides: Padding | None = None
        smallest = (size[0] - 1) * stride[0] + 1, (size[1] - 1) * stride[1] + 1
        usual = size[0] * stride[0], size[1] * stride[1]
    else:
        sides = resolve_padding(padding, size, kernel_size, stride, dilation)
        smallest = (
            (size[0] - 1) * stride[0] + _span(kernel_size[0], dilation[0]) - sum(sides[0]),
            (size[1] - 1) * stride[1] + _span(kernel_size[1], dilation[1]) - sum(sides[1]),
        )
        usual = smallest[0] + extra[0], smallest[1] + extra[1]

    output = usual if output_size is None else pair(output_size, "output_size")
    if not (0 <= output[0] - smallest[0] < stride[0] and 0 <= output[1] - smallest[1] < stride[1]):
        raise ValueError(
            f"output_size {output} is not possible: input {size}, kernel {kernel_size}, stride {stride}, padding {padding} "
            f"and dilation {dilation} allow {smallest[0]} to {smallest[0] + stride[0] - 1} rows "
            f"and {smallest[1]} to {smallest[1] + stride[1] - 1} columns"
        )
    if min(output) < 1:
        raise ValueError(
            f"nothing is left of the image: input {size}, kernel {kernel_size}, stride {stride} "
            f"and padding {padding} give {output}; pad less"
        )
    return output, sides or resolve_padding("same", output, kernel_size, stride, dilation)


def taps(kernel_size: Pair, output: Pair, stride: Pair, dilation: Pair) -> Iterator[tuple[Pair, slice, slice]]:
    """Each tap (a, b), with the rows and columns of the padded image that are read at this tap.

    `output` is the size of the output.
    """
    for a, b in numpy.ndindex(*kernel_size):
        top, left = a * dilation[0], b * dilation[1]
        rows = slice(top, top + (output[0] - 1) * stride[0] + 1, stride[0])
        columns = slice(left, left + (output[1] - 1) * stride[1] + 1, stride[1])
        yield (a, b), rows, columns


def source_tables(size: Pair, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> tuple[Array, Array]:
    """The rows and the columns that are read: rows[i, a] by output row i at row a of the kernel.

    -1 stands for a row or column outside the image. Output pixel (i, j) reads input pixel
    (rows[i, a], columns[j, b]) at kernel tap (a, b). Shapes (output rows, kernel rows) and (output
    columns, kernel columns), int64.
    """
    output = output_size(size, kernel_size, stride, padding, dilation)
    rows, columns = (
        (numpy.arange(output[axis]) * stride[axis] - padding[axis][0])[:, None] + numpy.arange(kernel_size[axis]) * dilation[axis]
        for axis in (0, 1)
    )
    return numpy.where((rows >= 0) & (rows < size[0]), rows, -1), numpy.where((columns >= 0) & (columns < size[1]), columns, -1)


def inverse_table(source: Array, inputs: int) -> Array:
    """The inverse of a source table of rows or of columns, of which the input has so many.

    table[source[i, t], t] = i, or -1 if no output reads the input at tap t. It is well defined
    because two outputs never read the same input at the same tap. Shape (inputs, taps), int64.
    """
    inverse = numpy.full((inputs, source.shape[1]), -1)
    i, tap = numpy.nonzero(source >= 0)
    inverse[source[i, tap], tap] = i
    return inverse


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | numpy.integer) and not isinstance(value, bool)


def _span(kernel_size: int, dilation: int) -> int:
    return (kernel_size - 1) * dilation + 1


def _same(size: int, kernel_size: int, stride: int, dilation: int) -> Pair:
    output = -(-size // stride)
    total = max((output - 1) * stride + _span(kernel_size, dilation) - size, 0)
    return total // 2, total - total // 2
