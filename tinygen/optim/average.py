"""The exponential moving average of a model's weights."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy
from tinygen_kernels import for_array

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.nn import Buffer, Module, SpectralNorm
from tinygen.saving.state import check_state


class Average:
    """The averages a of a module's parameters p over the steps of a training (Polyak & Juditsky, 1992):

        a = d a + (1 - d) p    with d = min(decay, (1 + t) / (10 + t)) in update t, from 0.

    The smaller d of the first updates is a warm-up, so that the initial weights are soon forgotten.
    The running statistics of batch norm are averaged in the same way, as they belong to the weights
    of the same steps. The vectors of spectral norm and buffers of integers are those of the latest
    step. Averaged generators give steadier and usually better images (Yazici et al., 2019).

        average = Average(generator, 0.99)
        ...                                # after each step: average.update()
        with average.applied():            # generator has the averages here
            images = generator(z)

    Raises ValueError unless 0 < decay < 1.
    """

    def __init__(self, module: Module, decay: float) -> None:
        if not isinstance(decay, int | float) or not 0 < decay < 1:
            raise ValueError(f"Average: decay must be above 0 and below 1, got {decay!r}")
        self.module, self.decay, self.updates = module, decay, 0
        latest = {id(part.u) for part in module.modules() if isinstance(part, SpectralNorm)}
        self._tensors = {id(t): t for _, t in module.named_tensors() if id(t) not in latest and not _counts(t)}
        self._averages = {key: backend.array_module(t.data).array(t.data) for key, t in self._tensors.items()}

    def update(self) -> None:
        """Move the averages towards the weights as they are now."""
        groups: dict[tuple[str, numpy.dtype], list[tuple[Array, Array]]] = {}
        for key, t in self._tensors.items():
            average = self._averages[key] = backend.to_device(self._averages[key], t.device)
            groups.setdefault((t.device, t.dtype), []).append((average, t.data))
        for (device, dtype), arrays in groups.items():
            shares = backend.from_host(functools.partial(self._shares, dtype), device)
            averages, latest = zip(*arrays, strict=True)
            for_array(shares).blend(averages, latest, shares)
        backend.on_host(self._count)

    def _shares(self, dtype: numpy.dtype) -> numpy.ndarray:
        """d and 1 - d"""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        return numpy.array([decay, 1 - decay], dtype)

    def _count(self) -> None:
        self.updates += 1

    def exchange(self) -> None:
        """Exchange the module's weights and the averages. A graph from before can no longer be differentiated."""
        for key, t in self._tensors.items():
            t.writable("Average")
            t.data, self._averages[key] = backend.to_device(self._averages[key], t.device), t.data

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module has the averages for its weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def state_dict(self, copy: bool = True) -> dict[str, numpy.ndarray]:
        """The module's `state_dict` with the averages, and the number of updates."""
        with self.applied():
            return {**self.module.state_dict(copy), "updates": numpy.array(self.updates)}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Continue from what `state_dict` returned. Raises ValueError, with nothing changed, if it is of
        another module."""
        named = dict(self.module.named_tensors())
        check_state({**{name: t.data for name, t in named.items()}, "updates": numpy.array(self.updates)}, state, "Average")
        self.updates = int(state["updates"])
        for name, t in named.items():
            if id(t) in self._tensors:
                average = self._averages[id(t)] = backend.to_device(self._averages[id(t)], t.device)
                average[...] = backend.to_device(numpy.asarray(state[name]), t.device)


def _counts(t: Tensor) -> bool:
    return isinstance(t, Buffer) and t.dtype.kind != "f"
