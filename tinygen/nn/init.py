"""Initial weights. An initialiser maps a shape to a new float32 array, drawn from the one random stream.

A weight has the shape (..., in, out), and the leading axes are the kernel's. Each output is a sum over
fan_in = in x (size of the kernel) inputs, and each input has part in fan_out = out x (size of the
kernel) outputs. The weight of a transposed convolution counts as that of the convolution it transposes.
"""

import functools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import numpy

from tinygen.backend import generator, to_device
from tinygen.engine.arguments import checked
from tinygen.engine.tensor import Shape
from tinygen.nn.module import Module

Initializer = Callable[[Shape], numpy.ndarray]
InitializerT = TypeVar("InitializerT", bound=Callable[..., numpy.ndarray])


class _Mode(threading.local):
    omitted = False


_mode = _Mode()


@contextmanager
def omitted() -> Iterator[None]:
    """Within, in this thread, all initial weights are 0 and nothing is drawn: for a model whose state is loaded next."""
    before, _mode.omitted = _mode.omitted, True
    try:
        yield
    finally:
        _mode.omitted = before


def _may_be_omitted(initializer: InitializerT) -> InitializerT:
    @functools.wraps(initializer)
    def initial(shape: Shape, *options: float, **others: float) -> numpy.ndarray:
        return numpy.zeros(shape, numpy.float32) if _mode.omitted else initializer(shape, *options, **others)

    return cast(InitializerT, initial)


def _fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out). Raises ValueError for fewer than two axes."""
    if len(shape) < 2:
        raise ValueError(f"a weight has at least two axes, (..., in, out), got the shape {shape}")
    kernel = math.prod(shape[:-2])
    return kernel * shape[-2], kernel * shape[-1]


@checked
@_may_be_omitted
def glorot(shape: Shape) -> numpy.ndarray:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)).

    It keeps the variance of signals and gradients from layer to layer (Glorot & Bengio, 2010).
    """
    limit = math.sqrt(6.0 / sum(_fans(shape)))
    return generator().uniform(-limit, limit, shape).astype(numpy.float32)


@checked
@_may_be_omitted
def he(shape: Shape) -> numpy.ndarray:
    """Normal with variance 2 / fan_in, which keeps the variance of signals through ReLU (He et al., 2015)."""
    return normal(shape, math.sqrt(2.0 / _fans(shape)[0]))


@checked
@_may_be_omitted
def normal(shape: Shape, std: float = 0.02) -> numpy.ndarray:
    """Normal with mean 0 and standard deviation std. For GANs 0.02 is usual (Radford et al., 2016)."""
    return generator().standard_normal(shape, numpy.float32) * numpy.float32(std)


@checked
@_may_be_omitted
def orthogonal(shape: Shape) -> numpy.ndarray:
    """As a matrix (all axes but the last, out), random with orthonormal rows or columns, whichever are fewer.

    Saxe et al., 2014.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = numpy.linalg.qr(generator().standard_normal((max(rows, columns), min(rows, columns))))
    q *= numpy.sign(numpy.diag(r))  # makes the distribution uniform over all such matrices
    return (q if rows >= columns else q.T).reshape(shape).astype(numpy.float32)


@checked
def initialize(model: Module, initializer: Initializer) -> None:
    """Set every parameter of model whose name is `weight`, in definition order, unless it is frozen.

    Biases, gammas and betas stay as they are.
    """
    if _mode.omitted:
        return
    for name, parameter in model.named_parameters():
        if name.rpartition(".")[2] == "weight" and parameter.requires_grad:
            weight = numpy.asarray(initializer(parameter.shape), parameter.dtype)
            parameter.writable("initialize")[...] = to_device(weight, parameter.device)
