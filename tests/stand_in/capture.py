"""CUDA graphs of the stand-in. What is asked for during a capture is not done, and done at each launch of the graph.

While a graph is captured, operations compute, so that there are shapes, but what they wrote is
taken back at the end. A capture refuses what CUDA refuses: to wait, and to copy from the host's
memory, which has other contents at the next launch.
"""

import weakref
from collections.abc import Callable
from typing import Any

import numpy


class Graph:
    """cupy.cuda.graph.Graph"""

    def __init__(self, before: list[tuple[numpy.ndarray, numpy.ndarray]]) -> None:
        self.before = before  # the memory of all arrays, and what was in it
        self.operations: list[Callable[[], object]] = []
        self.pool: list[numpy.ndarray] = []  # the memory that serves one array after the other during a launch

    def launch(self, stream: Any = None) -> None:
        for host in self.pool:
            host.fill(85 if host.dtype.kind in "iu" else numpy.nan)
        for operation in self.operations:
            operation()

    def take_back(self, arrays: list[numpy.ndarray]) -> None:
        """Leave what was there before, and NaN in the memory that is new."""
        old = {id(_owner(host)) for host, _ in self.before}
        for host in arrays:
            if id(_owner(host)) not in old and host.dtype.kind == "f" and host.flags.writeable:
                host.fill(numpy.nan)
        for host, values in self.before:
            host[...] = values


captures: list[Graph] = []  # the one in progress, if there is one
allocators: list[Any] = []  # those that `using_allocator` has put in charge
lent: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # what they have lent, by the id of the array's memory


def allocated(host: numpy.ndarray) -> Any:
    """What a pool other than the default one lends an array, or has lent the array that this is a view of.

    New memory of an array of the graph is noted.
    """
    private = bool(allocators) and not getattr(getattr(allocators[-1], "__self__", None), "is_default", False)
    if captures and private and host.base is None and host.dtype.kind in "iuf":
        captures[-1].pool.append(host)
    pointer = lent.get(id(_owner(host)))
    if pointer is None and private and host.base is None:
        lent[id(host)] = pointer = allocators[-1](host.nbytes)
    return pointer


def do(operation: Callable[[], Any]) -> Any:
    """operation(), whose results are arrays, tuples of arrays or nothing."""
    result = operation()
    if captures:
        result = _arrays(result)
        captures[-1].operations.append(lambda: _write(result, operation()))
    return result


def refuse(what: str) -> None:
    """Raise the error that CUDA's runtime gives during a capture."""
    from tests.stand_in.device import CUDARuntimeError

    if captures:
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing ({what})")


def refuse_cublas() -> None:
    """CuPy does not call cuBLAS during a capture."""
    if captures:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _arrays(result: Any) -> Any:
    """The result, with NumPy's numbers as arrays without axes."""
    if isinstance(result, tuple | list):
        return type(result)(map(_arrays, result))
    return numpy.asarray(result) if isinstance(result, numpy.generic) else result


def _write(result: Any, again: Any) -> None:
    if isinstance(result, tuple | list):
        for one, other in zip(result, again, strict=True):
            _write(one, other)
    elif isinstance(result, numpy.ndarray) and result.flags.writeable:  # not a view that `broadcast_to` made
        result[...] = again


def _owner(host: numpy.ndarray) -> numpy.ndarray:
    return host if host.base is None else _owner(host.base) if isinstance(host.base, numpy.ndarray) else host
