# mypy: allow-untyped-defs
"""Convolution on the GPU.

`products` says which matrix products a convolution is, `operands` what their matrices are, and
`tile` computes them, or `tensor_cores` where TF32 is allowed.
"""

import functools
import warnings
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import cupy
import numpy
from numba import float32, float64, uint32

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cuda import tensor_cores
from tinygen_kernels.cuda.compiler import SIMULATED
from tinygen_kernels.cuda.elementwise import leaky_relu
from tinygen_kernels.cuda.last_block import counters
from tinygen_kernels.cuda.launch import Repeated, compute_capability, contiguous, empty, multiprocessors, nothing, type_of
from tinygen_kernels.cuda.operands import Axis, matrix, pixels_by_taps, place_of_pixel, place_of_sum, taps_by_pixels
from tinygen_kernels.cuda.products import Product, phases, product_of, sliding, stacked
from tinygen_kernels.cuda.tile import LARGE, NARROW, SHALLOW, SMALL, TALL, Tile, gemm
from tinygen_kernels.precision import tf32_allowed

_POINT: tuple[Pair, Padding, Pair] = (1, 1), ((0, 0), (0, 0)), (1, 1)  # stride, padding, dilation


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0) -> Array:
    axes = rows, columns = sliding(x.shape[1:3], w.shape[:2], stride, padding, dilation)
    return _product(x, w, empty((len(x), rows.output, columns.output, w.shape[3]), x.dtype), axes, bias, negative_slope)


def conv2d_data(
    y: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0
) -> Array:
    x = empty((len(y), *size, w.shape[2]), y.dtype)
    launches = phases(size, y.shape[1:3], w.shape[:2], stride, padding, dilation)
    if sum(rows.phases * columns.phases for *_, (rows, columns) in launches) < prod(stride):
        x[...] = _of_no_products(bias, negative_slope)  # some pixels meet no tap
    down, right, *within = w.strides
    for (row, row_step), (column, column_step), (rows, columns) in launches:
        shape = rows.phases, columns.phases, rows.taps, columns.taps, *w.shape[:1:-1]
        strides = down, right, down * row_step, right * column_step, *within[::-1]
        weights = cupy.lib.stride_tricks.as_strided(w[row:, column:], shape, strides)
        _product(y, weights, x, (rows, columns), bias, negative_slope)
    return x


