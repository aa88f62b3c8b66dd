"""New leaves: from data, of given numbers, of random numbers."""

from collections.abc import Callable
from typing import Any

import numpy

from tinygen import backend
from tinygen.engine.tensor import Shape, Tensor, array_of
from tinygen.functional.conversion import numeric_dtype


def tensor(data: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf that holds a copy of data: a number, nested lists, or an array.

    An array keeps its dtype, in the processor's byte order. Python's floats become float32. Raises
    TypeError where data are not numbers, and where integers are to require gradients.
    """
    source = array_of(data)
    xp = backend.array_module(source) if hasattr(source, "dtype") else numpy
    found = source.dtype if hasattr(source, "dtype") else _dtype_of(data)
    if found.kind not in "biuf":
        raise TypeError(f"tensor: takes integers, booleans and floating-point numbers, not {found}: {data!r:.80}")
    return Tensor(backend.to_device(xp.array(source, numeric_dtype("tensor", found if dtype is None else dtype)), device), requires_grad)


def _dtype_of(data: Any) -> numpy.dtype:
    """The dtype of a tensor of a number or of nested lists of numbers."""
    try:
        found = numpy.array(data).dtype
        return numpy.dtype(numpy.float32) if found == numpy.float64 else found
    except ValueError as error:  # of NumPy, about lists of several lengths
        raise ValueError(f"tensor: all lists of one depth must have one length, got {data!r:.80}") from error


def zeros(shape: int | Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf full of zeros. Raises TypeError or ValueError for what is not a shape or a dtype."""
    return _leaf("zeros", numpy.zeros, shape, dtype, device, requires_grad)


def ones(shape: int | Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf full of ones."""
    return _leaf("ones", numpy.ones, shape, dtype, device, requires_grad)


def full(shape: int | Shape, fill_value: float, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf full of one number."""
    return _leaf("full", lambda shape, dtype: numpy.full(shape, fill_value, dtype), shape, dtype, device, requires_grad)


def randn(shape: int | Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf of standard normal numbers from the one random stream."""
    return _leaf("randn", backend.generator().standard_normal, shape, dtype, device, requires_grad)


def rand(shape: int | Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf of numbers uniform in [0, 1) from the one random stream."""
    return _leaf("rand", backend.generator().random, shape, dtype, device, requires_grad)


def zeros_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf full of zeros with the shape and device of x, and its dtype unless one is given."""
    return zeros(x.shape, x.dtype if dtype is None else dtype, x.device, requires_grad)


def ones_like(x: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf full of ones with the shape and device of x, and its dtype unless one is given."""
    return ones(x.shape, x.dtype if dtype is None else dtype, x.device, requires_grad)


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf (n, m), m = n unless given, with ones on the k-th diagonal and zeros elsewhere."""
    return _leaf("eye", lambda _, dtype: numpy.eye(n, m, k, dtype=dtype), (n, n if m is None else m), dtype, device, requires_grad)


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """A new leaf of the numbers start, start + step, ... before stop; arange(stop) begins at 0.

    They are integers where all arguments are, else float32, unless dtype is given. Raises
    ValueError where step is 0.
    """
    if step == 0:
        raise ValueError("arange: step must not be 0")
    numbers = numpy.arange(0, start, step) if stop is None else numpy.arange(start, stop, step)
    kind = (numbers.dtype if numbers.dtype.kind == "i" else numpy.float32) if dtype is None else numeric_dtype("arange", dtype)
    return Tensor(backend.to_device(numbers.astype(kind), device), requires_grad)


def _leaf(name: str, make: Callable[..., Any], shape: Any, dtype: Any, device: str, requires_grad: bool) -> Tensor:
    """A new leaf of make(shape, dtype), for the function `name`."""
    sizes = (shape,) if isinstance(shape, int | numpy.integer) else shape
    if not isinstance(sizes, tuple | list) or not all(isinstance(n, int | numpy.integer) for n in sizes):
        raise TypeError(f"{name}: shape must be an integer or a tuple of integers, got {shape!r}")
    if isinstance(dtype, int):
        raise TypeError(f"{name}: takes the shape as one tuple, {name}(({shape}, {dtype})), and then the dtype")
    if min(sizes, default=0) < 0:
        raise ValueError(f"{name}: sizes must be at least 0, got {shape}")
    kind = numeric_dtype(name, dtype)
    return Tensor(backend.from_host(lambda: numpy.asarray(make(tuple(sizes), kind)), device), requires_grad)
