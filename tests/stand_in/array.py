"""The stand-in's array: a NumPy array on a numbered device, with the methods and the manners of cupy.ndarray."""

import inspect
import re
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cupy as real
import numpy

from tests.stand_in.capture import allocated, do, refuse, refuse_cublas
from tests.stand_in.device import current, expect_current

living: weakref.WeakValueDictionary[int, "ndarray"] = weakref.WeakValueDictionary()


class Waits(list[str]):
    """What has made the host wait for the device, in order."""

    def append(self, what: str) -> None:
        refuse(what)
        super().append(what)


waits = Waits()
SCALARS = (bool, int, float, complex, numpy.generic)
VIEWS = {"reshape", "transpose", "squeeze", "swapaxes", "view", "diagonal", "ravel"}  # start no kernel, so the current device may differ
WAITING = {"nonzero", "flatnonzero", "argwhere", "unique", "bincount", "item", "tolist", "tobytes", "dump", "dumps", "extract", "compress"}


class ndarray:
    """Made by the functions of the module. `host` is the memory, `number` the device's, `lent` a pool's."""

    __slots__ = ("__weakref__", "host", "lent", "number")
    __hash__ = None  # type: ignore[assignment]

    def __new__(cls, shape: Any, dtype: Any = float, memptr: None = None, strides: None = None, order: str = "C") -> "ndarray":
        return wrap(numpy.empty(shape, dtype, order=order))  # type: ignore[call-overload]

    shape = property(lambda self: self.host.shape)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    dtype = property(lambda self: self.host.dtype)
    strides = property(lambda self: self.host.strides)
    itemsize = property(lambda self: self.host.itemsize)
    nbytes = property(lambda self: self.host.nbytes)
    flags = property(lambda self: self.host.flags)
    T = property(lambda self: wrap(self.host.T, self))

    @property
    def device(self) -> Any:
        from tests.stand_in.device import Device

        return Device(self.number)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self.host.ctypes.data if self.size else 0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "version": 3,
            "strides": None if self.flags.c_contiguous else self.strides,
            "data": (self.data.ptr, False),
        }

    def unwrap(self) -> numpy.ndarray:
        """The memory, for Numba's CUDA simulator, which writes to all arguments. CuPy has no such method, and nothing that is read-only."""
        return self.host if self.host.flags.writeable else self.host.copy()

    def get(self, stream: Any = None, order: str = "C", out: numpy.ndarray | None = None, blocking: bool = True) -> numpy.ndarray:
        waits.append("get")
        if out is None:
            return self.host.copy(order)  # type: ignore[arg-type]
        out[...] = self.host
        return out

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly.")

    def __array_ufunc__(self, ufunc: numpy.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        """NumPy's scalars beside an array: CuPy's function of the same name does the work."""
        import cupy

        function = getattr(cupy, ufunc.__name__)
        return (function if method == "__call__" else getattr(function, method))(*inputs, **keywords)

    def __bool__(self) -> bool:
        return bool(self._read("bool"))

    def __int__(self) -> int:
        return int(self._read("int"))

    def __float__(self) -> float:
        return float(self._read("float"))

    def __complex__(self) -> complex:
        return complex(self._read("complex"))

    def __repr__(self) -> str:
        return repr(self._read("repr"))

    def __format__(self, specification: str) -> str:
        return format(self._read("format"), specification)

    def _read(self, what: str) -> numpy.ndarray:
        waits.append(what)
        return self.host

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> "ndarray":
        return wrap(do(lambda: numpy.asarray(self.host[resolved(index, self.shape)])), self)

    def __setitem__(self, index: Any, value: Any) -> None:
        expect_current(self)
        refuse_host_data("__setitem__", value)
        if any(isinstance(part, ndarray) for part in (index if isinstance(index, tuple) else (index,))):
            do(lambda: _assign_in_any_order(self, index, value))
        else:
            do(lambda: self.host.__setitem__(index, unwrap(value)))


def wrap(result: Any, *arguments: Any) -> Any:
    """What NumPy made, as CuPy gives it: its numbers as arrays without axes, and an argument that comes back as itself.

    It lives on the first argument's device, or the current one.
    """
    for argument in arguments:
        if isinstance(argument, ndarray) and result is argument.host:
            return argument
    if isinstance(result, numpy.ndarray | numpy.generic):
        array = object.__new__(ndarray)
        array.host = numpy.asarray(result)
        array.lent = allocated(array.host)
        array.number = next((a.number for a in arguments if isinstance(a, ndarray)), current())
        living[id(array)] = array
        return array
    if isinstance(result, tuple | list):
        return type(result)(wrap(part, *arguments) for part in result)
    return result


def unwrap(argument: Any) -> Any:
    """The memory behind an argument, or behind each part of a sequence."""
    if isinstance(argument, tuple | list):
        return type(argument)(map(unwrap, argument))
    return argument.host if isinstance(argument, ndarray) else argument


def refuse_host_data(name: str, argument: Any) -> None:
    """Raise TypeError for an array of NumPy's where an array of CuPy's is meant, within sequences, too."""
    if isinstance(argument, numpy.ndarray) or (name == "__setitem__" and isinstance(argument, list | tuple)):
        raise TypeError(f"{name}: Unsupported type {type(argument)}")
    if isinstance(argument, tuple | list):
        for part in argument:
            refuse_host_data(name, part)


def resolved(index: Any, shape: tuple[int, ...]) -> Any:
    """The index for NumPy. An integer array's numbers wrap around whatever their size; a boolean array makes the host wait."""
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum(part.ndim if _is_mask(part) else part is not None and part is not ... for part in parts)
    axis = 0
    for i, part in enumerate(parts):
        if isinstance(part, numpy.ndarray | list):
            raise IndexError(f"Unsupported type {type(part)}")
        if part is ...:
            axis += len(shape) - taken
        elif _is_mask(part):
            waits.append("boolean mask")
            axis += part.ndim
            parts[i] = part.host
        elif part is not None:
            if isinstance(part, ndarray):
                parts[i] = part.host.astype(numpy.int64) % max(1, shape[axis])
            axis += 1
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def in_any_order(target: ndarray, index: Any, value: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The flat positions in target that an index with arrays means, and the value for each, shuffled: a GPU writes in no fixed order."""
    positions = numpy.arange(target.size).reshape(target.shape)[resolved(index, target.shape)]
    order = numpy.random.default_rng().permutation(positions.size)
    return positions.ravel()[order], numpy.broadcast_to(unwrap(value), positions.shape).ravel()[order]


def _assign_in_any_order(target: ndarray, index: Any, value: Any) -> None:
    positions, values = in_any_order(target, index, value)
    target.host.flat[positions] = values


def stable(kind: str | None = None, **others: Any) -> str:
    """The kind of sorting that CuPy's argsort does, whatever it is asked for but another."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return "stable"


def _is_mask(part: Any) -> bool:
    return isinstance(part, ndarray) and part.dtype == bool


def method_signature(name: str) -> inspect.Signature:
    """The signature of a method of cupy.ndarray, which only the first line of its text tells."""
    line = getattr(real.ndarray, name).__doc__.splitlines()[0]
    parameters = re.sub(r"\w+ (\w+)", r"\1", line[line.index("(") + 1 : line.rindex(")")])  # without Cython's types
    return inspect.signature(eval(f"lambda {parameters}: None"))


def _method(name: str) -> Callable[..., Any]:
    signature, function = method_signature(name), getattr(numpy.ndarray, name)

    def method(self: ndarray, *arguments: Any, **keywords: Any) -> Any:
        signature.bind(self, *arguments, **keywords)
        for argument in (*arguments, *keywords.values()):
            refuse_host_data(name, argument)
        if name == "argsort":
            keywords["kind"] = stable(**keywords)
        if name in WAITING:
            waits.append(name)
        elif name not in VIEWS:
            expect_current(self, *arguments, *keywords.values())
        result = do(lambda: function(self.host, *map(unwrap, arguments), **{key: unwrap(value) for key, value in keywords.items()}))
        return wrap(result, self, *arguments, *keywords.values())

    return method


def _operator(name: str) -> Callable[..., Any]:
    function = getattr(numpy.ndarray, name)

    def operator(self: ndarray, *others: Any) -> Any:
        for other in others:
            if not hasattr(other, "dtype") and not isinstance(other, SCALARS):
                return NotImplemented
            refuse_host_data(name, other)
        expect_current(self, *others)
        if "matmul" in name:
            refuse_cublas()
        result = do(lambda: function(self.host, *map(unwrap, others)))
        return result if result is NotImplemented else wrap(result, self, *others)

    return operator


def _complete() -> None:
    """Give the class every other method and operator that both CuPy's and NumPy's arrays have."""
    own = set(vars(ndarray))
    operators = ["add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
    names = [f"__{kind}{operator}__" for operator in operators for kind in ("", "r", "i")]
    names += [f"__{name}__" for name in ["neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"]]
    for name in set(names) & set(dir(real.ndarray)) & set(dir(numpy.ndarray)):
        setattr(ndarray, name, _operator(name))
    for name in set(dir(real.ndarray)) & set(dir(numpy.ndarray)) - own:
        if not name.startswith("_") and callable(getattr(numpy.ndarray, name)):
            setattr(ndarray, name, _method(name))


_complete()
