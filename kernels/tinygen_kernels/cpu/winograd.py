# mypy: allow-untyped-defs
"""Convolutions with fewer multiplications (Winograd 1980; Lavin & Gray 2015).

`winograd_matrices.py` explains F(m x m, r x r): (m + r - 1)^2 products give a *tile* of m x m
outputs of a kernel of r x r taps from a *patch* of inputs, y = A^T [(G g G^T) * (B^T d B)] A. Here
is the whole convolution.

A 4x4 kernel of stride 2, as in a DCGAN, is four 2x2 kernels of stride 1. Its tap (2a + p, 2b + q)
meets only pixels of one *phase*: those whose row, counted from the border on, is even or odd as p
is, and whose column is as q. So the phases are like further input channels of a 2x2 kernel, for
which F(2x2, 2x2) takes 9 products in the place of 16 and F(4x4, 2x2) 25 in the place of 64.
Backwards, each phase of the result is a 2x2 convolution of its own.

With channels, each of the positions in a patch is a *plane*: a matrix with a row for each tile and
a column for each channel. The sum over the input channels C is a product of each plane with a
matrix (C, K) of the weights, K being the output channels, and A^T is applied only once, to the sum.
For F(2x2, 3x3):

    images (N, H, W, C)   ->  16 planes (tiles, C)   B^T d B
    w (3, 3, C, K)        ->  16 planes (C, K)       G g G^T
    their products            16 planes (tiles, K)
    result (N, H', W', K) <-  2x2 pixels per tile    A^T m A, then bias and leaky ReLU

`_convolve` does so for a *block* of tiles at a time, whose planes stay in the second-level cache if
there are not too many channels, with the register tile of the other products. Padding and tiles
that hang over the edge cost only what they compute: pixels outside the image count as zeros,
and those outside the result are not kept. The gradient of the image is a convolution with the
kernel rotated by 180 degrees and its channels exchanged.

What it costs. New are the additions of the transforms, their memory traffic, and the transform of
the weights, which makes them larger: four times as large in F(4x4, 3x3). Each transformed number is
used for all channels of the other side, so many channels pay for that. Of the direct convolution's
time, F(2x2, 3x3) then takes 0.5 to 0.8, F(4x4, 3x3) 0.3 to 0.9, F(2x2, 2x2) 0.7 to 0.9 and F(4x4,
2x2) 0.5 to 0.9 (Zen 4, with AVX-512). `choice` takes the one that needs the fewest multiplications,
under these conditions:

- Multiples of 32 input and output channels, so that all vectors and all strips are full. 16 -> 32
  took from 0.8 to 1.4 of the time.
- At most 0.75 of the multiplications. The direct convolution skips the taps outside the image, and
  a tile that hangs over the edge computes more than is kept. So with a border of one pixel, 6x6 needs
  0.56 of them, but 5x5 0.85, which gained nothing.
- Tiles of 4x4 only if there are four in an image, because their weights are large.

The number of images does not count, so that an image has the same bits alone and in a batch. What
that costs: the weights are transformed for a single image, too. 16x16x64 -> 128 with a 4x4 kernel
takes 3.3 of the direct time alone (0.4 ms), 0.9 in a batch of 4 and 0.6 in one of 16.
"""

import functools
import itertools

import numpy

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.panels import as_panels
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import Window, product_table
from tinygen_kernels.cpu.simd import PIXELS, gather_tile, prefetch, tile_width
from tinygen_kernels.cpu.team import threads
from tinygen_kernels.cpu.vector import LINE_BYTES
from tinygen_kernels.cpu.winograd_matrices import ALGORITHMS, F_2_2, F_2_3, F_4_2, F_4_3, F
from tinygen_kernels.cpu.winograd_tiles import kernel_tile, patch_tile, result_tile

_CHANNELS, _WORTH = 32, 0.75  # see above
_BY_WINDOW = {((3, 3), (1, 1), (1, 1)): (F_2_3, F_4_3), ((4, 4), (2, 2), (1, 1)): (F_2_2, F_4_2)}  # kernel size, stride, dilation
_LEAST_TILES = 4  # of an image, where they are larger than 2x2
_TILES = 28 // PIXELS * PIXELS  # of a block, at most
# Of a strip. Since all strips are full, this is what is left of the channels for `gather_tile`, and the
# compiler leaves out its ways for other numbers.
WIDTH = tile_width(numpy.dtype(numpy.float32))
TILE_SIDES = tuple(f.tile for f in ALGORITHMS)


