# mypy: allow-untyped-defs
"""Weights in the order in which the register tile reads them."""

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import helper, launch
from tinygen_kernels.cpu.simd import tile_width

# Copying is not worth it for fewer pixels than this, nor for fewer weights: these stay in the nearest cache in any order.
_FEW_PIXELS, _FEW_WEIGHTS = 512, 1 << 13


def strip_count(outputs: int, dtype: numpy.dtype) -> int:
    return -(-outputs // tile_width(dtype))


def as_panels(w: Array, taps: int, outputs: int, pixels: int, transposed: bool) -> tuple[Array, int, int]:
    """The weights w (taps, length, outputs), or (taps, outputs, length) where transposed, as the tiles for so many pixels read them.

    That is: for each strip of outputs a panel of rows, one for each tap and number of a tap; and the elements from one row of a panel
    to the next, and from one panel to the next. Weights are copied, as (strips, taps, length, tile width) with the last strip filled up
    with zeros, unless w lies so already, or its rows are whole tiles and a copy would not be worth it.
    """
    width = tile_width(w.dtype)
    as_it_is = outputs == width or pixels < _FEW_PIXELS or w.size < _FEW_WEIGHTS
    if as_it_is and outputs % width == 0 and not transposed:
        return flat(w), outputs, width
    packed = empty((strip_count(outputs, w.dtype), taps, w.size // (taps * outputs), width), w.dtype)
    launch(_pack, len(packed) * taps, flat(w).reshape(taps, *((outputs, -1) if transposed else (-1, outputs))), transposed, packed)
    return packed.reshape(-1), width, packed[0].size


@helper
def copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


def _pack(item, w, transposed, packed):
    _, taps, length, width = packed.shape
    tap, strip = item % taps, item // taps
    first, last = strip * width, min(strip * width + width, w.size // (taps * length))
    panel = packed[strip, tap]
    panel[:, last - first :] = 0
    if transposed:
        for output in range(first, last):
            copy(w[tap, output], panel[:, output - first])
    else:
        for row in range(length):
            copy(w[tap, row, first:last], panel[row])
