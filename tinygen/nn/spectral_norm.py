"""Spectral normalisation of a layer's weight."""

from typing import Any

from tinygen import functional as F
from tinygen.engine.tensor import Axis, Tensor
from tinygen.nn.module import Module


def length(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(sum of x^2 over axis), and a little more, which keeps the gradient at 0 finite."""
    return F.sqrt((x * x).sum(axis, keepdims) + 1e-12)


class SpectralNorm(Module):
    """A layer with its weight W divided by W's largest singular value, which bounds the layer's slope (Miyato et al., 2018).

    As a matrix, W is (everything but its last axis, its last axis): a transposed convolution counts as the one it transposes, since the
    two have the same singular values. One power iteration from the buffer u estimates the largest:

        v = W u / |W u|,    sigma = |W^T v|,    and in training u becomes W^T v / sigma,

    so that sigma grows exact from step to step. Gradients pass through both products: they are those of the estimate, to any order.
    """

    def __init__(self, layer: Module) -> None:
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor):
            raise ValueError(f"SpectralNorm: takes a layer with a weight, such as Dense or Conv2D, not {layer.describe()}")
        self.layer: Any = layer
        self.u = F.randn(weight.shape[-1:])

    def sigma(self) -> Tensor:
        """The estimate of the largest singular value."""
        matrix = F.reshape(self.layer.weight, (-1, self.u.size))
        v = matrix @ self.u.detach()
        product = matrix.T @ (v / length(v))
        sigma = length(product)
        if self.training:
            self.u.data = product.data / sigma.data  # a new array: the graph needs the old one
        return sigma

    def forward(self, *inputs: Any) -> Any:
        weight = self.layer.weight
        self.layer.weight = weight / self.sigma()
        try:
            return self.layer(*inputs)
        finally:
            self.layer.weight = weight
