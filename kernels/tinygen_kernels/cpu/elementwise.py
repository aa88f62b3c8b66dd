# mypy: allow-untyped-defs
"""Kernels that compute each element on its own, in one pass over memory.

An item is a fixed number of consecutive elements.
"""

from collections.abc import Callable
from typing import Any

import numpy

from tinygen_kernels import Array, Arrays
from tinygen_kernels.cpu.compiled import helper
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import launch

_ITEM = 1 << 14  # elements; an even number, because random words come in pairs

# The multiplier and the key step of Philox2x32. All are uint64, because Numba converts uint64 and a
# Python int to float64.
_MULTIPLIER, _KEY_STEP, _LOW_WORD, _WORD_BITS = (numpy.uint64(n) for n in (0xD256D193, 0x9E3779B9, 0xFFFFFFFF, 32))


def leaky_relu(x: Array, negative_slope: float) -> Array:
    return leaky_relu_backward(x, x, negative_slope)


def leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> Array:
    g_x = empty(g.shape, g.dtype)
    launch(_scale_negative, _items(g), flat(g), flat(y), g.dtype.type(negative_slope), flat(g_x))
    return g_x


def dropout(x: Array, p: float, seed: int | Array, first: int = 0) -> Array:
    y = empty(x.shape, x.dtype)
    words = flat(seed) if isinstance(seed, numpy.ndarray) else numpy.array([seed], numpy.uint64)
    launch(_drop, _items(x), flat(x), words, numpy.uint64(round(p * 2**32)), x.dtype.type(1 / (1 - p)), first, flat(y))
    return y


def tanh_backward(g: Array, y: Array) -> Array:
    g_x = numpy.multiply(y, -y, order="C")
    g_x += 1.0
    g_x *= g
    return g_x


def sigmoid(x: Array) -> Array:
    e = numpy.exp(-numpy.abs(x, order="C"))  # never overflows, and keeps the precision of small results
    y = numpy.maximum(e, x >= 0)
    e += 1.0
    y /= e
    return y


def softplus(x: Array) -> Array:
    y = _log1p(numpy.exp(-numpy.abs(x, order="C")))
    y += numpy.maximum(x, 0.0)
    return y


def _log1p(e: Array) -> Array:
    """log(1 + e) for e >= 0, in a third of the time of NumPy's log1p, which has no vector instructions.

    Let u be 1 + e, rounded, and d = e - (u - 1), which is exact, what the rounding lost. Then
    log(1 + e) = log(u + d) = log(u) + d / u, to the precision of log.
    """
    u = e + 1
    y = e - (u - 1)
    y /= u
    y += numpy.log(u)
    return y


def binary_cross_entropy(z: Array, t: Array | float) -> Array:
    y = softplus(z)
    y -= z * t
    return y


def binary_cross_entropy_backward(g: Array, z: Array, t: Array | float) -> Array:
    g_z = sigmoid(z)
    g_z *= g
    g_z -= g * t
    return g_z


def blend(a: Arrays, b: Arrays, shares: Array | tuple[float, float]) -> None:
    sets = (arrays if isinstance(arrays, tuple) else (arrays,) for arrays in (a, b))
    for moved, other in zip(*sets, strict=True):
        _update(_blend, (moved,), flat(other), flat(numpy.asanyarray(shares, moved.dtype)))


def adam(p: Arrays, g: Arrays, m: Arrays, v: Arrays, constants: Array) -> None:
    sets = (arrays if isinstance(arrays, tuple) else (arrays,) for arrays in (p, g, m, v))
    for parameter, gradient, mean, mean_square in zip(*sets, strict=True):
        _update(_adam, (parameter, mean, mean_square), flat(gradient), flat(constants))


def _update(kernel: Callable[..., None], arrays: Arrays, *others: Any) -> None:
    moved = [flat(array) for array in arrays]
    launch(kernel, _items(moved[0]), *moved, *others)
    for array, elements in zip(arrays, moved, strict=True):
        if not numpy.may_share_memory(array, elements):  # `flat` has made a copy
            array[...] = elements.reshape(array.shape)


def _items(x: Array) -> int:
    return -(-x.size // _ITEM)


def _scale_negative(item, x, sign, slope, y):
    x, sign, y = _of_item(x, item), _of_item(sign, item), _of_item(y, item)
    for i in range(x.size):
        y[i] = leaky(x[i], sign[i], slope)


@helper
def leaky(x, sign, slope):
    """x, but slope * x where sign <= 0: 0 for a slope of 0, even if x is infinite. A NaN stays."""
    return x if not sign <= 0 else slope * x if slope != 0 else slope


@helper
def _philox(counter, key, stream):
    """Two 32-bit random words, as uint64."""
    # The masks tell the compiler that all numbers have 32 bits: it then needs one multiplication, not three.
    left, right, key = counter & _LOW_WORD, stream & _LOW_WORD, key & _LOW_WORD
    for _ in range(10):
        product = _MULTIPLIER * left
        left, right = (product >> _WORD_BITS) ^ key ^ right, product & _LOW_WORD
        key = (key + _KEY_STEP) & _LOW_WORD
    return left, right


def _drop(item, x, seed, threshold, scale, first, y):
    key, stream = seed[0] & _LOW_WORD, seed[0] >> _WORD_BITS
    x, y, first_pair, dropped = _of_item(x, item), _of_item(y, item), (first + item * _ITEM) // 2, x.dtype.type(0)
    if first % 2:  # the second of a pair is alone at the beginning of each item
        _, word = _philox(numpy.uint64(first_pair), key, stream)
        y[0] = x[0] * (scale if word >= threshold else dropped)
        x, y, first_pair = x[1:], y[1:], first_pair + 1
    for pair in range(x.size // 2):
        word, next_word = _philox(numpy.uint64(first_pair + pair), key, stream)
        y[2 * pair] = x[2 * pair] * (scale if word >= threshold else dropped)
        y[2 * pair + 1] = x[2 * pair + 1] * (scale if next_word >= threshold else dropped)
    if x.size % 2:
        word, _ = _philox(numpy.uint64(first_pair + x.size // 2), key, stream)
        y[x.size - 1] = x[x.size - 1] * (scale if word >= threshold else dropped)


def _blend(item, moved, other, shares):
    other, moved, kept, added = _of_item(other, item), _of_item(moved, item), shares[0], shares[1]
    for i in range(moved.size):
        moved[i] = kept * moved[i] + added * other[i]


def _adam(item, p, m, v, g, constants):
    g, p, m, v = _of_item(g, item), _of_item(p, item), _of_item(m, item), _of_item(v, item)
    decay, beta1, one_minus_beta1, beta2, one_minus_beta2, rate, eps = constants[:7]
    for i in range(g.size):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        p[i] = decay * p[i] - rate * m[i] / (numpy.sqrt(v[i]) + eps)


@helper
def _of_item(x, item):
    return x[item * _ITEM : (item + 1) * _ITEM]