def conv2d_weight(x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    w = empty((*size, x.shape[3], y.shape[3]), x.dtype)
    return _product(x, y, w, sliding(x.shape[1:3], size, stride, padding, dilation), weight=True)


def matmul(a: Array, b: Array, bias: Array | None = None, negative_slope: float = 1.0) -> Array:
    if not SIMULATED:
        return pointwise(a, b, bias, negative_slope)
    c = cupy.matmul(a, b)  # for which the simulator would take a Python thread for each element
    return leaky_relu(c if bias is None else c + bias, negative_slope)


def pointwise(a: Array, b: Array, bias: Array | None = None, negative_slope: float = 1.0) -> Array:
    """The product of matrices, as a convolution with a kernel of one tap.

    The rows of a are the pixels of an image. Where a is stored column by column, the rows of its
    transpose are, and the product is the gradient with respect to the kernel. Of stacked matrices,
    each is an image of its own, with a kernel of its own. cuBLAS is faster for large matrices, but
    CuPy does not let it be recorded in a CUDA graph.
    """
    (*stack, m, k), n, images = a.shape, b.shape[-1], prod(a.shape[:-2])
    if not stack and bias is None and a.T.flags.c_contiguous and not a.flags.c_contiguous:
        return conv2d_weight(a.T.reshape(1, 1, k, m), b.reshape(1, 1, k, n), (1, 1), *_POINT).reshape(m, n)
    c = empty((images * m, 1, 1, n), a.dtype)
    return _product(a.reshape(1, images * m, 1, k), b, c, stacked(images, m), bias, negative_slope).reshape(*stack, m, n)


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each kernel, to compile it without a GPU."""
    geometry = type_of(product_of(1, 1, 1, stacked(1, 1), "float32", 1, False).geometry)
    for dtype, tiles in (float32, (LARGE, TALL, SMALL, NARROW, tensor_cores.LARGE, tensor_cores.SMALL)), (float64, (SMALL,)):
        for tile, a_width, c_width in product(tiles, (4, 1), (4, 1)):
            if tile.tensor_cores and a_width != c_width:
                continue  # between the two others, and each takes seconds to compile
            tile = _read_as(tile, a_width, c_width)
            name = f"{tile.rows}x{tile.columns}x{tile.depth} {'tf32' if tile.tensor_cores else dtype} {a_width}{c_width}"
            for kind, weight in ("conv", False), ("conv_weight", True):
                signature = *4 * (dtype[::1],), uint32[::1], dtype[::1], dtype, geometry
                yield f"{kind} {name}", _kernel(weight, tile, dtype, a_width, c_width), signature, tile.threads


def _product(a: Any, b: Any, c: Any, axes: tuple[Axis, Axis], bias: Any = None, negative_slope=1.0, weight=False, precision="") -> Any:
    """C = leaky_relu(A B + bias), where b holds one matrix for each phase. `weight` is that of `product_of`, `precision` of `choose`.

    All that follows from shapes and dtypes is planned once, since Python takes longer for it than
    for the rest.
    """
    if not (a.size and b.size and c.size):
        c[...] = _of_no_products(bias, negative_slope)
        return c
    device = cupy.cuda.runtime.getDevice()
    unread = nothing(device, a.dtype.char)
    a, b, bias = contiguous(a), contiguous(b), unread if bias is None else contiguous(bias)
    shapes, dtypes = (a.shape, b.shape, bias.shape, c.shape), (a.dtype, b.dtype, bias.dtype)
    aligned = a.data.ptr % 16 == 0, (b.data.ptr | c.data.ptr) % 16 == 0
    chosen, gemm = _plan(shapes, dtypes, axes, negative_slope, weight, precision or _precision(a.dtype), device, aligned)
    partial = empty(chosen.partial, a.dtype) if chosen.partial else unread
    gemm.start(a, b, bias, partial, counters(chosen.blocks, chosen.geometry.pieces), c)
    return c


@functools.lru_cache(4096)
def _plan(shapes, dtypes, axes, negative_slope, weight, precision, device, aligned) -> tuple[Product, Repeated]:
    """The product and its launch, for a, b, bias and c of these shapes, of which the first three have these dtypes.

    `aligned` says whether a begins at a multiple of 16 bytes, and whether b and c do.
    """
    (images, *_, channels), *_, (*_, outputs) = shapes
    chosen = product_of(images, channels, outputs, axes, precision, multiprocessors(device), weight)
    widths = [4 if length % 4 == 0 and begins else 1 for length, begins in zip((channels, outputs), aligned, strict=True)]
    tile, number = _read_as(chosen.tile, *widths), dtypes[0].type
    return chosen, Repeated(_kernel(weight, tile, number, *widths), chosen.blocks, tile.threads, number(negative_slope), chosen.geometry)


def _read_as(tile: Tile, a_width: int, c_width: int) -> Tile:
    """The tile of the same size for matrices that are read one or four elements at a time."""
    return SHALLOW if tile == SMALL and a_width == c_width == 1 else tile


def _of_no_products(bias: Array | None, negative_slope: float) -> Array | int:
    """The sum of no products, and what follows it."""
    return 0 if bias is None else leaky_relu(bias, negative_slope)


def _precision(dtype: Any) -> str:
    """In which products of arrays of this dtype are computed."""
    if dtype.char != "f":
        return "float64"
    return "tf32" if tf32_allowed() and _has_tf32(cupy.cuda.runtime.getDevice()) else "float32"


@functools.cache
def _has_tf32(device: int) -> bool:
    """Whether tensor cores of the current device, of this number, compute what NumPy does, but for rounding.

    A warning says why not.
    """
    wrong = ""
    if compute_capability() < (8, 0):
        wrong = "has no tensor cores for TF32, which need compute capability 8.0"
    else:
        random = numpy.random.default_rng(0)
        a, b = random.standard_normal((32, 8), numpy.float32), random.standard_normal((8, 32), numpy.float32)
        c = cupy.empty((32, 1, 1, 32), a.dtype)
        _product(cupy.asarray(a.reshape(1, 32, 1, 8)), cupy.asarray(b), c, stacked(1, 32), precision="tf32")
        rounding = 2**-9.9 * (abs(a) @ abs(b))  # 2^-10 of each product, and a little for the sums
        if not (abs(c.get().reshape(32, 32) - a @ b) <= rounding).all():
            wrong = "does not multiply by its tensor cores as PTX documents it"
    if wrong:
        warnings.warn(f"GPU {device} {wrong}: products stay in float32, though TF32 is allowed", RuntimeWarning, stacklevel=2)
    return not wrong


@functools.cache
def _kernel(weight, tile, dtype, a_width, c_width):
    """That of conv2d_weight or, if not `weight`, of conv2d and conv2d_data."""
    product_kernel = tensor_cores.gemm if tile.tensor_cores else gemm
    gathered, place = (taps_by_pixels, place_of_sum) if weight else (pixels_by_taps, place_of_pixel)
    return product_kernel(tile, dtype, gathered(tile, dtype, a_width), matrix(tile, dtype, c_width), place, c_width)
