"""Which matrix products a convolution is, and how they are cut into blocks. Shapes in, a plan out: nothing here touches an array.

A GPU has some hundred multiprocessors, and each must have a few blocks at a time, or it waits for memory. Large tiles read less, but
make few blocks; small ones make many. Where even they are too few, a long sum over k is cut into pieces.
"""

from itertools import product
from math import gcd
from typing import Any, NamedTuple

from tinygen_kernels import Padding, Pair
from tinygen_kernels.cuda.launch import SIMULATED
from tinygen_kernels.cuda.operands import Axis, Geometry
from tinygen_kernels.cuda.tile import LARGE, NARROW, SMALL, TALL, TINY, Tile

_SHORTEST = 32 if SIMULATED else 256  # the shortest sum over k that is worth a block of its own


class Product(NamedTuple):
    """The tile that each block makes, and the geometry."""

    tile: Tile
    geometry: Geometry

    @property
    def blocks(self) -> tuple[int, int, int]:
        """Those beside each other, and, in z, those of all phases and pieces."""
        g = self.geometry
        return self.tile.blocks(g.m, g.n), 1, g.rows.phases * g.columns.phases * g.pieces


def product_of(images: int, channels: int, outputs: int, axes: tuple[Axis, Axis], dtype: Any, processors: int, weight: bool) -> Product:
    """conv2d, or phases of conv2d_data; or conv2d_weight.

    Pieces are whole slabs: as many as all multiprocessors can hold at once, unless they would be too short. Their sums are of the whole
    result, so k is not cut where only some of its phases are made.
    """
    rows, columns = axes
    pixels, taps, phases = images * rows.grid * columns.grid, rows.taps * columns.taps * channels, rows.phases * columns.phases
    m, k, plane = (taps, pixels, taps) if weight else (pixels, taps, images * rows.made * columns.made)
    most = max(1, k // _SHORTEST) if phases == rows.apart * columns.apart else 1
    tile = choose(m, outputs, phases * most, dtype, processors)
    pieces = min(most, max(1, tile.wanted * processors // max(1, phases * tile.blocks(m, outputs))))
    piece = max(1, -(-k // (pieces * tile.depth))) * tile.depth
    return Product(tile, Geometry(m, outputs, k, piece, max(1, -(-k // piece)), plane * outputs, channels, rows, columns))


def choose(m: int, n: int, pieces: int, dtype: Any, processors: int) -> Tile:
    """The tile for a product (m, n) of so many pieces."""
    if SIMULATED:
        return TINY
    if dtype != "float32":
        return SMALL  # a larger one would need more registers than there are
    if n <= NARROW.columns:
        return NARROW
    large = LARGE if n > TALL.columns else TALL
    return large if m > SMALL.rows and large.blocks(m, n) * pieces >= large.wanted * processors else SMALL


def sliding(size: Pair, made: Pair, taps: Pair, stride: Pair, padding: Padding, dilation: Pair) -> tuple[Axis, Axis]:
    """The rows and columns of conv2d and conv2d_weight."""
    rows, columns = (Axis(made[i], size[i], taps[i], stride[i], dilation[i], -padding[i][0], made[i]) for i in (0, 1))
    return rows, columns


def phases(
    made: Pair, size: Pair, taps: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> list[tuple[tuple[list[slice], list[slice]], tuple[Axis, Axis]]]:
    """The launches of conv2d_data: phases that meet equally many taps, which those of each row and each column phase are, and the axes."""
    rows, columns = (_phases(made[i], size[i], taps[i], stride[i], padding[i][0], dilation[i]) for i in (0, 1))
    return [((row_taps, column_taps), (row, column)) for (row_taps, row), (column_taps, column) in product(rows, columns)]


def _phases(made: int, size: int, taps: int, stride: int, before: int, dilation: int) -> list[tuple[list[slice], Axis]]:
    """Those along one axis that meet at least one tap.

    Pixel x of the image meets tap t at the place (x + before - t*dilation) / stride of g, where stride divides that. The taps that it
    meets are a, a + step, a + 2 step, ... for an a < step = stride / gcd(stride, dilation). With q = a*dilation + (-before % stride),

        x % stride = q % stride,    place of tap a = x // stride + ceil(before / stride) - q // stride
    """
    step = stride // gcd(stride, dilation)
    each, more = divmod(taps, step)
    found = []
    for first, count_phases, count in (0, more, each + 1), (more, step - more, each):
        if count_phases and count:
            axis = Axis(
                -(-made // stride), size, count, 1, -(step * dilation // stride), -(-before // stride), made,
                stride, count_phases, first * dilation + -before % stride, dilation,
            )  # fmt: skip
            found.append(([slice(a, None, step) for a in range(first, first + count_phases)], axis))
    return found