def choice(images: Array, window: Window, shape: tuple[int, ...], data: bool = False) -> F | None:
    """The fastest way to a result of this shape, of conv2d or, if `data`, of conv2d_data; None if that is the direct one."""
    channels, outputs = images.shape[-1], shape[-1]
    if images.dtype != numpy.float32 or not channels or not outputs or channels % _CHANNELS or outputs % _CHANNELS:
        return None
    return _least(images.shape[1:-1], window, shape[1:-1], data)


@functools.lru_cache(1024)
def _least(size: tuple[int, ...], window: Window, result: tuple[int, ...], data: bool) -> F | None:
    """The F that needs the fewest multiplications for one image, if they are few enough."""
    kernel_size, stride, padding, dilation = window
    least, best = numpy.inf, None
    for f in _BY_WINDOW.get((kernel_size, stride, dilation), ()):
        tiles = tile_count((1, *result), f, stride[0] if data else 1)
        multiplications = tiles * (f.size * stride[0]) ** 2
        if multiplications < least and (f.tile == 2 or tiles >= _LEAST_TILES):
            least, best = multiplications, f
    if best is None:
        return None
    x, y = (result, size) if data else (size, result)
    direct = [_used_taps(x[axis], y[axis], padding[axis][0], kernel_size[axis], stride[axis]) for axis in (0, 1)]
    return best if least <= _WORTH * direct[0] * direct[1] else None


def _used_taps(size: int, outputs: int, before: int, taps: int, stride: int) -> int:
    """How many taps of all output pixels along an axis are inside the image: those of pixels i * stride + t - before."""
    return sum(0 <= i * stride + t - before < size for t in range(taps) for i in range(outputs))


@helper
def tiles_along(size, pixels):
    """The number of tiles in `size` pixels if a tile is `pixels` wide."""
    return (size + pixels - 1) // pixels


def tile_count(shape: tuple[int, ...], f: F, step: int) -> int:
    """The number of tiles of images, where neighbouring pixels of a tile are `step` pixels apart."""
    return shape[0] * tiles_along(shape[1], f.tile * step) * tiles_along(shape[2], f.tile * step)


