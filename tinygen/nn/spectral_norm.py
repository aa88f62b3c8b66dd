"""Spectral normalisation of a layer's weight."""

import inspect
from typing import Any

from tinygen import functional as F
from tinygen.engine.tensor import Axis, Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Buffer, Parameter


def euclidean_norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(sum of x^2 over axis + 1e-12); the small constant keeps the gradient at 0 finite."""
    return F.sqrt((x * x).sum(axis, keepdims) + 1e-12)


class SpectralNorm(Module):
    """A layer whose weight W is divided by W's largest singular value, which bounds the layer's slope (Miyato et al., 2018).

    As a matrix, W has the shape (all axes but the last, last axis). A transposed convolution counts as
    the convolution it transposes, since the two have the same singular values. One power iteration from
    the buffer u estimates the largest singular value:

        v = W u / |W u|,    sigma = |W^T v|,    and in training u becomes W^T v / sigma,

    so the estimate improves with each step. Gradients pass through both products: they are those of the
    estimate, to any order.

    The layer's forward must take an argument `weight`, which it uses in place of its own, as those of
    Dense, Conv2D, ConvTranspose2D and Embedding do. Raises ValueError if it does not.
    """

    def __init__(self, layer: Module) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Parameter) or "weight" not in inspect.signature(layer.forward).parameters:
            given = layer.describe() if isinstance(layer, Module) else repr(layer)
            raise ValueError(f"SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not {given}")
        self.layer: Any = layer
        self.u = Buffer(F.randn(weight.shape[-1:]))

    def sigma(self) -> Tensor:
        """The estimate of the largest singular value; u stays as it is."""
        return self._iterated()[0]

    def _iterated(self) -> tuple[Tensor, Tensor]:
        """sigma and W^T v; the next u is W^T v / sigma."""
        matrix = F.reshape(self.layer.weight, (-1, self.u.size))
        v = matrix @ self.u.detach()
        product = matrix.T @ (v / euclidean_norm(v))
        return euclidean_norm(product), product

    def forward(self, *inputs: Any) -> Any:
        sigma, product = self._iterated()
        if self.training:
            self.u.data = product.data / sigma.data  # a new array: the graph needs the old one
        return self.layer(*inputs, weight=self.layer.weight / sigma)
