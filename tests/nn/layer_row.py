"""A row of `layer_table`: a layer, and what is known of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy

import tinygen.functional as F
from tinygen import Tensor, nn
from tinygen.engine.tensor import Shape
from tinygen.testing import random_tensor


@dataclass(frozen=True)
class Row:
    """A layer, the text that describes it, the function that it is, the shapes that go in and come out, and those of its tensors.

    `labels` says how many labels there are where those go in instead of numbers.
    """

    make: Callable[[], nn.Module]
    text: str
    function: Callable[..., Tensor]
    takes: Shape
    gives: Shape
    parameters: dict[str, Shape] = field(default_factory=dict)
    buffers: dict[str, Shape] = field(default_factory=dict)
    labels: int = 0

    def __str__(self) -> str:
        return self.text

    def layer(self, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> nn.Module:
        """The layer, with tensors that differ from each other; they are positive, as variances must be."""
        layer, rng = self.make(), numpy.random.default_rng(seed)
        for _, t in layer.named_tensors():
            t.data = random_tensor(t.shape, rng, 0.5, 1.5, dtype).data
        return layer.to(device)

    def input(self, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> Tensor:
        if self.labels:
            return F.tensor(numpy.random.default_rng(seed).integers(self.labels, size=self.takes), device=device)
        return F.tensor(random_tensor(self.takes, numpy.random.default_rng(seed), dtype=dtype), device=device, requires_grad=True)
