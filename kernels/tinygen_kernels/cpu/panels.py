# mypy: allow-untyped-defs
"""Weights in the order in which the register tile reads them."""

from typing import NamedTuple

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import launch, serial
from tinygen_kernels.cpu.simd import tile_width

# What does not repay that weights are copied: fewer pixels that use them, or fewer weights, which stay in the nearest cache anyway.
_FEW_PIXELS, _FEW_WEIGHTS = 512, 1 << 13


class Panels(NamedTuple):
    """Weights as the tiles read them: for each strip of outputs a panel of rows, one for each tap and number of a tap.

    row, strip: the elements from one row of a panel to the next, and from one panel to the next.
    """

    weights: Array
    row: int
    strip: int


def strip_count(outputs: int, dtype: numpy.dtype) -> int:
    return -(-outputs // tile_width(dtype))


def as_panels(w: Array, taps: int, length: int, outputs: int, pixels: int, transposed: bool = False) -> Panels:
    """The panels of w (taps, length, outputs), or (taps, outputs, length) where transposed, for so many output pixels.

    They are copied, as (strips, taps, length, tile width) with the last strip filled up with zeros, unless w lies so already, or its
    rows are whole tiles and a copy would not be worth it.
    """
    width = tile_width(w.dtype)
    as_it_is = outputs == width or pixels < _FEW_PIXELS or w.size < _FEW_WEIGHTS
    if as_it_is and outputs % width == 0 and not transposed:
        return Panels(flat(w), outputs, width)
    items = strip_count(outputs, w.dtype) * taps
    packed = empty(items * length * width, w.dtype)
    launch(_pack, items, flat(w), taps, length, outputs, transposed, width, packed)
    return Panels(packed, width, taps * length * width)


@serial
def copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


def _pack(item, w, taps, length, outputs, transposed, width, panels):
    tap, first = item % taps, item // taps * width
    last = min(first + width, outputs)
    panel = panels[item * length * width : (item + 1) * length * width].reshape(length, width)
    panel[:, last - first :] = 0
    if transposed:
        turned = w.reshape(taps, outputs, length)
        for output in range(first, last):
            copy(turned[tap, output], panel[:, output - first])
    else:
        straight = w.reshape(taps, length, outputs)
        for row in range(length):
            copy(straight[tap, row, first:last], panel[row])
