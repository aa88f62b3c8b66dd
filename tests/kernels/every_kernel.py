"""Runs every CPU kernel on awkward shapes and compares with the reference.

It prints a digest of all bits of the results.

    python every_kernel.py float32 [start | end | overrun]

With `start` or `end`, every array that a compiled function gets, tables and scratch included, is
next to a memory page that must not be touched: its first byte is just after the page, or its last
byte is just before it. A read or write out of bounds then ends the process with a signal. `overrun`
reads one element too many, to show that this works.
"""

import ctypes
import hashlib
import mmap
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy
from kernel_shapes import ADAM, Convolution, error
from tinygen_kernels import cpu, reference
from tinygen_kernels.cpu import conv, elementwise, norm, panels, pool, weight, winograd, winograd_weight

CONVOLUTIONS = [
    Convolution(4, (12, 12), 1, 32, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Convolution(4, (12, 10), 3, 5, (4, 4), (2, 2), ((1, 1), (1, 2)), (1, 1)),
    Convolution(5, (28, 28), 1, 64, (5, 5), (2, 2), ((2, 2), (2, 2)), (1, 1)),
    Convolution(2, (8, 8), 3, 17, (2, 3), (3, 3), ((0, 0), (0, 0)), (1, 1)),
    Convolution(17, (8, 8), 24, 40, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    Convolution(5, (7, 9), 20, 37, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 2)),
    Convolution(3, (6, 6), 11, 33, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
    Convolution(2, (7, 7), 19, 3, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    Convolution(1, (40, 40), 12, 12, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Convolution(7, (5, 5), 12, 1, (3, 3), (1, 1), ((2, 1), (0, 2)), (1, 1)),
    Convolution(6, (1, 1), 4, 4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Convolution(3, (9, 9), 64, 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Convolution(11, (13, 14), 64, 96, (3, 3), (1, 1), ((1, 1), (2, 0)), (1, 1)),  # Winograd's, with tiles over the edge
    Convolution(3, (5, 6), 32, 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),  # in tiles of 2x2
    Convolution(9, (19, 18), 32, 64, (4, 4), (2, 2), ((1, 1), (2, 1)), (1, 1)),
    Convolution(5, (8, 8), 64, 32, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1)),  # in tiles of 2x2
    Convolution(5, (16, 18), 32, 128, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1)),  # a gradient's slice has all outputs
    Convolution(3, (9, 9), 3, 128, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),  # its gradient copies pixels for a single tap
    Convolution(1, (50, 50), 2, 3, (3, 3), (1, 1), ((1, 1), (1, 1)), (2, 1)),
]
POOLINGS = [
    Convolution(3, (8, 12), 77, 77, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    Convolution(3, (7, 9), 3, 3, (3, 2), (2, 1), ((1, 2), (1, 0)), (1, 1)),
]
# The last two copy parts of panels, and, with the first matrix transposed, what each item reads.
PRODUCTS = [(64, 100, 10), (7, 3, 40), (130, 33, 33), (3, 50, 64), (5, 1100, 20), (1024, 30, 20)]
BATCHES = [(4, 9, 9, 17), (40, 5), (41, 33), (8, 32, 32, 16), (5, 31, 31, 64)]
ELEMENTS = [(7,), (33, 5), (3, 50001)]


def calls(dtype: Any) -> Iterator[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Each kernel, as its name in the reference, with its arguments."""
    random = numpy.random.default_rng(0)
    for c in CONVOLUTIONS:
        x, w, g = c.arrays(dtype, 0)
        yield reference.conv2d, (x, w, w[0, 0, 0], *c.window, 0.2)
        yield reference.conv2d_data, (g, w, w[0, 0, :, 0], c.size, *c.window, 0.2)
        yield reference.conv2d_weight, (x, g, c.kernel_size, *c.window)
    for rows, length, columns in PRODUCTS:
        a, b = random.standard_normal((rows, length)).astype(dtype), random.standard_normal((length, columns)).astype(dtype)
        yield reference.matmul, (a, b)
        yield reference.matmul, (numpy.asfortranarray(a), b)
        yield reference.matmul, (a, numpy.asfortranarray(b))
    for p in POOLINGS:
        x, _, g = p.arrays(dtype, 0)
        window = p.kernel_size, p.stride, p.padding
        indices = reference.max_pool2d(x, *window)[1]
        yield reference.max_pool2d, (x, *window)
        yield reference.max_pool2d_gather, (x, indices)
        yield reference.max_pool2d_scatter, (g, indices, p.size, *window)
        yield reference.avg_pool2d, (x, *window)
        yield reference.avg_pool2d_data, (g, p.size, *window)
    for shape in BATCHES:
        x, g = random.standard_normal((2, *shape)).astype(dtype)
        gamma, beta = random.standard_normal((2, shape[-1])).astype(dtype)
        yield reference.column_sums, (x,)
        yield reference.bias_leaky_relu_backward, (g, x, 0.2)
        yield reference.batch_norm, (x, gamma, beta, 1e-5, 0.2)
        y, mean, var = reference.batch_norm(x, gamma, beta, 1e-5, 0.2)
        yield reference.batch_norm_backward, (g, x, y, gamma, mean, var, 1e-5, 0.2)
        groups = 1 if shape[-1] % 4 else 4
        _, mean, var = reference.group_norm(x, gamma, beta, groups, 1e-5)
        yield reference.group_norm, (x, gamma, beta, groups, 1e-5)
        yield reference.group_norm_backward, (g, x, gamma, mean, var, groups, 1e-5)
        y, mean, deviation = reference.minibatch_deviation(x, 1e-5, 1)
        yield reference.minibatch_deviation, (x, 1e-5, 1)
        yield reference.minibatch_deviation_backward, (y, x, mean, deviation)
    for shape in ELEMENTS:
        p, g, m, v = random.standard_normal((4, *shape)).astype(dtype)
        yield reference.leaky_relu, (p, 0.2)
        yield reference.leaky_relu_backward, (g, p, 0.2)
        yield reference.tanh_backward, (g, p)
        yield reference.sigmoid, (p,)
        yield reference.softplus, (p,)
        yield reference.binary_cross_entropy, (p, 0.75)
        yield reference.binary_cross_entropy, (p, g)
        yield reference.binary_cross_entropy_backward, (g, p, 0.75)
        yield reference.binary_cross_entropy_backward, (g, p, m)
        yield reference.blend, (p, g, (0.75, 0.5))
        yield reference.dropout, (p, 0.3, 2**40 + 7)
        yield reference.adam, (p, g, m, abs(v), ADAM.astype(dtype))


def outcome(kernel: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The kernel's results or, if it returns None, the arrays that it may have changed."""
    own = tuple(a.copy(order="K") if isinstance(a, numpy.ndarray) else a for a in arguments)
    result = kernel(*own)
    if result is None:
        return tuple(a for a in own if isinstance(a, numpy.ndarray))
    return result if isinstance(result, tuple) else (result,)


def digest(dtype: Any) -> str:
    """A digest of the bits of all results.

    Raises AssertionError if a result differs from the reference by more than rounding.
    """
    bits = hashlib.sha256()
    for kernel, arguments in calls(dtype):
        exact, results = outcome(kernel, arguments), outcome(getattr(cpu, kernel.__name__), arguments)
        for result, expected in zip(results, exact, strict=True):
            assert error(result, expected) < 300 * numpy.finfo(dtype).eps, (kernel.__name__, [numpy.shape(a) for a in arguments])
            bits.update(result.tobytes())
    return bits.hexdigest()


_kept: list[mmap.mmap] = []


def guarded(array: Any, side: str) -> Any:
    """A copy that begins just after, or ends just before, a page that must not be touched."""
    pages = -(-array.nbytes // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    _kept.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for guard in (address, address + (pages + 1) * mmap.PAGESIZE):
        if protect(ctypes.c_void_p(guard), ctypes.c_size_t(mmap.PAGESIZE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = mmap.PAGESIZE + (pages * mmap.PAGESIZE - array.nbytes if side == "end" else 0)
    copy = numpy.frombuffer(memory, numpy.uint8, array.nbytes, start).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def guard_all(side: str) -> None:
    """From now on every kernel of the package works on guarded copies of its arrays."""

    def guard(launch: Callable[..., None]) -> Callable[..., None]:
        def launch_guarded(*arguments: Any) -> None:
            copies = [guarded(a, side) if isinstance(a, numpy.ndarray) else a for a in arguments]
            launch(*copies)
            for argument, copy in zip(arguments, copies, strict=True):
                if isinstance(argument, numpy.ndarray):
                    argument[...] = copy
            del copies
            _kept.clear()

        return launch_guarded

    for module in (conv, elementwise, norm, panels, pool, weight, winograd, winograd_weight):
        module.launch = guard(module.launch)


def beyond(item, x, y):  # type: ignore[no-untyped-def]
    """A kernel that reads one element too many."""
    y[item] = x[x.size + item]


if __name__ == "__main__":
    where = sys.argv[2] if len(sys.argv) > 2 else None
    if where == "overrun":
        guard_all("end")
        elementwise.launch(beyond, 1, numpy.zeros(10), numpy.zeros(1))
    elif where is not None:
        guard_all(where)
    print(digest(numpy.dtype(sys.argv[1]).type))
