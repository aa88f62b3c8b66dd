# mypy: allow-untyped-defs
"""3x3 convolutions with fewer multiplications (Winograd 1980; Lavin & Gray 2015, F(2x2, 3x3)).

Two neighbouring outputs of a kernel of three taps read four inputs d:

    y[0] = d[0]*g[0] + d[1]*g[1] + d[2]*g[2]
    y[1] = d[1]*g[0] + d[2]*g[1] + d[3]*g[2]

That is six products, but four are enough. y[0] and y[1] share d[1] and d[2], so take their sum and
their difference as new inputs. With e = g[0] + g[2],

    m[1] = (d[1] + d[2]) * (e + g[1])/2  and  m[2] = (d[2] - d[1]) * (e - g[1])/2
    m[1] + m[2] = d[2]*e + d[1]*g[1]     and  m[1] - m[2] = d[1]*e + d[2]*g[1]

The first sum has d[2]*g[0], where y[0] has d[0]*g[0], and m[0] = (d[0] - d[2]) * g[0] mends that.
The second has d[1]*g[2], where y[1] has d[3]*g[2], and m[3] = (d[1] - d[3]) * g[2] is taken off. So
y = A^T m and m = (G g) * (B^T d), element by element, with three small matrices:

>>> import numpy
>>> BT = numpy.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
>>> G = numpy.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
>>> AT = numpy.array([[1, 1, 1, 0], [0, 1, -1, -1]])
>>> d, g = numpy.array([1, 2, 3, 4]), numpy.array([5, 6, 7])
>>> AT @ ((G @ g) * (BT @ d)), numpy.correlate(d, g)
(array([38., 56.]), array([38, 56]))

In two dimensions each number above is itself such a row: a *patch* of 4x4 inputs and the 3x3 kernel
give a *tile* of 2x2 outputs. The transforms apply to the rows and to the columns. Sixteen products
do for 36:

>>> d, g = numpy.arange(16).reshape(4, 4) ** 2, numpy.arange(9).reshape(3, 3)
>>> AT @ ((G @ g @ G.T) * (BT @ d @ BT.T)) @ AT.T
array([[2088., 2640.],
       [4728., 5568.]])
>>> [[int((d[i : i + 3, j : j + 3] * g).sum()) for j in (0, 1)] for i in (0, 1)]
[[2088, 2640], [4728, 5568]]

With channels, each of the 16 positions in a patch is a *plane*: a matrix with a row for each tile
and a column for each channel. The sum over the input channels C is a product of each plane with a
matrix (C, K) of the weights, K being the output channels, and A^T is applied only once, to the sum:

    images (N, H, W, C)   ->  16 planes (tiles, C)   B^T d B
    w (3, 3, C, K)        ->  16 planes (C, K)       G g G^T
    their products            16 planes (tiles, K)
    result (N, H', W', K) <-  2x2 pixels per tile    A^T m A, then bias and leaky ReLU

`_convolve` does so for a *block* of tiles at a time, whose planes stay in the second-level cache,
with the register tile of the other products. Padding and tiles that hang over the edge cost only
what they compute: pixels outside the image are read from zeros, and those outside the result are
not kept. The gradient of the image is the same convolution with the kernel rotated by 180 degrees,
its channels exchanged, and 2 - padding as its padding.

What it costs. The products shrink to 16/36. New are 32 additions for each patch and input channel,
24 for each tile and output channel, their memory traffic, and the transform of the weights. Each
transformed number is used for all channels of the other side, so many channels pay for that. A
convolution then takes 0.6 to 0.9 of its time (Zen 4, with AVX-512 and with AVX2). `pays` is the
rule:

- Multiples of 32 input and output channels, so that all vectors and all strips are full. 16 -> 32
  took from 0.8 to 1.4 of the time.
- At most 0.75 of the multiplications. The direct convolution skips the taps outside the image, and
  a tile that hangs over the edge computes more than is kept. So with a border of one pixel, 6x6 needs
  0.56 of them and 7x7 0.71, but 5x5 0.85, which gained nothing.

The number of images does not count, so that an image has the same bits alone and in a batch. The
transform of the weights takes as long as about 70 tiles gain: a single image of 8x8 takes 1.2 of
the time, four of them 0.7.

How exact it is. `float32` rounds each result by at most u = 2^-24 of its size. To first order in u,
the error of an output is at most

    64 (C + 10) u * sum over c of (largest |input| in the patch) * (largest |weight|)

The 10 roundings are 2 in B^T d B, 4 in G g G^T and 4 in A^T m A. The factor 64 is 8 for each
dimension, where the absolute values of the three matrices multiply to 8. The direct convolution has
9 in the place of 64, but 9C in the place of C + 10, since it adds 9C numbers one after another. So
its bound is the larger one, and so was its error wherever we measured both. `float64`, in which
gradients are checked, takes the direct convolution. A NaN or an infinity in a patch reaches all
four outputs of the tile.
"""

