# mypy: allow-untyped-defs
"""Kernels that work on each element by itself, in one pass over memory.

An array is cut into parts of a fixed length, which are the items of work.
"""

import math

import numpy

from tinygen_kernels import Array
from tinygen_kernels.cpu.memory import empty, flat
from tinygen_kernels.cpu.parallel import helper, launch

_PART = 1 << 16  # numbers; even, as random words come in pairs

# The multiplier of Philox2x32 and the step of its key. All are uint64: Numba would make float64 of uint64 and a Python int.
_MULTIPLIER, _KEY_STEP, _LOW_WORD, _WORD_BITS = (numpy.uint64(n) for n in (0xD256D193, 0x9E3779B9, 0xFFFFFFFF, 32))


def leaky_relu(x: Array, negative_slope: float) -> Array:
    y, elements = empty(x.shape, x.dtype), flat(x)
    launch(_scale_negative, _parts(x), elements, elements, x.dtype.type(negative_slope), flat(y))
    return y


def leaky_relu_backward(g: Array, y: Array, negative_slope: float) -> Array:
    g_x = empty(g.shape, g.dtype)
    launch(_scale_negative, _parts(g), flat(g), flat(y), g.dtype.type(negative_slope), flat(g_x))
    return g_x


def dropout(x: Array, p: float, seed: int) -> Array:
    y = empty(x.shape, x.dtype)
    words = numpy.uint64(seed) & _LOW_WORD, numpy.uint64(seed) >> _WORD_BITS
    launch(_drop, _parts(x), flat(x), *words, numpy.uint64(round(p * 2**32)), x.dtype.type(1 / (1 - p)), flat(y))
    return y


def adam(p: Array, g: Array, m: Array, v: Array, lr: float, beta1: float, beta2: float, eps: float, step: int, weight_decay: float) -> None:
    # Both corrections of bias, m / (1 - beta1^t) and v / (1 - beta2^t), taken out of the loop.
    correction = math.sqrt(1 - beta2**step)
    constants = 1 - lr * weight_decay, beta1, 1 - beta1, beta2, 1 - beta2, lr * correction / (1 - beta1**step), eps * correction
    changed = [flat(array) for array in (p, m, v)]
    launch(_adam, _parts(p), flat(g), *changed, *(p.dtype.type(constant) for constant in constants))
    for array, elements in zip((p, m, v), changed, strict=True):
        if not numpy.may_share_memory(array, elements):
            array[...] = elements.reshape(array.shape)


def _parts(x: Array) -> int:
    return -(-x.size // _PART)


def _scale_negative(part, x, sign, slope, y):
    x, sign, y = _part(x, part), _part(sign, part), _part(y, part)
    for i in range(x.size):
        y[i] = leaky(x[i], sign[i], slope)


@helper
def leaky(x, sign, slope):
    """x, but slope * x where sign <= 0: 0 for a slope of 0, even if x is infinite. A NaN stays."""
    return x if not sign <= 0 else slope * x if slope != 0 else slope


@helper
def _philox(counter, key, stream):
    """Two random words of 32 bits, as uint64."""
    left, right = counter, stream
    for _ in range(10):
        product = _MULTIPLIER * left
        left, right = (product >> _WORD_BITS) ^ key ^ right, product & _LOW_WORD
        key = (key + _KEY_STEP) & _LOW_WORD
    return left, right


def _drop(part, x, key, stream, threshold, scale, y):
    x, y, first_pair, dropped = _part(x, part), _part(y, part), part * _PART // 2, x.dtype.type(0)
    for pair in range(x.size // 2):
        first, second = _philox(numpy.uint64(first_pair + pair), key, stream)
        y[2 * pair] = x[2 * pair] * (scale if first >= threshold else dropped)
        y[2 * pair + 1] = x[2 * pair + 1] * (scale if second >= threshold else dropped)
    if x.size % 2:
        first, _ = _philox(numpy.uint64(first_pair + x.size // 2), key, stream)
        y[x.size - 1] = x[x.size - 1] * (scale if first >= threshold else dropped)


def _adam(part, g, p, m, v, kept, beta1, rest1, beta2, rest2, rate, eps):
    g, p, m, v = _part(g, part), _part(p, part), _part(m, part), _part(v, part)
    for i in range(g.size):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * (g[i] * g[i])
        p[i] = kept * p[i] - rate * m[i] / (numpy.sqrt(v[i]) + eps)


@helper
def _part(x, part):
    return x[part * _PART : (part + 1) * _PART]
