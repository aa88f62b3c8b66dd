"""The arithmetic of tinygen: arrays in, arrays out, no autograd.

`Kernels` is the contract. Three modules keep it: `tinygen_kernels.reference` says in plain loops what every kernel means,
`tinygen_kernels.cpu` is fast on NumPy arrays, and `tinygen_kernels.cuda` is made for CuPy's. `for_array(x)` gives the fast module that
serves the array x.

Where the environment variable TINYGEN_KERNELS is "reference" when the first array is computed with, NumPy arrays are served by the
reference instead. Nothing is compiled then, so that a debugger steps through every kernel.

Conventions, the same everywhere:

    images    NHWC   x (N, H, W, C), y (N, H', W', K)
    weights   HWIO   w (kh, kw, C, K)
    stride, dilation, kernel_size   (rows, columns)
    padding   ((top, bottom), (left, right))
    size      the spatial or kernel size (rows, columns) of the array to be made
    dtype     float32 or float64, the same for all arrays of a call; the result has it too

Arrays of any memory layout are accepted and, but for those that `adam` moves, never written to. Results are new C-contiguous
arrays, and the same bits come out whatever the number of threads. The callers in tinygen have checked the shapes and say so to the
user; kernels do not check again.
"""

import functools
import importlib
import os
from types import ModuleType
from typing import Any, Protocol

import numpy

Array = Any  # numpy.ndarray, or the array type of another device
_HOST = numpy.ndarray, numpy.generic
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class Kernels(Protocol):
    """The names and signatures that every device's module has."""

    def conv2d(self, x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair) -> Array:
        """y[n,i,j,k] = bias[k] + sum_{a,b,c} x[n, i*sh - top + a*dh, j*sw - left + b*dw, c] w[a,b,c,k], x zero outside."""

    def conv2d_data(self, g: Array, w: Array, bias: Array | None, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
        """The adjoint of conv2d in x, plus bias (C,): g (N,H',W',K) -> (N, *size, C). This is the transposed convolution."""

    def conv2d_weight(self, x: Array, g: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
        """The adjoint of conv2d in w: x (N,H,W,C), g (N,H',W',K) -> (*size, C, K)."""

    def matmul(self, a: Array, b: Array) -> Array:
        """(M, K) @ (K, N) -> (M, N)."""

    def max_pool2d(self, x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
        """The maximum of each window and where it is: y (N,H',W',C) and indices, int32 of the same shape, h*W + w in the image.

        Pixels outside the image take no part. Of equal values the first in row-major order wins; a NaN wins over everything.
        """

    def max_pool2d_gather(self, x: Array, indices: Array) -> Array:
        """y[n,i,j,c] = x[n, pixel indices[n,i,j,c], c]."""

    def max_pool2d_scatter(self, g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The adjoint of max_pool2d_gather: each input pixel adds up the g of the windows that chose it -> (N, *size, C)."""

    def avg_pool2d(self, x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The mean of each window over its pixels that lie inside the image."""

    def avg_pool2d_data(self, g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The adjoint of avg_pool2d -> (N, *size, C)."""

    def column_sums(self, x: Array) -> Array:
        """The sum of x (..., C) over all axes but the last -> (C,), added up in double precision, on a GPU as a tree in that of x."""

    def batch_norm(self, x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float) -> tuple[Array, Array, Array]:
        """Normalise each channel (the last axis) over all other axes, then leaky ReLU (slope 1: no activation, 0: ReLU).

        mean = E[x], var = E[(x - mean)^2] (biased), z = gamma (x - mean) / sqrt(var + eps) + beta, y = leaky_relu(z).
        Returns y, mean (C,), var (C,). x is not empty. Sums are exact enough for a mean a thousand times the deviation.
        """

    def batch_norm_backward(
        self, g: Array, x: Array, y: Array, gamma: Array, mean: Array, var: Array, eps: float, negative_slope: float
    ) -> tuple[Array, Array, Array]:
        """The gradients of sum(g * y) to x, gamma and beta, mean and var being functions of x. The sign of y stands for that of z."""

    def leaky_relu(self, x: Array, negative_slope: float) -> Array:
        """x, but negative_slope*x where x <= 0, with negative_slope >= 0 (0: ReLU, which is 0 there even of -inf). A NaN stays."""

    def leaky_relu_backward(self, g: Array, y: Array, negative_slope: float) -> Array:
        """g, but negative_slope*g where y <= 0: the gradient of sum(g * y) to x. The sign of y stands for that of x."""

    def dropout(self, x: Array, p: float, seed: int) -> Array:
        """y_i = x_i * (0 with probability p, 1/(1 - p) otherwise), 0 <= p < 1, i counting the elements in row-major order.

        Which it is follows from i and the seed (0 <= seed < 2^64) alone: 0 if word i of their random words is below round(p 2^32).
        Words 2j and 2j + 1 are Philox2x32-10 of the counter (j, seed // 2^32) and the key seed % 2^32 (Salmon et al., 2011).
        """

    def adam(
        self, p: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, eps: float, step: int, weight_decay: float
    ) -> None:
        """Moves p, m and v in place by a step of Adam with decoupled weight decay (Kingma & Ba, 2015; Loshchilov & Hutter, 2019):

        m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
        p = (1 - lr weight_decay) p - lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps), the first step being 1.
        """


def array_module(x: Array) -> ModuleType:
    """The module, numpy or cupy, whose functions take x."""
    if isinstance(x, _HOST):
        return numpy
    if not hasattr(type(x), "__cuda_array_interface__"):
        raise TypeError(f"takes arrays of NumPy or CuPy, got {type(x).__name__} {x!r}")
    return importlib.import_module("cupy")


def for_array(x: Array, *others: Array | None) -> Kernels:
    """The kernels that serve x. They are imported, and so Numba with them, at the first call. A GPU becomes CuPy's current one.

    Raises TypeError where x is of a type or a dtype that no kernels are made for, and ValueError where the other arrays of the call
    are not where x is, and where TINYGEN_KERNELS has an unknown value.
    """
    kernels: Any
    module = array_module(x)
    for other in others:
        if other is not None and other.device != x.device:
            devices = ", ".join(str(array.device) for array in (x, *others) if array is not None)
            raise ValueError(f"the kernels take arrays of one device, not of {devices}")
    if module is numpy:
        kernels = _host_kernels()
    else:
        x.device.use()
        from tinygen_kernels import cuda as kernels
    if x.dtype.char not in "fd" or not x.dtype.isnative:
        raise TypeError(f"the kernels take float32 and float64, not {x.dtype}")
    return kernels


@functools.cache
def _host_kernels() -> Any:
    choice = os.environ.get("TINYGEN_KERNELS", "")
    if choice not in ("", "reference"):
        raise ValueError(f'TINYGEN_KERNELS chooses the kernels for NumPy arrays: "reference", or unset for the fast ones, not "{choice}"')
    return importlib.import_module(f"tinygen_kernels.{choice or 'cpu'}")
