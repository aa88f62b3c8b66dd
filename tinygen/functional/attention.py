"""Attention: means of values, weighted by the similarity of a query to each value's key."""

import math

from tinygen.backend import Array, array_module, to_device
from tinygen.engine.tensor import Tensor, array_of
from tinygen.functional.activation import softmax
from tinygen.functional.linalg import matmul
from tinygen.functional.selection import where
from tinygen.functional.shape import swapaxes

_FAR = -1e9  # e^-1e9 is 0, and -inf would look like an anomaly


def attention_weights(
    query: Tensor, key: Tensor, scale: Tensor | float | None = None, mask: Tensor | Array | None = None, causal: bool = False
) -> Tensor:
    """a[i, j] = softmax over j of scale <query_i, key_j>, the weight of value j for query i.

    query (..., queries, features), key (..., keys, features) -> (..., queries, keys); the leading
    axes broadcast. `scale` is 1 / sqrt(features) unless given. `mask` broadcasts to the weights:
    booleans are true where a query may look, and numbers are added to what the softmax is taken of,
    as a bias for each distance is. With `causal`, query i looks at keys 0 to i only. A query that may
    look nowhere looks everywhere alike. Raises ValueError where features differ, and TypeError where
    mask is of integers.
    """
    if query.ndim < 2 or key.ndim < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"attention: query {query.shape} and key {key.shape} must be (..., number, features) with as many features")
    scores = matmul(query * (1.0 / math.sqrt(max(1, query.shape[-1])) if scale is None else scale), swapaxes(key, -1, -2))
    if mask is not None:
        scores = _masked(scores, mask)
    if causal:
        scores = where(Tensor(array_module(scores.data).tri(*scores.shape[-2:], dtype=bool)), scores, _FAR)
    return softmax(scores)


def _masked(scores: Tensor, mask: Tensor | Array) -> Tensor:
    kind = array_of(mask).dtype
    if kind.kind == "b":
        return where(to_device(array_of(mask), scores.device), scores, _FAR)
    if kind.kind != "f":
        raise TypeError(f"attention: mask must be booleans, true where a query may look, or numbers that are added, got {kind}")
    return scores + (mask if isinstance(mask, Tensor) else Tensor(to_device(mask.astype(scores.dtype), scores.device)))


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: Tensor | float | None = None,
    mask: Tensor | Array | None = None,
    causal: bool = False,
) -> Tensor:
    """y_i = sum_j a[i, j] value_j with the weights a of `attention_weights` (Vaswani et al., 2017).

    query (..., queries, features), key (..., keys, features), value (..., keys, channels) -> (...,
    queries, channels).
    """
    return matmul(attention_weights(query, key, scale, mask, causal), value)
