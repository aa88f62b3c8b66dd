"""What a run is made of."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy

from tinygen.backend import Array
from tinygen.engine.tensor import Tensor, array_of

Metrics = Mapping[str, Tensor | Array | float]  # the numbers that a step gives


def copied(value: Tensor | Array | float) -> Array:
    """A copy of a number on its device, since the step may reuse the array."""
    return numpy.asarray(value, numpy.float64) if isinstance(value, int | float) else array_of(value).astype(numpy.float64)


class Stateful(Protocol):
    """A Module, an Optimizer or an Average."""

    def state_dict(self, copy: bool = True) -> dict[str, numpy.ndarray]: ...
    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> object: ...


class Data(Protocol):
    """An ImageDataset or a NameDataset."""

    @property
    def source(self) -> str: ...
    def digest(self) -> str: ...
    def form(self) -> Mapping[str, Any]: ...
