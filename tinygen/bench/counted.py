"""An array that counts the numbers that a program reads from it and writes to it."""

from typing import Any

import numpy


class Traffic:
    """How many numbers were read and written."""

    def __init__(self) -> None:
        self.reads, self.writes = 0, 0


class Counted(numpy.ndarray):
    """An array whose elements are counted when Python code or a NumPy function reads or writes them.

    A view counts where it is read or written, not where it is taken. What a function such as a matrix
    product does inside is not seen: it counts as one reading of its operands and one writing of its
    result.
    """

    traffic: Traffic

    def __array_finalize__(self, source: Any) -> None:
        self.traffic = getattr(source, "traffic", None) or Traffic()

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        if not isinstance(part, Counted):
            self.traffic.reads += 1
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        part = super().__getitem__(index)
        self.traffic.writes += part.size
        if isinstance(value, Counted):
            self.traffic.reads += value.size
        super().__setitem__(index, value)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        arrays = [x for x in (*inputs, *(out or ())) if isinstance(x, Counted)]
        traffic = arrays[0].traffic
        traffic.reads += sum(x.size for x in inputs if isinstance(x, Counted))
        plain = [x.view(numpy.ndarray) if isinstance(x, Counted) else x for x in inputs]
        results = tuple(x.view(numpy.ndarray) for x in out) if out else None
        y = getattr(ufunc, method)(*plain, **options, **({"out": results} if results else {}))
        traffic.writes += numpy.size(y)
        return out[0] if out else counted(y, traffic) if numpy.ndim(y) else y


def counted(array: Any, traffic: Traffic) -> Counted:
    """The array, counted by `traffic`."""
    view = numpy.asarray(array).view(Counted)
    view.traffic = traffic
    return view
