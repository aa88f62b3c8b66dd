"""The stand-in's `cupy`: the names of the installed CuPy with NumPy's functions behind them."""

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import cupy as real
import numpy

from tests.stand_in import device
from tests.stand_in.array import WAITING, in_any_order, ndarray, refuse_host_data, stable, unwrap, waits, wrap
from tests.stand_in.capture import do, refuse, refuse_cublas
from tests.stand_in.memory import MemoryPool

DISTRIBUTIONS = set(dir(real.random.Generator))
FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}  # copy what lies on the host to the device
OF_CUBLAS = {"matmul", "dot", "inner", "vdot", "tensordot", "einsum"}
LISTS = {"concatenate", "stack", "vstack", "hstack", "dstack", "column_stack", "broadcast_arrays", "meshgrid"}
ON_HOST = {"result_type", "can_cast", "promote_types", "broadcast_shapes", "dtype", "finfo", "iinfo"}  # touch no array's elements


class Module(types.ModuleType):
    """A module of CuPy: each name is made when it is first asked for, if CuPy has it."""

    def __init__(self, name: str, of_numpy: types.ModuleType, of_cupy: Any) -> None:
        super().__init__(name)
        self._of_numpy, self._of_cupy = of_numpy, of_cupy

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(self._of_cupy, name):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        made = self._make(name, getattr(self._of_cupy, name))
        setattr(self, name, made)
        return made

    def _make(self, name: str, of_cupy: Any) -> Any:
        if isinstance(of_cupy, float | type(None)) or (isinstance(of_cupy, type) and issubclass(of_cupy, numpy.generic | numpy.dtype)):
            return of_cupy
        if not hasattr(self._of_numpy, name):
            raise NotImplementedError(f"{self.__name__}.{name} is CuPy's alone, and the stand-in does not have it yet")
        of_numpy = getattr(self._of_numpy, name)
        if isinstance(of_cupy, types.ModuleType):
            return Module(f"{self.__name__}.{name}", of_numpy, of_cupy)
        if isinstance(of_numpy, numpy.ufunc):
            return Ufunc(name, of_numpy)
        return of_numpy if name in ON_HOST else _function(name, of_numpy, inspect.signature(of_cupy))


class Ufunc:
    """An elementwise function of one output, without `where`."""

    def __init__(self, name: str, of_numpy: numpy.ufunc) -> None:
        inputs = "abc"[: of_numpy.nin]
        signature = inspect.signature(eval(f"lambda {', '.join(inputs)}, out=None, *, dtype=None, casting='same_kind': None"))
        self.__name__, self._of_numpy = name, of_numpy
        self._call = _function(name, of_numpy, signature)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if any(isinstance(argument, list | tuple) for argument in arguments):
            raise TypeError(f"{self.__name__}: Unsupported type <class 'list'>")
        return self._call(*arguments, **keywords)

    def at(self, target: ndarray, indices: Any, value: Any) -> None:
        refuse_host_data(self.__name__, value)
        device.expect_current(target, indices, value)

        def add() -> None:
            positions, values = in_any_order(target, indices, value)
            flat = target.host.ravel()
            self._of_numpy.at(flat, positions, values)
            target.host[...] = flat.reshape(target.shape)

        do(add)


def _function(name: str, of_numpy: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    """NumPy's function on the stand-in's arrays, called as CuPy's may be."""

    def function(*arguments: Any, **keywords: Any) -> Any:
        try:
            signature.bind(*arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"cupy.{name}{signature}: {error}") from None
        given = [*arguments, *keywords.values()]
        if name in FROM_HOST:
            return _from_host(of_numpy, *arguments, **keywords)
        for argument in given:
            refuse_host_data(name, argument)
        if arguments and isinstance(arguments[0], list) and name not in LISTS:
            raise TypeError(f"{name}: Unsupported type <class 'list'>")
        device.expect_current(*given)
        if name == "argsort":
            keywords["kind"] = stable(**keywords)
        if name in WAITING:
            waits.append(name)
        if name in LISTS and len(arguments[0]) >= 8:
            refuse("copying the addresses of many arrays to join")
        if name in OF_CUBLAS:
            refuse_cublas()

        def compute() -> Any:
            return of_numpy(*map(unwrap, arguments), **{key: unwrap(value) for key, value in keywords.items()})

        result = compute() if name.startswith("empty") else do(compute)  # taking memory is not a part of a graph
        return wrap(result, *given)

    return function


def _from_host(of_numpy: Callable[..., Any], source: Any, *arguments: Any, **keywords: Any) -> ndarray:
    """An array on the current device: of data on the host always a copy, of another device's array, too."""
    keywords.pop("blocking", None)
    device.history.append(("copy", device.current_stream().name))
    if not isinstance(source, ndarray):
        refuse("copying from the host")
        refuse_device_data(source)
        return wrap(numpy.array(of_numpy(source, *arguments, **keywords)))
    if source.number != device.current():
        return wrap(do(lambda: numpy.array(of_numpy(source.host, *arguments, **keywords))))
    if of_numpy(source.host, *arguments, **keywords) is source.host:
        return source
    return wrap(do(lambda: of_numpy(source.host, *arguments, **keywords)), source)


def refuse_device_data(source: Any) -> None:
    """CuPy joins a list of its arrays by itself; the stand-in asks for `stack`, which says so."""
    if isinstance(source, list | tuple) and any(isinstance(part, ndarray) for part in source):
        raise TypeError("use stack or concatenate to make one array of several")


class Generator:
    """cupy.random.Generator: the distributions that it has, from NumPy's generator."""

    def __init__(self, seed: int | None) -> None:
        self._of_numpy = numpy.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        if name not in DISTRIBUTIONS:
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        return lambda *arguments, **keywords: wrap(getattr(self._of_numpy, name)(*arguments, **keywords))


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> numpy.ndarray:
    return a.get(order=order, out=out) if isinstance(a, ndarray) else numpy.asarray(a)


def install() -> None:
    """Put the stand-in in the place of `cupy` and its modules."""
    cupy, random = Module("cupy", numpy, real), Module("cupy.random", numpy.random, real.random)
    cuda, runtime = device.modules()
    pool = MemoryPool()
    pool.is_default = True
    random.default_rng = lambda seed=None: Generator(seed)
    vars(cupy).update(
        __version__=real.__version__,
        __path__=[],
        ndarray=ndarray,
        asnumpy=asnumpy,
        get_array_module=lambda *arrays: cupy if any(isinstance(array, ndarray) for array in arrays) else numpy,
        get_default_memory_pool=lambda: pool,
        cuda=cuda,
        random=random,
    )
    cupyx: Any = types.ModuleType("cupyx")
    cupyx.empty_pinned = numpy.empty
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]:
        del sys.modules[name]
    sys.modules |= {module.__name__: module for module in (cupy, random, cuda, runtime, cupyx)}
