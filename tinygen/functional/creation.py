"""New leaves: from data, of zeros and ones, of random numbers."""

from typing import Any

import numpy

from tinygen import backend
from tinygen.engine.tensor import Shape, Tensor, array_of


def tensor(data: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf that holds a copy of data: a number, nested lists, or an array.

    An array keeps its dtype, in the processor's byte order; Python numbers with a point become float32. Raises TypeError where data are
    no numbers, and where gradients are asked of integers.
    """
    source = array_of(data)
    if hasattr(source, "dtype"):
        array = backend.array_module(source).array(source, numpy.dtype(source.dtype if dtype is None else dtype).newbyteorder("="))
    else:
        array = numpy.array(source, dtype)
        if dtype is None and array.dtype == numpy.float64:
            array = array.astype(numpy.float32)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"tensor: takes integers, booleans and floating-point numbers, not {array.dtype}: {data!r:.80}")
    return Tensor(backend.to_device(array, device), requires_grad)


def zeros(shape: Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf full of zeros."""
    return Tensor(backend.to_device(numpy.zeros(shape, dtype), device), requires_grad)


def ones(shape: Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf full of ones."""
    return Tensor(backend.to_device(numpy.ones(shape, dtype), device), requires_grad)


def randn(shape: Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf of standard normal numbers from the one random stream."""
    return Tensor(backend.to_device(backend.generator().standard_normal(shape, dtype), device), requires_grad)


def rand(shape: Shape, dtype: Any = numpy.float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A new leaf of numbers uniform in [0, 1) from the one random stream."""
    return Tensor(backend.to_device(backend.generator().random(shape, dtype), device), requires_grad)
