"""The arithmetic of tinygen: arrays in, arrays out, no autograd.

`Kernels` is the contract. Three modules implement it: `tinygen_kernels.reference` defines every
kernel in plain NumPy, `tinygen_kernels.cpu` is fast on NumPy arrays, and `tinygen_kernels.cuda` is
for CuPy arrays. `for_array(x)` returns the fast module for the array x.

If the environment variable TINYGEN_KERNELS is "reference" when a process first computes with a
NumPy array, `for_array` returns the reference for NumPy arrays instead. Then nothing is compiled,
and a debugger can step through every kernel.

Conventions, the same everywhere:

    images    NHWC   large x (N, H, W, C), small y (N, H', W', K)
    weights   HWIO   w (kh, kw, C, K)
    stride, dilation, kernel_size   (rows, columns)
    padding   ((top, bottom), (left, right))
    size      the (rows, columns) of the result: those of x, or the kernel size of w
    g         the gradient of a loss with respect to y, so it has the shape of y
    dtype     float32 or float64, the same for all arrays of a call and for the result

Arrays may have any memory layout and may be empty: a sum over nothing is 0. Kernels never write to
their arguments; `adam` and `blend` are the exceptions. Results are new C-contiguous arrays, and
their bits do not depend on the number of threads. Kernels do not check shapes: tinygen has checked
them before the call and has reported errors to the user.
"""

import functools
import importlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import numpy

