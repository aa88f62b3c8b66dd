"""Spectral normalisation of a layer's weight."""

import inspect
from typing import Any

from tinygen import functional as F
from tinygen.engine.tensor import Axis, Tensor
from tinygen.nn.module import Module
from tinygen.nn.parameter import Buffer, Parameter


def length(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(sum of x^2 over axis + 1e-12); the small constant keeps the gradient at 0 finite."""
    return F.sqrt((x * x).sum(axis, keepdims) + 1e-12)


class SpectralNorm(Module):
    """A layer with its weight W divided by W's largest singular value, which bounds the layer's slope (Miyato et al., 2018).

    As a matrix, W is (everything but its last axis, its last axis): a transposed convolution counts as the one it transposes, since the
    two have the same singular values. One power iteration from the buffer u estimates the largest:

        v = W u / |W u|,    sigma = |W^T v|,    and in training u becomes W^T v / sigma,

    so that sigma grows exact from step to step. Gradients pass through both products: they are those of the estimate, to any order.

    The layer's forward must take the weight to use as `weight`, as those of Dense, Conv2D, ConvTranspose2D and Embedding do. Raises
    ValueError where it does not.
    """

    def __init__(self, layer: Module) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Parameter) or "weight" not in inspect.signature(layer.forward).parameters:
            raise ValueError(f"SpectralNorm: takes a layer whose forward takes a weight, as that of Dense, not {layer.describe()}")
        self.layer: Any = layer
        self.u = Buffer(F.randn(weight.shape[-1:]))

    def sigma(self) -> Tensor:
        """The estimate of the largest singular value, from u as it is."""
        return self._iterated()[0]

    def _iterated(self) -> tuple[Tensor, Tensor]:
        """sigma, and W^T v, which over sigma is the next u."""
        matrix = F.reshape(self.layer.weight, (-1, self.u.size))
        v = matrix @ self.u.detach()
        product = matrix.T @ (v / length(v))
        return length(product), product

    def forward(self, *inputs: Any) -> Any:
        sigma, product = self._iterated()
        if self.training:
            self.u.data = product.data / sigma.data  # a new array: the graph needs the old one
        return self.layer(*inputs, weight=self.layer.weight / sigma)
