"""A step of training on a CPU, recorded once and then done again without its Python.

Python takes some tens of microseconds for an operation: it checks the arguments, chooses a plan,
makes the node of a graph, walks the graph. The operations of a step and the shapes of their arrays
are the same every time. So the calls of NumPy and of compiled kernels are written down while they
are made, and a replay makes these calls alone. On a GPU the driver does the same: a CUDA graph.

    with Recording() as recording:
        y = numpy.tanh(recording.watched(x))    # computes, and writes down the call
    x[...] = 2
    recording.replay()                          # y changes

NumPy hands a call that has a `Recorded` array among its arguments to the class of that array, and
the result is a `Recorded` array again. So the calls that depend on watched arrays are written down,
and no others: what the host has computed by itself is a constant. A replay writes each result to
the place that it had in the recording. The places are in memory of the recording's own. In it a
freed array leaves its place to the next one, in the replays as in the recording, so that a
recording needs hardly more memory than a step.

During a recording nobody can read a number of a `Recorded` array, because no replay would read it
again. This raises RuntimeError.
"""

import functools
import math
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy

from tinygen_kernels.memory_pool import Places

Array = numpy.ndarray

# What NumPy does not hand to the class of an array by itself: functions that make arrays, and methods.
_MAKING = (
    "arange", "array", "asanyarray", "asarray", "ascontiguousarray", "empty", "empty_like", "eye", "full", "full_like", "linspace",
    "ones", "ones_like", "tri", "zeros", "zeros_like",
)  # fmt: skip
_COMPUTING = (
    "__getitem__", "__setitem__", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip", "compress", "conj", "copy",
    "cumprod", "cumsum", "diagonal", "dot", "fill", "flatten", "nonzero", "partition", "put", "ravel", "repeat", "reshape", "round",
    "searchsorted", "sort", "take", "trace",
)  # fmt: skip
_READING = ("__bool__", "__complex__", "__contains__", "__float__", "__index__", "__int__", "item", "tobytes", "tolist")


class _Recordings(threading.local):
    """The one in progress in this thread, if there is one."""

    open: "Recording | None" = None


_recordings = _Recordings()


def current() -> "Recording | None":
    return _recordings.open


class Recording:
    """The calls that are made within its `with` block, which `replay` makes again in their order.

    It may share the places of another one: where both do the same, neither can be replayed while
    the other's arrays are needed.
    """

    def __init__(self, sharing: "Recording | None" = None) -> None:
        self.calls: list[Callable[[], object]] = []
        self._places: Places = sharing._places if sharing else Places()

    def __enter__(self) -> "Recording":
        _recordings.open = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        _recordings.open = None

    def replay(self) -> None:
        for call in self.calls:
            call()

    def watched(self, array: Array) -> "Recorded":
        """The array, as one whose calls are written down."""
        return array.view(Recorded)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> "Recorded":
        """A new array that starts on a cache line."""
        sizes = (shape,) if isinstance(shape, int) else shape
        return numpy.ndarray(sizes, dtype, self._places.lend(math.prod(sizes) * numpy.dtype(dtype).itemsize)).view(Recorded)

    def write_down(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        arguments, options = (_mapped(self._unleased, given) for given in (arguments, options))
        self.calls.append(functools.partial(function, *arguments, **options))

    def _unleased(self, array: "Recorded") -> Array:
        """The same array for later calls. It leaves its place to others."""
        owner: Any = array
        while isinstance(owner.base, numpy.ndarray):
            owner = owner.base
        if isinstance(owner, Recorded):
            raise RuntimeError(f"an array of shape {array.shape} comes from a call of NumPy's that cannot be captured")
        return self._places.unleased(array)

    def do(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function that writes its results to arrays it is given."""
        self.write_down(function, arguments, options)
        return function(*_plain(arguments), **_plain(options))

    def compute(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any], takes_out: bool = False) -> Any:
        """Call a function that returns new arrays or views of its arguments, or changes them and returns None."""
        found = function(*_plain(arguments), **_plain(options))
        if found is None:
            self.write_down(function, arguments, options)
            return None
        given = list(_arrays(arguments))
        parts = found if isinstance(found, tuple | list) else (found,)
        results = [self._result(part, given) for part in parts]
        places = tuple(result if _is_new(result, part) else None for result, part in zip(results, parts, strict=True))
        if takes_out:
            self.write_down(function, arguments, {**options, "out": places})
        elif any(place is not None for place in places):
            self.write_down(_write, (function, arguments, options, places), {})
        return tuple(results) if isinstance(found, tuple) else results if isinstance(found, list) else results[0]

    def _result(self, found: Any, given: list[Array]) -> Any:
        """A view as a Recorded array, and the numbers of a new array in its place."""
        if not isinstance(found, numpy.ndarray | numpy.generic):
            return found
        if isinstance(found, numpy.ndarray) and any(numpy.may_share_memory(found, array) for array in given):
            return found.view(Recorded)
        order = sorted(range(found.ndim), key=lambda axis: -abs(found.strides[axis]))  # of the axes in memory
        place = self.empty(tuple(found.shape[axis] for axis in order), found.dtype).transpose(numpy.argsort(order).tolist())
        _plain(place)[...] = found
        return place


class Recorded(numpy.ndarray):
    """An array whose calls are written down while there is a recording."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        function, here = getattr(ufunc, method), current()
        if here is None:
            return function(*_plain(inputs), **_plain(options))
        if "out" not in options:
            return here.compute(function, inputs, options, takes_out=method != "at")
        here.do(function, *inputs, **options)
        return options["out"][0] if len(options["out"]) == 1 else options["out"]

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return _computed(function, arguments, options)


def _computed(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    here = current()
    return here.compute(function, arguments, options) if here else function(*_plain(arguments), **_plain(options))


def _computing(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments, **options: _computed(function, arguments, options)


def _reading(name: str) -> Callable[..., Any]:
    def method(self: Recorded, *arguments: Any) -> Any:
        if current():
            raise RuntimeError(f"a number of an array is read ({name}), which cannot be captured")
        return getattr(self.view(numpy.ndarray), name)(*arguments)

    return method


for _name in _COMPUTING:
    setattr(Recorded, _name, _computing(getattr(numpy.ndarray, _name)))
for _name in _READING:
    setattr(Recorded, _name, _reading(_name))


# NumPy, for whoever computes with Recorded arrays: what it makes is a Recorded array, too.
module: Any = SimpleNamespace(**vars(numpy))
vars(module).update({name: _computing(getattr(numpy, name)) for name in _MAKING})


def _is_new(result: Any, found: Any) -> bool:
    return isinstance(result, Recorded) and not numpy.may_share_memory(result, found)


def _write(function: Callable[..., Any], arguments: Any, options: Any, places: tuple[Array | None, ...]) -> None:
    found = function(*arguments, **options)
    for place, part in zip(places, found if isinstance(found, tuple | list) else (found,), strict=True):
        if place is not None:
            place[...] = part


def _mapped(function: Callable[[Recorded], Array], value: Any) -> Any:
    """The value, with function(array) for each Recorded array in it."""
    if isinstance(value, Recorded):
        return function(value)
    if isinstance(value, tuple | list):
        parts = [_mapped(function, part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, dict):
        return {key: _mapped(function, part) for key, part in value.items()}
    return value


def _plain(value: Any) -> Any:
    """The value with NumPy's own arrays, which keep their places from being used by others."""
    return _mapped(lambda array: array.view(numpy.ndarray), value)


def _arrays(value: Any) -> Iterator[Array]:
    if isinstance(value, numpy.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _arrays(part)
