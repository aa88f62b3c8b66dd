"""What a run is made of."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy


class Stateful(Protocol):
    """A Module, an Optimizer or an Average."""

    def state_dict(self) -> dict[str, numpy.ndarray]: ...
    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> object: ...


class Data(Protocol):
    """An ImageDataset or a NameDataset."""

    @property
    def source(self) -> str: ...
    def digest(self) -> str: ...
    def form(self) -> Mapping[str, Any]: ...
