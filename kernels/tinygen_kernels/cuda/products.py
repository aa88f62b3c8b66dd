"""Which matrix products a convolution is, and how they are divided into blocks.

This computes with shapes only, not with arrays. A GPU has about a hundred multiprocessors, and each
needs several blocks at a time, or it waits for memory. Large tiles read less but give few blocks;
small tiles give many. If even small tiles give too few, a long sum over k is divided into pieces.
"""

import functools
from itertools import product
from math import gcd
from typing import NamedTuple

from tinygen_kernels import Padding, Pair
from tinygen_kernels.cuda import tensor_cores
from tinygen_kernels.cuda.compiler import SIMULATED
from tinygen_kernels.cuda.operands import Axis, Geometry
from tinygen_kernels.cuda.tile import LARGE, NARROW, SMALL, TALL, TINY, Tile
from tinygen_kernels.geometry import output_size

_SHORTEST = 32 if SIMULATED else 256  # the shortest sum over k that is worth a block of its own


class Product(NamedTuple):
    """The tile that each block computes, and the geometry."""

    tile: Tile
    geometry: Geometry
    blocks: int  # one for each piece of each tile of each phase
    partial: int  # sums that blocks leave in memory if k is in pieces


def product_of(images: int, channels: int, outputs: int, axes: tuple[Axis, Axis], precision: str, processors: int, weight: bool) -> Product:
    """The product of conv2d, of phases of conv2d_data or, if `weight`, of conv2d_weight.

    A piece is a number of whole slabs. There are as many pieces as all multiprocessors can hold at
    once, unless pieces would be too short.
    """
    rows, columns = axes
    pixels, taps, phases = images * rows.grid * columns.grid, rows.taps * columns.taps * channels, rows.phases * columns.phases
    m, k = (taps, pixels) if weight else (pixels, taps)
    most = max(1, k // _SHORTEST)
    tile = choose(m, outputs, phases * most, precision, processors)
    tiles = tile.blocks(m, outputs)
    pieces = min(most, max(1, tile.wanted * processors // max(1, phases * tiles)))
    piece = max(1, -(-k // (pieces * tile.depth))) * tile.depth
    pieces, stacked = max(1, -(-k // piece)), int(phases > rows.apart * columns.apart)
    blocks = phases * tiles * pieces
    partial = blocks * tile.rows * tile.columns if pieces > 1 else 0
    return Product(tile, Geometry(m, outputs, k, tiles, piece, pieces, channels, rows, columns, stacked), blocks, partial)


def choose(m: int, n: int, pieces: int, precision: str, processors: int) -> Tile:
    """The tile for a product (m, n) of `pieces` pieces in "float32", "float64" or "tf32"."""
    if SIMULATED:
        return tensor_cores.TINY if precision == "tf32" else TINY
    if precision == "float64":
        return SMALL  # a larger tile would need more registers than there are
    if precision == "tf32":
        small = tensor_cores.SMALL
        large = tensor_cores.LARGE if n > small.columns else small
    elif n <= NARROW.columns:
        return NARROW
    else:
        small, large = SMALL, LARGE if n > TALL.columns else TALL
    return large if m > small.rows and large.blocks(m, n) * pieces >= large.wanted * processors else small


@functools.lru_cache(4096)
def stacked(images: int, m: int) -> tuple[Axis, Axis]:
    """The rows and columns of products of stacked matrices, each an image of m rows and one column."""
    return Axis(m, m, 1, 1, 1, 0, m, phases=images), Axis(1, 1, 1, 1, 1, 0, 1)


@functools.lru_cache(4096)
def sliding(size: Pair, taps: Pair, stride: Pair, padding: Padding, dilation: Pair) -> tuple[Axis, Axis]:
    """The rows and columns of conv2d and conv2d_weight. Raises ValueError as `output_size` does."""
    output = output_size(size, taps, stride, padding, dilation)
    rows, columns = (Axis(output[i], size[i], taps[i], stride[i], dilation[i], -padding[i][0], output[i]) for i in (0, 1))
    return rows, columns


@functools.lru_cache(4096)
def phases(
    output: Pair, size: Pair, taps: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[tuple[Pair, Pair, tuple[Axis, Axis]], ...]:
    """The launches of conv2d_data, one for all phases that meet equally many taps.

    Each launch has its taps along the rows and along the columns, and its axes. Of taps (first,
    step), phase p has those of the kernel numbered first + p + i*step for 0 <= i < taps.
    """
    rows, columns = (_phases(output[i], size[i], taps[i], stride[i], padding[i][0], dilation[i]) for i in (0, 1))
    return tuple((row_taps, column_taps, (row, column)) for (row_taps, row), (column_taps, column) in product(rows, columns))


def _phases(output: int, size: int, taps: int, stride: int, before: int, dilation: int) -> list[tuple[Pair, Axis]]:
    """The phases along one axis that meet at least one tap.

    Pixel p of x meets tap t at pixel (p + before - t*dilation) / stride of y, if that is an
    integer. The taps that it meets are a, a + step, a + 2 step, ... for some a < step, where step =
    stride / gcd(stride, dilation). With q = a*dilation + (-before % stride),

        p % stride = q % stride,    pixel of y = p // stride + ceil(before / stride) - q // stride
    """
    step = stride // gcd(stride, dilation)
    each, more = divmod(taps, step)
    found = []
    for first, count_phases, count in (0, more, each + 1), (more, step - more, each):
        if count_phases and count:
            axis = Axis(
                -(-output // stride), size, count, 1, -(step * dilation // stride), -(-before // stride), output,
                stride, count_phases, first * dilation + -before % stride, dilation,
            )  # fmt: skip
            found.append(((first, step), axis))
    return found