import numpy
from numba.core import cgutils

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.atomic import add_atomically
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.panels import as_panels, strip_count
from tinygen_kernels.cpu.parallel import launch
from tinygen_kernels.cpu.plan import Window, product_table
from tinygen_kernels.cpu.simd import PIXELS, VECTORS, gather_tile, tile_width
from tinygen_kernels.cpu.team import threads
from tinygen_kernels.cpu.vector import LINE_BYTES, int64, intrinsic

_CHANNELS, _WORTH = 32, 0.75  # see above
_TILES = 48 // PIXELS * PIXELS  # of a block
# Of a strip. Since strips are full, the compiler leaves out what `simd.py` does for others.
WIDTH = tile_width(numpy.dtype(numpy.float32))


def pays(images: Array, window: Window, shape: tuple[int, ...], data: bool = False) -> bool:
    """Whether `convolve` is the faster way to a result of this shape: of conv2d or, if `data`, of conv2d_data."""
    kernel_size, stride, padding, dilation = window
    if (kernel_size, stride, dilation) != ((3, 3), (1, 1), (1, 1)) or images.dtype != numpy.float32:
        return False
    channels, outputs = images.shape[3], shape[3]
    if not channels or channels % _CHANNELS or outputs % _CHANNELS:
        return False
    x, y = (shape, images.shape) if data else (images.shape, shape)
    used = _used_taps(x[1], y[1], padding[0][0]) * _used_taps(x[2], y[2], padding[1][0])
    return 16 * tile_count((1, *shape[1:])) <= _WORTH * used


def _used_taps(size: int, outputs: int, before: int) -> int:
    """How many taps of all output pixels along an axis are inside the image: those of pixels before - t to size + before - t."""
    return sum(max(0, min(outputs, size + before - t) - max(0, before - t)) for t in range(3))


