"""The ladder: one convolution, from seven loops to the register tile, with one new idea on each rung.

Read the rungs in this order. Each is a file of its own, which says what it does better than the one
before; `python -m tinygen.bench --ladder` runs them all on your machine, on a layer with a 4x4 kernel
of stride 2, from images 16x16x64 to 8x8x128.

    loops       what a convolution means
    compiled    a compiler in the place of the interpreter
    innermost   the innermost loop runs along memory, so the compiler can use vectors
    shared      a weight that was loaded serves four pixels
    taps        a matrix product for each tap, by BLAS: `reference.py` (not faster everywhere)
    im2col      one matrix product for all taps: `im2col.py`
    block       a block of results stays in registers
    tile        the same for any shape, without a copy of a large image: `cpu/conv.py`

The first four and `block` have one function, `convolve(x, w, stride, dilation, y)`, which adds the
convolution of x (N, H, W, C), whose border of zeros is there already, with w (kh, kw, C, K) to y
(N, H', W', K). Where a module has it, `in_python` is this function before it was compiled; the
benchmark counts what it reads and writes. `conv2d` gives every rung the signature that all kernels
have. `ladder/cuda/` is the ladder on a GPU.
"""

import importlib
from typing import Any

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.cpu.memory import empty
from tinygen_kernels.geometry import output_size

RUNGS = ("loops", "compiled", "innermost", "shared", "taps", "im2col", "block", "tile")
_ELSEWHERE = {"taps": "tinygen_kernels.reference", "im2col": "tinygen_kernels.im2col", "tile": "tinygen_kernels.cpu"}


def module(rung: str) -> Any:
    """The module of a rung."""
    return importlib.import_module(_ELSEWHERE.get(rung, f"tinygen_kernels.ladder.{rung}"))


def conv2d(rung: str, x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """`Kernels.conv2d`, by one rung."""
    if rung in _ELSEWHERE:
        return module(rung).conv2d(x, w, bias, stride, padding, dilation)
    output = output_size((x.shape[1], x.shape[2]), w.shape[:2], stride, padding, dilation)
    y = zeros((len(x), *output, w.shape[3]), x.dtype)
    (top, bottom), (left, right) = padding
    padded = zeros((len(x), top + x.shape[1] + bottom, left + x.shape[2] + right, x.shape[3]), x.dtype)
    padded[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    weights = empty(w.shape, w.dtype)
    weights[...] = w
    module(rung).convolve(padded, weights, stride, dilation, y)
    return y if bias is None else y + bias


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that starts on a cache line. Elsewhere many vectors would lie on two lines, and take longer to move."""
    array = empty(shape, dtype)
    array[...] = 0
    return array