Array = numpy.ndarray  # or CuPy's, which has the same methods: for type checkers they are one
Arrays = Array | tuple[Array, ...]
_HOST = numpy.ndarray, numpy.generic
Average = Callable[[Array], Array]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class Kernels(Protocol):
    """The names and signatures that the module of every device has."""

    def conv2d(
        self, x: Array, w: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair, negative_slope: float = 1.0
    ) -> Array:
        """Convolution: x (N,H,W,C), w (kh,kw,C,K), bias (K,) -> y (N,H',W',K).

        x counts as zero outside its borders, y = leaky_relu(z) where slope 1 means no activation, and

        z[n,i,j,k] = bias[k] + sum_{a,b,c} x[n, i*sh - top + a*dh, j*sw - left + b*dw, c] w[a,b,c,k]
        """

    def conv2d_data(
        self,
        y: Array,
        w: Array,
        bias: Array | None,
        size: Pair,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
        negative_slope: float = 1.0,
    ) -> Array:
        """The adjoint of conv2d in x: y (N,H',W',K), w (kh,kw,C,K), bias (C,) -> x (N,*size,C).

        This is the transposed convolution. Bias and leaky_relu follow it, as they do in conv2d.
        """

    def conv2d_weight(self, x: Array, y: Array, size: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Array:
        """The adjoint of conv2d in w: x (N,H,W,C), y (N,H',W',K) -> w (*size,C,K)."""

    def matmul(self, a: Array, b: Array, bias: Array | None = None, negative_slope: float = 1.0) -> Array:
        """leaky_relu(a @ b + bias): (..., M, K) @ (..., K, N) -> (..., M, N), with the same leading axes; bias (N,)."""

    def max_pool2d(self, x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> tuple[Array, Array]:
        """The maximum of each window and its position.

        Returns y (N,H',W',C) and indices, int32 of the same shape: h*W + w of the pixel in the
        image. Padding is not a part of any window. Of equal values the first in row-major order
        wins; a NaN wins over every number.
        """

    def max_pool2d_gather(self, x: Array, indices: Array) -> Array:
        """y[n,i,j,c] = x[n, pixel indices[n,i,j,c], c]."""

    def max_pool2d_scatter(self, g: Array, indices: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The adjoint of max_pool2d_gather -> (N,*size,C).

        Each pixel sums the g of the windows whose maximum it is.
        """

    def avg_pool2d(self, x: Array, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The mean of each window over its pixels inside the image -> y (N,H',W',C)."""

    def avg_pool2d_data(self, g: Array, size: Pair, kernel_size: Pair, stride: Pair, padding: Padding) -> Array:
        """The adjoint of avg_pool2d -> (N,*size,C)."""

    def column_sums(self, x: Array) -> Array:
        """The sum of x (...,C) over all axes but the last -> (C,).

        A CPU adds in double precision, a GPU as a tree in the precision of x.
        """

    def batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, negative_slope: float, over_all: Average | None = None
    ) -> tuple[Array, Array, Array]:
        """Normalise each channel (the last axis) over all other axes, then apply leaky_relu.

        Slope 1 means no activation.

        mean = E[x], var = E[(x - mean)^2] (biased), z = gamma (x - mean) / sqrt(var + eps) + beta,
        y = leaky_relu(z). Returns y, mean (C,), var (C,). x must not be empty. The sums are still
        accurate if the mean is a thousand times the standard deviation.

        Where processes share a batch, over_all gives the mean of the processes' arrays, each with the
        weight of the rows of its x.

        Source: Ioffe & Szegedy, 2015.
        """

    def batch_norm_backward(
        self,
        g: Array,
        x: Array,
        y: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        negative_slope: float,
        over_all: Average | None = None,
    ) -> tuple[Array, Array, Array]:
        """The gradients of sum(g * y) with respect to x, gamma and beta.

        mean and var count as functions of x. The sign of z is read off y.
        """

    def group_norm(self, x: Array, gamma: Array, beta: Array, groups: int, eps: float) -> tuple[Array, Array, Array]:
        """Normalise each group of neighbouring channels of each example: x (N,...,C), gamma and beta (C,).

        With mean and (biased) variance of a group over its channels and all axes between,
        y = gamma (x - mean) / sqrt(var + eps) + beta. Returns y, and mean and var (N,C), the same
        for all channels of a group. x must not be empty. Source: Wu & He, 2018.
        """

    def group_norm_backward(
        self, g: Array, x: Array, gamma: Array, mean: Array, var: Array, groups: int, eps: float
    ) -> tuple[Array, Array, Array]:
        """The gradients of sum(g * y) with respect to x, gamma and beta, as in batch_norm_backward."""

    def minibatch_deviation(self, x: Array, eps: float, batches: int, over_all: Average | None = None) -> tuple[Array, Array, Array]:
        """How much the examples of a batch differ, as one channel more: x (N,...,C) -> y (N,...,C+1).

        Example n is one of batch n % batches. mean = E[x] and deviation = sqrt(E[(x - mean)^2] + eps)
        are over the examples of each batch, so they have the shape (batches,...,C). y holds x and, in its
        last channel, the mean s of all deviations of the example's batch. Returns y, mean, deviation. x must
        not be empty, and batches divides N. over_all is that of batch_norm.

        Source: Karras et al., 2018, section 3.
        """

    def minibatch_deviation_backward(self, g: Array, x: Array, mean: Array, deviation: Array, over_all: Average | None = None) -> Array:
        """The gradient of sum(g * y) with respect to x: that of s is (x - mean) / (deviation * size of the batch)."""

    def leaky_relu(self, x: Array, negative_slope: float) -> Array:
        """x, but negative_slope*x where x <= 0; negative_slope >= 0. A NaN stays.

        Slope 0 is ReLU, which is 0 there even for -inf.
        """

    def leaky_relu_backward(self, g: Array, y: Array, negative_slope: float) -> Array:
        """The gradient of sum(g * y) with respect to x: g, but negative_slope*g where y <= 0.

        The sign of x is read off y.
        """

    def bias_leaky_relu_backward(self, g: Array, y: Array, negative_slope: float) -> tuple[Array, Array]:
        """The gradients of sum(g * y) with respect to z and b, where y = leaky_relu(z + b), z (...,C) and b (C,).

        They are those of `leaky_relu_backward` and their `column_sums`.
        """

    def tanh_backward(self, g: Array, y: Array) -> Array:
        """The gradient of sum(g * y) with respect to x, where y = tanh(x): g (1 - y^2)."""

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + e^-x)."""

    def softplus(self, x: Array) -> Array:
        """log(1 + e^x). Never overflows."""

    def binary_cross_entropy(self, z: Array, t: Array | float) -> Array:
        """softplus(z) - t z for each element: -t log s(z) - (1 - t) log(1 - s(z)) with the sigmoid s.

        t is a number, or broadcasts to z.
        """

    def binary_cross_entropy_backward(self, g: Array, z: Array, t: Array | float) -> Array:
        """The gradient of sum(g * y) with respect to z: g (s(z) - t)."""

    def blend(self, a: Arrays, b: Arrays, shares: Array | tuple[float, float]) -> None:
        """Update a in place: a = s a + r b with the shares (s, r), which are numbers or an array.

        a and b are arrays, or tuples of as many arrays.
        """

    def dropout(self, x: Array, p: float, seed: int | Array, first: int = 0) -> Array:
        """y_i = 0 with probability p, else x_i / (1 - p); 0 <= p < 1.

        i counts the elements in row-major order, from `first` on. The choice depends only on i and
        the seed (0 <= seed < 2^64): y_i = 0 if random word i is below round(p 2^32). Words 2j and
        2j + 1 are Philox2x32-10 of the counter (j, seed // 2^32) and the key seed % 2^32. The seed
        is an integer, or a uint64 array of one where x is. Source: Salmon et al., 2011.
        """

    def adam(self, p: Arrays, g: Arrays, m: Arrays, v: Arrays, constants: Array) -> None:
        """Update p, m and v in place by one step of Adam, with the seven constants (d, b1, c1, b2, c2, r, e):

        m = b1 m + c1 g;  v = b2 v + c2 g^2;  p = d p - r m / (sqrt(v) + e)

        Each of p, g, m and v is an array, or a tuple of as many arrays. `tinygen.optim.Adam` says
        what they are. Source: Kingma & Ba, 2015.
        """


def array_module(x: Array) -> ModuleType:
    """The module, numpy or cupy, whose functions accept x.

    Raises TypeError if x is not an array of either.
    """
    if type(x) is numpy.ndarray:  # the usual case, and the fastest test
        return numpy
    if isinstance(x, _HOST):
        from tinygen_kernels import recording

        return recording.module if recording.current() else numpy
    if not hasattr(type(x), "__cuda_array_interface__"):
        raise TypeError(f"takes arrays of NumPy or CuPy, got {type(x).__name__} {x!r}")
    return importlib.import_module("cupy")


def for_array(x: Array, *others: Array | None) -> Kernels:
    """The kernels for the device of x. If that is a GPU, it becomes CuPy's current device.

    The first call imports the kernels, and with them Numba.

    Raises TypeError if x is not an array, or its dtype is neither float32 nor float64. Raises
    ValueError if the other arrays of the call are on another device than x, or if TINYGEN_KERNELS
    has an unknown value.
    """
    kernels: Any
    array_module(x)  # refuses what is no array
    for other in others:
        if other is not None and other.device != x.device:
            devices = ", ".join(str(array.device) for array in (x, *others) if array is not None)
            raise ValueError(f"the kernels take arrays of one device, not of {devices}")
    if isinstance(x, _HOST):
        kernels = _host_kernels()
    else:
        device: Any = x.device  # CuPy's
        device.use()
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
