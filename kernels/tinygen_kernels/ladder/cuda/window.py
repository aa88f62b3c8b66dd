# mypy: allow-untyped-defs
"""Where the numbers of a convolution are in memory, for all rungs.

x (N, H, W, C), with its border of zeros, w (kh, kw, C, K) and y (N, H', W', K) are flat arrays. An
output pixel is a number from 0 to N H' W' - 1. What it reads at tap (a, b) and channel c is

    x[window(pixel) + a tap_row + b tap_column + c]    and    w[((a kw + b) C + c) K + k]

Indices are cast to integers of 32 bits, since Numba otherwise computes in 64, and unsigned ones
spare its test for negative indices. Where an index only steps through shared memory, 64 bits let the
compiler fold the steps into the read instruction.
"""

from typing import NamedTuple

from numba import int32, uint32

from tinygen_kernels import Pair
from tinygen_kernels.cuda.compiler import device

# Channels of one tap in a slab. Shared memory has 32 banks, which each serve one number at a time: with
# 16 channels, the two pixels that a warp reads lie in different ones.
DEPTH = 16


class Geometry(NamedTuple):
    """Sizes, and distances in x, in numbers."""

    pixels: int  # N H' W'
    outputs: int  # K
    channels: int  # C
    rows: int  # kh
    columns: int  # kw
    output_rows: int  # H'
    output_columns: int  # W'
    image_step: int  # between two images
    row_step: int  # between the windows of two output pixels, one below the other
    column_step: int  # between those of two neighbours
    tap_row: int
    tap_column: int
    slabs: int  # of all taps together


def geometry(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: Pair, dilation: Pair) -> Geometry:
    """The geometry of arrays of these shapes."""
    (images, output_rows, output_columns, outputs), (rows, columns, channels, _) = y, w
    line, slabs = x[2] * channels, rows * columns * -(-channels // DEPTH)
    return Geometry(
        images * output_rows * output_columns, outputs, channels, rows, columns, output_rows, output_columns, x[1] * line,
        stride[0] * line, stride[1] * channels, dilation[0] * line, dilation[1] * channels, slabs,
    )  # fmt: skip


@device
def window(pixel, g):
    """The index in x at which the window of an output pixel begins; of the last pixel for one beyond it."""
    pixel = uint32(min(uint32(pixel), uint32(g.pixels - 1)))
    line = uint32(pixel // uint32(g.output_columns))
    image = uint32(line // uint32(g.output_rows))
    row, column = int32(line - image * g.output_rows), int32(pixel - line * g.output_columns)
    return int32(image * g.image_step + row * g.row_step + column * g.column_step)


@device
def slab(number, g):
    """Slab `number` of the sum is up to DEPTH channels of one tap. Where fewer are left, it is filled up with zeros.

    Returns how far they are from the beginning of a window in x, their first row of w, and how many
    channels are left.
    """
    parts = uint32((uint32(g.channels) + uint32(DEPTH - 1)) // uint32(DEPTH))
    tap = uint32(uint32(number) // parts)
    channel = int32((number - tap * parts) * DEPTH)
    a = uint32(tap // uint32(g.columns))
    b = uint32(tap - a * g.columns)
    return int32(a * g.tap_row + b * g.tap_column + channel), int32(tap * g.channels + channel), int32(g.channels - channel)