def tile_count(shape: tuple[int, ...]) -> int:
    return shape[0] * -(-shape[1] // 2) * -(-shape[2] // 2)


def convolve(images: Array, w: Array, bias: Array | None, before: Pair, shape: tuple[int, ...], slope: float, rotated: bool) -> Array:
    """The convolution of images (N, H, W, C) with w (3, 3, C, K), then leaky ReLU.

    `shape` is that of the result, (N, H', W', K). `before` is the number of rows of zeros above the
    images and of columns to their left; a negative one crops. If `rotated`, the kernel is w
    (3, 3, K, C) rotated by 180 degrees, with its channels exchanged.
    """
    channels, outputs, dtype = images.shape[3], shape[3], images.dtype
    workers, line = min(threads(), -(-tile_count(shape) // _TILES)), LINE_BYTES // images.itemsize
    # Planes are a line further apart than their size. The first-level cache can hold only a few
    # lines whose addresses differ by a multiple of a power of two.
    planes = [empty((workers, 16, _TILES * length + line), dtype) for length in (channels, outputs)]
    result, zeros, one = empty(shape, dtype), numpy.zeros(max(channels, outputs), dtype), numpy.ones(1, dtype)
    start, slopes = zeros[:outputs] if bias is None else flat(bias), numpy.array([slope], dtype)
    arrays = flat(images).reshape(images.shape), _kernel_planes(w, channels, outputs, rotated), product_table(channels, outputs)
    launch(_convolve, workers, *arrays, *before, start, slopes, zeros, one, numpy.zeros(1, numpy.int64), *planes, result)
    return result


def _kernel_planes(w: Array, channels: int, outputs: int, rotated: bool) -> Array:
    """G g G^T as the panels of 16 products, (16, strips, channels, tile width)."""
    planes = empty((16, strip_count(outputs, w.dtype), channels, tile_width(w.dtype)), w.dtype)
    panels, row, strip = as_panels(w, 9, outputs, 0, rotated)
    launch(_transform, planes.shape[1] * channels, panels, row, strip, 8 if rotated else 0, -1 if rotated else 1, planes)
    return planes


def _transform(item, panels, row, strip, first, step, planes):
    """G g G^T for input channel item % channels and the outputs of strip item // channels.

    `as_panels` returns the panels, row and strip. The taps are first, first + step, and so on.
    """
    channels, width = planes.shape[2:]
    start = item // channels * strip + (first * channels + item % channels) * row
    kernel_tile(panels, start, step * channels * row, planes, item * width, planes.size // 16)


@helper
def place(tile, down, across):
    """The image of a tile, and its first row and column in the result."""
    return tile // (down * across), tile // across % down * 2, tile % across * 2


def _convolve(worker, images, kernels, table, top, left, bias, slope, zeros, one, taken, patches, products, result):
    """Compute blocks until all are taken, in planes that no other worker uses.

    A block has the same bits whichever worker computes it. `taken` is the number of tiles that are
    taken. `gather_tile` explains table, slope and zeros.
    """
    (_, height, width, channels), (count, rows, columns, outputs) = images.shape, result.shape
    strips, down, across = kernels.shape[1], (rows + 1) // 2, (columns + 1) // 2
    own_patches, own_products, patch_plane, product_plane = patches[worker], products[worker], patches.shape[2], products.shape[2]
    first = add_atomically(taken, 0, _TILES)
    while first < count * down * across:
        tiles = min(_TILES, count * down * across - first)
        for t in range(tiles):
            n, row, column = place(first + t, down, across)
            patch_tile(images[n], row - top, column - left, height, width, channels, zeros, own_patches, t * channels, patch_plane)
        for panel in range(16 * strips):
            weights, source, strip = panel * channels * WIDTH, panel // strips * patch_plane, panel % strips * WIDTH
            target = panel // strips * product_plane + strip
            for t in range(0, tiles, PIXELS):
                start, to, tile = source + t * channels, target + t * outputs, 2 * min(PIXELS, tiles - t) - 2
                gather_tile(
                    own_patches, start, table, tile, channels, zeros, kernels, weights, WIDTH, zeros, 0, one, own_products, to, WIDTH
                )
        for t in range(tiles):
            n, row, column = place(first + t, down, across)
            result_tile(own_products, t * outputs, product_plane, bias, slope, result[n], row, column, rows, columns, outputs)
        first = add_atomically(taken, 0, _TILES)


@intrinsic
def kernel_tile(tile, w, start, tap, planes, planes_start, plane):
    """G g G^T of the kernels from one input channel to as many output channels as a tile has.

    The taps are `tap` elements apart in w, and the planes are `plane` elements apart.
    """
    w, builder = tile.at(w, start), tile.builder
    for j in range(VECTORS):
        taps = [[tile.load(tile.at(w, builder.mul(tap, int64(3 * a + b))), j) for b in range(3)] for a in range(3)]
        _store_planes(tile, both_ways(_kernel, tile, taps), tile.at(planes, planes_start), plane, j)


@intrinsic
def patch_tile(tile, image, row, column, height, width, channels, zeros, planes, planes_start, plane):
    """B^T d B of the patch whose first pixel is (row, column), for all channels. Outside the image are zeros."""
    to_planes(_patch, tile, 4, image, row, column, height, width, channels, zeros, tile.at(planes, planes_start), plane)


@intrinsic
def result_tile(tile, planes, planes_start, plane, bias, slope, image, row, column, height, width, outputs):
    """A^T m A of a tile, then bias and leaky ReLU, stored from (row, column) of the image on.

    Pixels outside the image are stored in the first plane, whose numbers have been read by then.
    """
    source, builder = tile.at(planes, planes_start), tile.builder
    pixels = _addresses(tile, image, 2, row, column, height, width, outputs, source)
    slope = builder.load(slope)
    with cgutils.for_range_slice(builder, int64(0), outputs, int64(tile.lanes), int64) as (channel, _):
        products = [
            [tile.load(tile.at(source, builder.add(channel, builder.mul(plane, int64(4 * a + b)))), 0) for b in range(4)] for a in range(4)
        ]
        added = tile.load(tile.at(bias, channel), 0)
        for i, values in enumerate(both_ways(_result, tile, products)):
            for j, value in enumerate(values):
                tile.store(tile.leaky(builder.fadd(value, added), slope), tile.at(pixels[i][j], channel), 0)


def to_planes(transform, tile, side, image, row, column, height, width, channels, zeros, target, plane):
    """The transform of side x side pixels, for all channels."""
    pixels = _addresses(tile, image, side, row, column, height, width, channels, zeros)
    with cgutils.for_range_slice(tile.builder, int64(0), channels, int64(tile.lanes), int64) as (channel, _):
        values = [[tile.load(tile.at(pixel, channel), 0) for pixel in row_of_pixels] for row_of_pixels in pixels]
        _store_planes(tile, both_ways(transform, tile, values), tile.at(target, channel), plane, 0)


def _addresses(tile, image, side, row, column, height, width, channels, outside):
    """The addresses of side x side pixels from (row, column) on, or `outside` of those that the image lacks."""
    builder = tile.builder

    def pixel(i, j):
        y, x = builder.add(row, int64(i)), builder.add(column, int64(j))
        # Without a sign, a negative number is a large one.
        inside = builder.and_(builder.icmp_unsigned("<", y, height), builder.icmp_unsigned("<", x, width))
        return builder.select(inside, tile.at(image, builder.mul(builder.add(builder.mul(y, width), x), channels)), outside)

    return [[pixel(i, j) for j in range(side)] for i in range(side)]


def _store_planes(tile, values, target, plane, vector):
    for i in range(4):
        for j in range(4):
            tile.store(values[i][j], tile.at(target, tile.builder.mul(plane, int64(4 * i + j))), vector)


def both_ways(transform, tile, rows):
    """The transform of all columns, then of all rows of the result."""
    columns = [transform(tile, column) for column in zip(*rows, strict=True)]
    return [transform(tile, row) for row in zip(*columns, strict=True)]


def _patch(tile, d):
    """B^T d"""
    b = tile.builder
    return b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])


def _kernel(tile, g):
    """G g"""
    b, half = tile.builder, tile.vector([0.5] * tile.lanes)
    ends = b.fadd(g[0], g[2])
    return g[0], b.fmul(b.fadd(ends, g[1]), half), b.fmul(b.fsub(ends, g[1]), half), g[2]


def _result(tile, m):
    """A^T m"""
    b = tile.builder
    return b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])