@functools.lru_cache(1024)
def phases(window: Window, data: bool = False) -> tuple[Array, Array, Pair]:
    """Returns

    starts: the first pixel of the first patch of each phase.
    first: the first tap of each phase. Taps are counted row by row.
    steps: from a tap to the next one in its column, and to the next one in its row.
    """
    (side, _), (stride, _), padding, _ = window
    last = side - stride  # the last tap of the first phase

    def along(before: int) -> list[Pair]:
        starts = range(before, before + stride)
        return [(s // stride - last // stride, s % stride + last) for s in starts] if data else [(p - before, p) for p in range(stride)]

    found = list(itertools.product(*(along(before) for before, _ in padding)))
    step = -stride if data else stride
    return (
        numpy.array([(row, column) for (row, _), (column, _) in found]),
        numpy.array([side * row + column for (_, row), (_, column) in found]),
        (side * step, step),
    )


def convolve(f: F, images: Array, w: Array, bias: Array | None, window: Window, slope: float, data: bool, result: Array) -> None:
    """Write conv2d of images or, if `data`, conv2d_data, then leaky ReLU, to the result."""
    outputs, dtype, stride = result.shape[3], images.dtype, window[1][0]
    starts, first, steps = phases(window, data)
    starts = starts.reshape((-1, 1, 2) if data else (1, -1, 2))
    kernels = _kernel_planes(f, w, first.reshape(starts.shape[:2]), steps, outputs, data)
    planes, length = kernels.shape[1], kernels.shape[3]
    groups = -(-tile_count(result.shape, f, stride if data else 1) // PIXELS)
    # Of a phase of the result. Each thread gets equally many, so that none works while the others
    # have nothing left.
    blocks = min(groups, -(-groups * PIXELS // (_TILES * threads())) * threads())
    line = LINE_BYTES // images.itemsize
    # Rows are a line further apart than their size. The first-level cache can hold only a few lines
    # whose addresses differ by a multiple of a large power of two.
    pitches = length + line, outputs + line
    workers = min(threads(), len(starts) * blocks)
    patches, products = (empty((workers, planes, _TILES, pitch), dtype) for pitch in pitches)
    one = numpy.ones(1, dtype)
    zeros = numpy.zeros(max(images.shape[2] * images.shape[3], outputs), dtype)  # a row of pixels outside the image
    start, slopes = zeros[:outputs] if bias is None else flat(bias), numpy.array([slope], dtype)
    arrays = flat(images).reshape(images.shape), kernels, product_table(*pitches), starts
    others = start, slopes, zeros, one, patches, products, result
    launch(_convolve, len(starts) * blocks, blocks, *arrays, ALGORITHMS.index(f), stride, *others)


def _kernel_planes(f: F, w: Array, first: Array, steps: Pair, outputs: int, data: bool) -> Array:
    """G g G^T as the panels of products: (phases of the result, planes, strips, phases of a patch * channels, tile width)."""
    channels, strips = w.size // (w.shape[0] * w.shape[1] * outputs), outputs // WIDTH
    planes = empty((len(first), f.size**2, strips, first.shape[1] * channels, WIDTH), w.dtype)
    panels, row, strip = as_panels(w, w.shape[0] * w.shape[1], outputs, 0, data)
    launch(_transform, first.size * strips * channels, panels, row, strip, channels, first, *steps, ALGORITHMS.index(f), planes)
    return planes


def _transform(item, panels, row, strip, channels, first, row_step, column_step, number, planes):
    """G g G^T for one input channel, the outputs of one strip, and one phase. `as_panels` returns the panels, row and strip."""
    strips, length, width = planes.shape[2:]
    channel, of_strip, phase = item % channels, item // channels % strips, item // (channels * strips)
    outer, inner, tap = phase // first.shape[1], phase % first.shape[1], channels * row
    start = of_strip * strip + first[outer, inner] * tap + channel * row
    target = ((outer * planes.shape[1] * strips + of_strip) * length + inner * channels + channel) * width
    kernel_tile(panels, start, row_step * tap, column_step * tap, number, planes, target, strips * length * width)


@helper
def place(tile, down, across):
    """The image of a tile, and its row and column among the tiles of the image."""
    return tile // (down * across), tile // across % down, tile % across


@helper
def to_prefetch(pixels, tile, tiles, count, calls):
    """Where the pixels of `count` tiles, from this one on, begin, and how many elements of them each of so many calls prefetches.

    Both are estimates. Without calls, the second is 0.
    """
    return tile * pixels.size // tiles, count * pixels.size // (tiles * calls) + 1 if calls else 0


def _convolve(item, thread, blocks, images, kernels, table, starts, number, stride, bias, slope, zeros, one, patches, products, result):
    """Compute one of the `blocks` blocks of a phase in the planes of this thread. `gather_tile` explains table and slope."""
    (_, height, width, channels), (count, rows, columns, outputs) = images.shape, result.shape
    planes, strips, length = kernels.shape[1:4]
    side, (read_step, write_step) = TILE_SIDES[number], (1, stride) if len(starts) > 1 else (stride, 1)
    down, across = tiles_along(rows, side * write_step), tiles_along(columns, side * write_step)
    tiles, outer, block = count * down * across, item // blocks, item % blocks
    groups = (tiles + PIXELS - 1) // PIXELS  # of tiles that are the rows of one register tile
    first = block * groups // blocks * PIXELS
    used = min((block + 1) * groups // blocks * PIXELS, tiles) - first
    own_patches, own_products, patch_pitch, product_pitch = patches[thread], products[thread], patches.shape[3], products.shape[3]
    patch_plane, product_plane = _TILES * patch_pitch, _TILES * product_pitch
    for t in range(used):
        n, i, j = place(first + t, down, across)
        for inner in range(starts.shape[1]):
            row, column = side * read_step * i + starts[outer, inner, 0], side * read_step * j + starts[outer, inner, 1]
            to = t * patch_pitch + inner * channels
            patch_tile(images[n], row, column, read_step, height, width, channels, zeros, number, own_patches, to, patch_plane)
    # The products also prefetch the pixels of the next block, and those that this one will write,
    # unless they are of one phase only.
    calls = planes * strips * ((used + PIXELS - 1) // PIXELS)
    read_next, read_share = to_prefetch(images, first + _TILES, tiles, _TILES, calls)
    write_next, write_share = to_prefetch(result, first, tiles, _TILES, calls if len(starts) == 1 else 0)
    for panel in range(planes * strips):
        weights, source = (outer * planes * strips + panel) * length * WIDTH, panel // strips * patch_plane
        target = panel // strips * product_plane + panel % strips * WIDTH
        for t in range(0, used, PIXELS):
            start, to, tile = source + t * patch_pitch, target + t * product_pitch, 2 * min(PIXELS, used - t) - 2
            prefetch(images, read_next, read_next + read_share)
            prefetch(result, write_next, write_next + write_share)
            read_next, write_next = read_next + read_share, write_next + write_share
            gather_tile(own_patches, start, table, tile, length, zeros, kernels, weights, WIDTH, zeros, 0, one, own_products, to, WIDTH)
    for t in range(used):
        n, i, j = place(first + t, down, across)
        row, column = side * write_step * i + outer // write_step, side * write_step * j + outer % write_step
        here, image = t * product_pitch, result[n]
        result_tile(own_products, here, product_plane, number, bias, slope, image, row, column, write_step, rows, columns, outputs)
