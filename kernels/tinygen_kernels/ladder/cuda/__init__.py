"""The ladder on a GPU: one convolution, from one thread for each pixel to the real tile.

A GPU has many multiprocessors. Each runs several blocks of threads at a time. The threads of a
block have some KB of fast shared memory together; a register belongs to one thread; global memory
is large, far away and open to all. `cuda/tile.py` says more of the machine.

Read the rungs in this order. Each is a file of its own, which ends with what still costs time;
`python -m tinygen.bench --ladder --device cuda` runs them all. A tap is one position (a, b) of the
kernel's window, and a slab is 16 channels of one tap.

    pixel       one thread for each output pixel
    coalesced   neighbouring threads take neighbouring output channels
    shared      a block of threads copies a slab of both arrays into shared memory
    registers   a thread computes 4 x 4 results, which stay in registers
    buffered    the next slab is read while the present one is multiplied
    tile        larger blocks, four numbers at once, and no padded copy of the image: `cuda/tile.py`

A rung but the last has `kernel(x, w, y, g)`, the function that every thread runs, its number of
`THREADS` in a block and its number of `blocks(g)`. g is the `Geometry` of `window.py`, which says
where in memory a pixel and a tap are. Before it runs, `conv2d` copies an image that has padding,
with its border of zeros, and the bias is added in a pass of its own.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from tinygen_kernels import Array, Padding, Pair
from tinygen_kernels.geometry import output_size

RUNGS = ("pixel", "coalesced", "shared", "registers", "buffered", "tile")
_NONE: Padding = (0, 0), (0, 0)


def module(rung: str) -> Any:
    """The module of a rung."""
    return importlib.import_module("tinygen_kernels.cuda.conv" if rung == "tile" else f"tinygen_kernels.ladder.cuda.{rung}")


def conv2d(rung: str, x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
    """`Kernels.conv2d` in float32, by one rung. The arrays are not empty."""
    if rung == "tile":
        return module(rung).conv2d(x, w, bias, stride, padding, dilation)
    import cupy

    from tinygen_kernels.cuda.launch import empty, launch
    from tinygen_kernels.ladder.cuda.window import geometry

    output = output_size((x.shape[1], x.shape[2]), w.shape[:2], stride, padding, dilation)
    y = empty((len(x), *output, w.shape[3]), x.dtype)
    padded = x if padding == _NONE else cupy.pad(x, ((0, 0), *padding, (0, 0)))
    g = geometry(padded.shape, w.shape, y.shape, stride, dilation)
    launch(module(rung).kernel, module(rung).blocks(g), module(rung).THREADS, padded, w, y, g)
    return y if bias is None else y + bias


def kernels() -> Iterator[tuple[str, Any, tuple[Any, ...], int]]:
    """(name, kernel, signature, threads per block) of each rung's kernel, to compile it without a GPU."""
    from numba import float32, int32, types

    from tinygen_kernels.ladder.cuda.window import Geometry

    signature = *3 * (float32[::1],), types.NamedUniTuple(int32, len(Geometry._fields), Geometry)
    for rung in RUNGS[:-1]:
        yield f"ladder {rung}", module(rung).kernel, signature, module(rung).THREADS
