"""Attention: means of values, weighted by the similarity of a query to each value's key."""

import math

from tinygen.backend import Array, to_device
from tinygen.engine.tensor import Tensor, array_of
from tinygen.functional.activation import softmax
from tinygen.functional.linalg import matmul
from tinygen.functional.selection import where
from tinygen.functional.shape import swapaxes


def attention_weights(query: Tensor, key: Tensor, scale: Tensor | float | None = None, mask: Tensor | Array | None = None) -> Tensor:
    """a[i, j] = softmax over j of scale <query_i, key_j>, the weight of value j for query i.

    query (..., queries, features), key (..., keys, features) -> (..., queries, keys); the leading
    axes broadcast. `scale` is 1 / sqrt(features) unless given. `mask`, booleans that broadcast to
    the weights, is true where a query may look; a query that may look nowhere looks everywhere
    alike. Raises ValueError where features differ, and where mask is of numbers.
    """
    if query.ndim < 2 or key.ndim < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"attention: query {query.shape} and key {key.shape} must be (..., number, features) with as many features")
    scores = matmul(query * (1.0 / math.sqrt(max(1, query.shape[-1])) if scale is None else scale), swapaxes(key, -1, -2))
    if mask is not None:
        if array_of(mask).dtype != bool:
            raise ValueError(f"attention: mask must be booleans, true where a query may look, got {array_of(mask).dtype}")
        scores = where(to_device(array_of(mask), scores.device), scores, -1e9)  # e^-1e9 is 0, and -inf would look like an anomaly
    return softmax(scores)


def attention(query: Tensor, key: Tensor, value: Tensor, scale: Tensor | float | None = None, mask: Tensor | Array | None = None) -> Tensor:
    """y_i = sum_j a[i, j] value_j with the weights a of `attention_weights` (Vaswani et al., 2017).

    query (..., queries, features), key (..., keys, features), value (..., keys, channels) -> (...,
    queries, channels).
    """
    return matmul(attention_weights(query, key, scale, mask), value)
