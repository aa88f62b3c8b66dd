# mypy: allow-untyped-defs
"""Weights in the order in which the register tile reads them.

`plan.py` explains the words strip, panel and tile.
"""

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.simd import tile_width

# `as_panels` copies weights so that a tile reads them from consecutive addresses. This pays from so
# many weights and output pixels on. Fewer weights stay in the first-level cache, where their order
# does not matter.
_WORTH_A_COPY = (300_000, 64), (1 << 16, 128), (1 << 13, 512)
_PART = 512  # rows of a panel that one thread copies at a time, about


def strip_count(outputs: int, dtype: numpy.dtype) -> int:
    return -(-outputs // tile_width(dtype))


def as_panels(w: Array, taps: int, outputs: int, pixels: int, transposed: bool) -> tuple[Array, int, int]:
    """Returns (weights, row stride, panel stride), with strides in elements.

    w is (taps, length, outputs) or, if transposed, (taps, outputs, length). A panel holds the
    weights of one strip of output channels; its row t*length + c holds those of tap t and input
    channel c. The weights are copied to (strips, taps, length, tile width), with zeros at the end
    of the last strip. They are not copied if w has this order already, or if its rows are whole
    tiles and the copy would cost more than it saves at this number of output pixels.
    """
    width = tile_width(w.dtype)
    worth_it = outputs != width and any(w.size >= weights and pixels >= least for weights, least in _WORTH_A_COPY)
    if not worth_it and outputs % width == 0 and not transposed:
        return flat(w), outputs, width
    matrices = flat(w).reshape(taps, *((outputs, -1) if transposed else (-1, outputs)))
    packed = empty((strip_count(outputs, w.dtype), taps, w.size // (taps * outputs), width), w.dtype)
    parts = -(-packed.shape[2] // _PART)
    launch(_pack, len(packed) * taps * parts, matrices, transposed, parts, packed)
    return packed.reshape(-1), width, packed[0].size


@helper
def copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


@helper
def add(source, target):
    for i in range(target.size):
        target[i] += source[i]


def _pack(item, w, transposed, parts, packed):
    """Copy a part of the rows of one tap into its panel. They are divided into `parts` parts."""
    _, taps, length, width = packed.shape
    part, tap, strip = item % parts, item // parts % taps, item // (parts * taps)
    first, last = strip * width, min(strip * width + width, w.size // (taps * length))
    low, high = part * length // parts, (part + 1) * length // parts
    panel = packed[strip, tap, low:high]
    panel[:, last - first :] = 0
    if transposed:
        for output in range(first, last):
            copy(w[tap, output, low:high], panel[:, output - first])
    else:
        for row in range(low, high):
            copy(w[tap, row, first:last], panel[row - low])
