# mypy: allow-untyped-defs
"""Convolution on the GPU: shapes and strides become the geometry of a matrix product (see `operands`), which a `tile` computes."""

from collections.abc import Iterator
from itertools import product
from math import gcd, prod
from typing import Any

import cupy
from numba import cuda, float32, float64, int32, types, uint32

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cuda import im2col
from tinygen_kernels.cuda.launch import SIMULATED, THREADS, elementwise, empty, flat, launch, multiprocessors
from tinygen_kernels.cuda.operands import Axis, Geometry, matrix, pixels_by_taps, place_of_pixel, place_of_sum, taps_by_pixels
from tinygen_kernels.cuda.tile import LARGE, NARROW, SMALL, TALL, TINY, Tile, gemm
from tinygen_kernels.geometry import output_size

_SHORTEST = 32 if SIMULATED else 256  # the shortest sum over k that is worth a block of its own
_use_im2col = False


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    if _use_im2col:
        return im2col.conv2d(x, w, bias, stride, padding, dilation)
    made = output_size(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    y = empty((len(x), *made, w.shape[3]), x.dtype)
    _convolve(x, w, y, *_axes(x.shape[1:3], made, w.shape[:2], stride, padding, dilation))
    return _plus(y, bias)


def conv2d_data(g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    if _use_im2col:
        return im2col.conv2d_data(g, w, bias, size, stride, padding, dilation)
    x = empty((len(g), *size, w.shape[2]), g.dtype)
    groups = [list(_phases(size[i], g.shape[1 + i], w.shape[i], stride[i], padding[i][0], dilation[i])) for i in (0, 1)]
    launches = list(product(*groups))
    if sum(rows.phases * columns.phases for (_, rows), (_, columns) in launches) < prod(stride):
        x[...] = 0  # there are pixels that meet no tap
    swapped = w.transpose(0, 1, 3, 2)
    for (row_taps, rows), (column_taps, columns) in launches:
        _convolve(g, cupy.stack([swapped[taps] for taps in product(row_taps, column_taps)]), x, rows, columns)
    return _plus(x, bias)


def conv2d_weight(x: Array, g: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """The sum over the pixels is cut into pieces, so that the whole GPU has work; these are added up in order afterwards."""
    if _use_im2col:
        return im2col.conv2d_weight(x, g, size, stride, padding, dilation)
    m, n, k = prod(size) * x.shape[3], g.shape[3], prod(g.shape[:3])
    pieces = max(1, k // _SHORTEST)
    tile = choose(m, n, pieces, x.dtype)
    pieces = min(pieces, -(-4 * multiprocessors() // _blocks(tile, m, n)))
    piece = max(1, -(-k // (pieces * tile.depth))) * tile.depth
    pieces = max(1, -(-k // piece))
    sums = empty((pieces, *size, x.shape[3], n), x.dtype)
    geometry = Geometry(m, n, k, piece, x.shape[3], *_axes(x.shape[1:3], g.shape[1:3], size, stride, padding, dilation))
    _product(_weight_kernel, tile, x, g, sums, geometry, pieces)
    if pieces == 1:
        return sums[0]
    w = empty(sums.shape[1:], x.dtype)
    elementwise(_add_pieces, [x.dtype], w.size, flat(sums), pieces, flat(w), w.size)
    return w


def matmul(a: Array, b: Array) -> Array:
    return cupy.matmul(a, b)


def engine(name: str) -> None:
    """What computes the convolutions from now on: the kernels of this package, "direct", or cuBLAS after unrolling, "im2col"."""
    global _use_im2col
    if name not in ("direct", "im2col"):
        raise ValueError(f'an engine is "direct" or "im2col", not {name!r}')
    _use_im2col = name == "im2col"


def choose(m: int, n: int, pieces: int, dtype: Any) -> Tile:
    """The tile for a product (m, n) of so many pieces: a large one reads less, but too few of them leave multiprocessors idle."""
    if SIMULATED:
        return TINY
    if dtype != "float32":
        return SMALL  # a larger one would need more registers than there are
    if n <= NARROW.columns:
        return NARROW
    large = LARGE if n > TALL.columns else TALL
    return large if m > SMALL.rows and _blocks(large, m, n) * pieces >= 2 * multiprocessors() else SMALL


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], tuple[Any, ...], int]]:
    """(name, factory, constants, signature, threads of a block) of each kernel, for a compiler without a GPU."""
    axis = types.NamedUniTuple(int32, len(Axis._fields), Axis)
    geometry = types.NamedTuple([int32] * 5 + [axis] * 2, Geometry)
    for dtype, tiles in (float32, (LARGE, TALL, SMALL, NARROW)), (float64, (SMALL,)):
        signature = (*3 * (dtype[::1],), geometry)
        for tile, a_width, c_width in product(tiles, (4, 1), (4, 1)):
            name = f"{tile.rows}x{tile.columns}x{tile.depth} {dtype} {a_width}{c_width}"
            yield f"conv {name}", _pixel_kernel, (tile, dtype, a_width, c_width), signature, tile.threads
            yield f"conv_weight {name}", _weight_kernel, (tile, dtype, a_width, c_width), signature, tile.threads
    yield "add_pieces", _add_pieces, (float32,), (float32[::1], int32, float32[::1], int32), THREADS


def _axes(size: Pair, made: Pair, taps: Pair, stride: Pair, padding: Padding, dilation: Pair) -> list[Axis]:
    return [Axis(made[i], size[i], taps[i], stride[i], dilation[i], -padding[i][0], made[i]) for i in (0, 1)]


def _phases(made: int, size: int, taps: int, stride: int, before: int, dilation: int) -> Iterator[tuple[list[slice], Axis]]:
    """The phases of conv2d_data along one axis that meet equally many taps, at least one, and those taps of each.

    Pixel x of the image meets tap t at the place (x + before - t*dilation) / stride of g, where stride divides that. The taps that it
    meets are a, a + step, a + 2 step, ... for an a < step = stride / gcd(stride, dilation). With q = a*dilation + (-before % stride),

        x % stride = q % stride,    place of tap a = x // stride + ceil(before / stride) - q // stride
    """
    step = stride // gcd(stride, dilation)
    each, more = divmod(taps, step)
    for first, phases, count in (0, more, each + 1), (more, step - more, each):
        if phases and count:
            axis = Axis(
                -(-made // stride), size, count, 1, -(step * dilation // stride), -(-before // stride), made,
                stride, phases, first * dilation + -before % stride, dilation,
            )  # fmt: skip
            yield [slice(a, None, step) for a in range(first, first + phases)], axis


def _convolve(x: Array, w: Array, y: Array, rows: Axis, columns: Axis) -> None:
    """The product of pixels by taps. w holds one kernel for each phase."""
    phases, k = rows.phases * columns.phases, rows.taps * columns.taps * x.shape[3]
    m, n = len(x) * rows.grid * columns.grid, y.shape[3]
    geometry = Geometry(m, n, phases * k, k, x.shape[3], rows, columns)
    _product(_pixel_kernel, choose(m, n, phases, x.dtype), x, w, y, geometry, phases)


def _product(kernel: Any, tile: Tile, a: Array, b: Array, c: Array, geometry: Geometry, pieces: int) -> None:
    a, b, elements = flat(a), flat(b), flat(c)
    a_width = 4 if geometry.channels % 4 == 0 and _aligned(a) else 1
    c_width = 4 if geometry.n % 4 == 0 and _aligned(b) and _aligned(c) else 1
    if c.size:
        grid = _blocks(tile, geometry.m, geometry.n), 1, pieces
        launch(kernel, [tile, a.dtype, a_width, c_width], grid, tile.threads, a, b, elements, geometry)


def _blocks(tile: Tile, m: int, n: int) -> int:
    return -(-m // tile.rows) * -(-n // tile.columns)


def _aligned(array: Array) -> bool:
    return array.__cuda_array_interface__["data"][0] % 16 == 0


def _plus(y: Array, bias: Array | None) -> Array:
    if bias is not None:
        y += bias
    return y


def _pixel_kernel(tile, dtype, a_width, c_width):
    """conv2d and conv2d_data"""
    return gemm(tile, dtype, pixels_by_taps(tile, dtype, a_width), matrix(tile, dtype, c_width), place_of_pixel, c_width)


def _weight_kernel(tile, dtype, a_width, c_width):
    return gemm(tile, dtype, taps_by_pixels(tile, dtype, a_width), matrix(tile, dtype, c_width), place_of_sum, c_width)


def _add_pieces(dtype):
    def kernel(sums, pieces, total, size):
        i = uint32(cuda.grid(1))
        if i < uint32(size):
            value = sums[i]
            for piece in range(1, pieces):
                value += sums[uint32(i + piece * size)]
            total[i] = value

    return kernel
