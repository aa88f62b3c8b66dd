"""A step of training, recorded once and then done again without its Python: on a GPU, as a CUDA graph."""

import hashlib
import pickle
import tempfile
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import IO, Any

import numpy

from tinygen import backend
from tinygen.backend import Array
from tinygen.command_line import UsageError
from tinygen.engine.tensor import Tensor, array_of
from tinygen.nn import Module

_WARM_UP = 2  # steps in which CuPy and cuBLAS compile and allocate what a recording must find ready


class GraphStep:
    """A step(*batch) of a run that trains `parts`, recorded in its third call and replayed from then on.

    The fourth call compares: it does the step by a replay and, from the same state, without one. If
    a bit of the state or of the numbers differs, the step cannot be replayed, because the host
    decides or computes something anew in each step. This is printed then, and the training goes on
    without replays, with the same numbers as if there had been none. It does so, too, where an array
    of a module has been replaced since. The comparison sees only what differs in that step: one that
    the host changes later must not be given to it. Calls are counted over batches of the first one's
    size; others are not replayed.

    Raises UsageError where the step cannot be recorded, because it reads a number of an array, and
    where the fourth call finds no room for a temporary file.
    """

    def __init__(self, step: Callable[..., Mapping[str, Any]], parts: Mapping[str, Any], device: str) -> None:
        self._step, self._parts, self._captures = step, parts, backend.CapturedOnHost if device == "cpu" else backend.Captured
        self._modules = [part for part in parts.values() if isinstance(part, Module)]
        self._calls = 0
        self._captured: backend.Captured | backend.CapturedOnHost | None = None
        self._shapes: list[Any] = []
        self._places: list[tuple[Tensor, Array]] = []  # where the arrays of the modules were recorded

    def __call__(self, *batch: Array) -> Mapping[str, Any]:
        self._shapes = self._shapes or _shapes(batch)
        if _shapes(batch) != self._shapes:
            return self._in_place(*batch)
        self._calls += 1
        if self._calls == _WARM_UP + 1:
            return self._record(batch)
        if self._captured is not None and any(t.data is not array for t, array in self._places):
            self._give_up()
        if self._captured is None:
            return self._in_place(*batch)
        return self._compare(batch) if self._calls == _WARM_UP + 2 else self._captured(*batch)

    def _give_up(self) -> None:
        print("--graph: this step does not do the same every time, so the training goes on without replays")
        self._captured = None

    def _in_place(self, *batch: Array) -> Mapping[str, Any]:
        """The step, after which every tensor of the modules has its array where it was before."""
        before = self._tensors()
        numbers = self._step(*batch)
        for t, array in before:
            if t.data is not array:
                array[...] = t.data
                t.data = array
        return numbers

    def _tensors(self) -> list[tuple[Tensor, Array]]:
        return [(t, t.data) for module in self._modules for _, t in module.named_tensors()]

    def _record(self, batch: tuple[Array, ...]) -> Mapping[str, Any]:
        self._places = self._tensors()
        try:
            self._captured = self._captures(self._watched, batch)
        except Exception as error:
            if "captur" not in str(error):  # the word of all refusals, CUDA's and ours
                raise
            raise UsageError(f"--graph: this step cannot be recorded, so leave it out: {error}".replace("\n", " ")) from error
        return self._captured.result

    def _watched(self, *batch: Array) -> Mapping[str, Any]:
        """The step, while a recording sees what is computed with the arrays of the modules."""
        for t, array in self._places:
            t.data = backend.watched(array)
        try:
            return self._in_place(*batch)
        finally:
            for t, array in self._places:
                t.data = array

    def _compare(self, batch: tuple[Array, ...]) -> Mapping[str, Any]:
        assert self._captured is not None
        random = backend.random_state()
        with self._kept() as before:
            replayed = self._digest(self._captured(*batch))
            for part in self._parts.values():
                part.load_state_dict(pickle.load(before))
        backend.give_memory_back()  # that of the copies
        backend.set_random_state(random)
        numbers = self._captured.anew(*batch)
        if replayed != self._digest(numbers):
            self._give_up()
        return numbers

    def _kept(self) -> IO[bytes]:
        """A file with the state of each part. A copy in memory would be the most that the training ever holds."""
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            for part in self._parts.values():
                pickle.dump(part.state_dict(copy=False), file, protocol=5)
            file.seek(0)
        except OSError as error:
            with suppress(OSError):  # on a full disk it fails again
                file.close()
            where = f"{tempfile.gettempdir()}, the folder for temporary files"
            raise UsageError(f"--graph: the state cannot be kept in {where}: {error.strerror}; TMPDIR may name another one") from error
        return file

    def _digest(self, numbers: Mapping[str, Any]) -> list[bytes]:
        """Digests of the state and the numbers."""
        random = backend.random_state()
        return [_digest(numbers), _digest(random), *(_digest(part.state_dict(copy=False)) for part in self._parts.values())]


class GraphSteps:
    """A step(*batch) of several kinds in turn, each a `GraphStep` of its own: kind() names that of the next one."""

    def __init__(self, step: Callable[..., Mapping[str, Any]], parts: Mapping[str, Any], device: str, kind: Callable[[], Hashable]) -> None:
        self._kind, self._new = kind, partial(GraphStep, step, parts, device)
        self._steps = {kind(): self._new()}

    def __call__(self, *batch: Array) -> Mapping[str, Any]:
        kind = self._kind()
        if kind not in self._steps:
            self._steps[kind] = self._new()
        return self._steps[kind](*batch)


def _shapes(batch: tuple[Array, ...]) -> list[Any]:
    return [(array.shape, array.dtype) for array in batch]


def _digest(value: Any) -> bytes:
    """The digest of a number, an array, or a mapping or sequence of them."""
    if isinstance(value, Mapping):
        return _digest([part for pair in value.items() for part in pair])
    if isinstance(value, list | tuple):
        return hashlib.sha256(b"".join(map(_digest, value))).digest()
    if isinstance(value, Tensor) or hasattr(value, "dtype"):
        return hashlib.sha256(numpy.ascontiguousarray(backend.to_device(array_of(value), "cpu")).data).digest()
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).digest()
