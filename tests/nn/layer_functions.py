"""The functions of those layers in `layer_table` that take more than an expression."""

from typing import Any

import numpy

import tinygen.functional as F
from tinygen import Tensor, nn


def spectral_dense(m: nn.SpectralNorm, x: Tensor) -> Tensor:
    return F.dense(x, m.layer.weight / m.sigma(), m.layer.bias)


def crossed(m: Any, x: Tensor, context: Tensor, scale: Tensor | None = None, mask: Any = None) -> Tensor:
    """With two heads: that of features 0 and 1, and that of 2 and 3."""
    query, key, value = (F.stack([t[..., :2], t[..., 2:]], axis=1) for t in (m.query(x), m.key(context), m.value(context)))
    if scale is not None:
        query, key = (t / F.sqrt((t * t).sum(axis=-1, keepdims=True) + 1e-12) for t in (query, key))
    y = F.attention(query, key, value, scale, mask)
    return m.out(F.concatenate([y[:, 0], y[:, 1]], axis=-1))


def attended(m: nn.SelfAttention, x: Tensor) -> Tensor:
    return crossed(m, x, x, m.scale, numpy.tri(x.shape[1], dtype=bool) if m.causal else None)


def attended_2d(m: nn.SelfAttention2D, x: Tensor) -> Tensor:
    query, key, value = (part(x).reshape(len(x), -1, channels) for part, channels in ((m.query, 1), (m.key, 1), (m.value, 8)))
    return x + m.gamma * F.attention(query, key, value, scale=1.0).reshape(x.shape)


def by_steps(m: Any, x: Tensor) -> Tensor:
    states = [m.start(len(x))]
    for t in range(x.shape[1]):
        states.append(m.step(x[:, t], states[-1]))
    return F.stack([state[0] for state in states[1:]], axis=1)


def coloured(m: nn.DifferentiableAugment, x: Tensor) -> Tensor:
    """The brightness, then the saturation, then the contrast of each image by a random number of its own."""
    if not m.training:
        return x
    u, v, w = (F.rand((len(x), 1, 1, 1), x.dtype, x.device) for _ in range(3))
    x = x + (u - 0.5)
    grey = x.mean(axis=3, keepdims=True)
    x = grey + 2.0 * v * (x - grey)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (w + 0.5) * (x - mean)
