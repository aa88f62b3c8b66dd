"""Attention: every position of a sequence or an image attends to all others, or to those of a context. `weights` says how much."""

import math
from typing import Literal

import numpy

from tinygen import functional as F
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.nn.conv import Conv2D
from tinygen.nn.describe import expect_sizes
from tinygen.nn.linalg import Dense
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter
from tinygen.nn.recurrent import expect_sequences
from tinygen.nn.spectral_norm import euclidean_norm


class _MultiHead(Module):
    """Queries of x (N, T, features), and keys and values of a context (N, S, context_features), divided among heads."""

    def __init__(self, features: int, context_features: int, heads: int) -> None:
        name = type(self).__name__
        expect_sizes(name, features=features, context_features=context_features, heads=heads)
        if features % heads:
            raise ValueError(f"{name}: {features} features cannot be divided among {heads} heads")
        self.query = Dense(features, features, bias=False)
        self.key = Dense(context_features, features, bias=False)
        self.value = Dense(context_features, features, bias=False)
        self.out = Dense(features, features)
        self.features, self.context_features, self.heads = features, context_features, heads

    def _split(self, x: Tensor) -> Tensor:
        """(N, T, features) -> (N, heads, T, d)."""
        n, steps, _ = x.shape
        return F.reshape(x, (n, steps, self.heads, self.features // self.heads)).transpose(0, 2, 1, 3)

    def _mixed(self, weights: Tensor, context: Tensor) -> Tensor:
        """The values of the context with these weights, all heads together."""
        heads = (weights @ self._split(self.value(context))).transpose(0, 2, 1, 3)
        return self.out(F.reshape(heads, (*heads.shape[:2], self.features)))


class SelfAttention(_MultiHead):
    """Multi-head scaled dot-product self-attention: (N, T, features) -> (N, T, features) (Vaswani et al., 2017).

    Each head has its own d = features / heads of the queries, keys and values. With `causal`, step t
    attends to steps 0 to t only. `forward(x, mask)` takes the mask of `functional.attention`, which
    broadcasts to (N, heads, T, T). `forward(x, last=True)` computes the last step alone, (N, 1,
    features). The similarity of a query q and a key k is either

        "dot"       <q, k> / sqrt(d), or
        "cosine"    scale <q, k> / (|q| |k|), with a learned scale for each head (Henry et al., 2020).

    The scale starts at sqrt(d), at which the cosines of random vectors vary as much as their dot
    products do.

    Raises ValueError if heads does not divide features, and for another similarity.
    """

    def __init__(self, features: int, heads: int = 1, causal: bool = False, similarity: Literal["dot", "cosine"] = "dot") -> None:
        if similarity not in ("dot", "cosine"):
            raise ValueError(f'SelfAttention: similarity must be "dot" or "cosine", got {similarity!r}')
        super().__init__(features, features, heads)
        start = numpy.full((heads, 1, 1), math.sqrt(features // heads), numpy.float32)
        self.scale = Parameter(start) if similarity == "cosine" else None
        self.causal = causal

    def weights(self, x: Tensor, mask: Tensor | Array | None = None, last: bool = False) -> Tensor:
        """How much step i of x attends to step j, (N, heads, T, T), or of the last i alone; the sum over j is 1."""
        expect_sequences(x, self.features)
        query, key = self._split(self.query(x[:, -1:] if last else x)), self._split(self.key(x))
        if self.scale is not None:
            query, key = (t / euclidean_norm(t, axis=-1, keepdims=True) for t in (query, key))
        return F.attention_weights(query, key, self.scale, mask, self.causal and not last)

    def forward(self, x: Tensor, mask: Tensor | Array | None = None, last: bool = False) -> Tensor:
        return self._mixed(self.weights(x, mask, last), x)

    def describe(self) -> str:
        causal, similarity = ", causal" if self.causal else "", ", cosine" if self.scale is not None else ""
        return f"SelfAttention({self.features}, heads {self.heads}{causal}{similarity})"


class CrossAttention(_MultiHead):
    """Multi-head attention of a sequence to another: x (N, T, features), context (N, S, context_features) -> (N, T, features).

    The queries are x's, the keys and values the context's, such as the words that an image is to show
    (Vaswani et al., 2017). `forward(x, context, mask)` takes the mask of `functional.attention`, which
    broadcasts to (N, heads, T, S). Raises ValueError if heads does not divide features.
    """

    def __init__(self, features: int, context_features: int, heads: int = 1) -> None:
        super().__init__(features, context_features, heads)

    def weights(self, x: Tensor, context: Tensor, mask: Tensor | Array | None = None) -> Tensor:
        """How much step i of x attends to step j of the context, (N, heads, T, S); the sum over j is 1."""
        expect_sequences(x, self.features)
        expect_sequences(context, self.context_features, "context")
        return F.attention_weights(self._split(self.query(x)), self._split(self.key(context)), mask=mask)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | Array | None = None) -> Tensor:
        return self._mixed(self.weights(x, context, mask), context)

    def describe(self) -> str:
        return f"CrossAttention({self.features}, context {self.context_features}, heads {self.heads})"


class SelfAttention2D(Module):
    """y = x + gamma o: every pixel of (N, H, W, channels) attends to all pixels (Zhang et al., 2019, the self-attention GAN).

    o_i = sum_j a[i, j] value_j with a[i, j] = softmax over j of <query_i, key_j>. Query, key and value
    are 1x1 convolutions of x; query and key have channels // 8 channels. The learned gamma starts at 0,
    so the layer starts as the identity.

    Raises ValueError for fewer than 8 channels.
    """

    def __init__(self, channels: int) -> None:
        expect_sizes("SelfAttention2D", channels=channels)
        if channels < 8:
            raise ValueError(f"SelfAttention2D: channels must be at least 8, since queries and keys have an eighth of them, got {channels}")
        self.query = Conv2D(channels, channels // 8, 1)
        self.key = Conv2D(channels, channels // 8, 1)
        self.value = Conv2D(channels, channels, 1)
        self.gamma = Parameter(F.zeros((1,)))
        self.channels = channels

    def weights(self, x: Tensor) -> Tensor:
        """How much pixel i of x attends to pixel j, (N, H W, H W), pixels in row-major order; the sum over j is 1."""
        return F.attention_weights(_pixels(self.query(x)), _pixels(self.key(x)), scale=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * F.reshape(self.weights(x) @ _pixels(self.value(x)), x.shape)

    def describe(self) -> str:
        return f"SelfAttention2D({self.channels})"


def _pixels(x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, H W, C)."""
    n, rows, columns, channels = x.shape
    return F.reshape(x, (n, rows * columns, channels))
