"""Starts kernels on a stub of the GPU's driver, in a process without a GPU, and tells what the driver was given.

    python stub_driver.py ADDRESS     prints JSON: see `report`. The address is that of the first array

The machine code is real, and so are CuPy's arrays, though their addresses are invented. What only
a driver can do is replaced: which device is current, and the three functions that `launch` calls.
"""

import ctypes
import itertools
import json
import re
import struct
import sys
import threading
import time
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import cupy
import numpy
from numba import cuda
from tinygen_kernels.cuda import compiler, launch

ADDRESS = int(sys.argv[1])


class Inner(NamedTuple):
    a: int
    b: int


class Outer(NamedTuple):
    first: int
    rows: Inner
    columns: Inner


def every_kind(x, y, outer, several, seed, count, slope, precise, size):
    i = cuda.grid(1)
    if i < size:
        y[i] = x[i] * outer.first * outer.rows.b * outer.columns.a * slope + precise + seed + count + several[i][i]


def scaled(x, y, inner, slope):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = x[i] * inner.b * slope


class StubDriver:
    """The driver's bindings, without a GPU. `started` is what each launch was given, and `seconds` how long it takes."""

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.started: list[dict[str, Any]] = []
        self.loaded: list[tuple[bytes, bytes]] = []

    def cuModuleLoadData(self, image: bytes) -> tuple[int, bytes]:
        return 0, image

    def cuModuleGetFunction(self, module: bytes, name: bytes) -> tuple[int, int]:
        self.loaded.append((module, name))
        return 0, len(self.loaded)

    def cuLaunchKernel(self, function: int, *rest: int) -> tuple[int]:
        time.sleep(self.seconds)  # in which another thread may run
        extra = (ctypes.c_void_p * 5).from_address(rest[-1])
        size = ctypes.c_size_t.from_address(extra[3]).value
        assert (extra[0], extra[2], extra[4]) == (1, 2, None)
        given = {
            "thread": threading.current_thread().name,
            "function": function,
            "grid": rest[:3],
            "block": rest[3:6],
            "shared": rest[6],
            "stream": rest[7],
        }
        self.started.append({**given, "bytes": ctypes.string_at(extra[1], size).hex()})
        return (0,)


def array(shape: int | tuple[int, ...], dtype: Any, number: int) -> Any:
    """An array of CuPy's at an invented address."""
    memory = cupy.cuda.UnownedMemory(ADDRESS + number * 0x1000, prod(numpy.atleast_1d(shape)) * numpy.dtype(dtype).itemsize, None, 0)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0))


def parameters(ptx: str) -> list[str]:
    """The types of a kernel's parameters, in order, as its PTX declares them."""
    return re.findall(r"^\s*\.param (?:\.align \d+ )?\.(\w+)", ptx.partition("{")[0], re.MULTILINE)


def report() -> dict[str, Any]:
    stub = StubDriver()
    launch.driver = lambda: stub
    cupy.cuda.runtime.getDevice = lambda: 0
    cupy.cuda.get_current_stream = lambda: cupy.cuda.ExternalStream(77)
    cupy.cuda.Device = lambda: type("Device", (), {"compute_capability": "90"})()
    x, y = array(10, "float32", 0), array(20, "float64", 1)
    numbers = numpy.uint64(2**40), numpy.uint32(7), numpy.float32(0.5), numpy.float64(0.25), 10
    arguments = x, y, Outer(3, Inner(4, 5), Inner(6, 7)), (x, x[:3]), *numbers
    launch.launch(every_kind, (3, 2, 1), 64, *arguments)
    launch.launch(every_kind, 9, 32, y, *arguments[1:])  # other types: another function
    launch.launch(every_kind, 1, 32, *arguments)
    signature = tuple(map(launch.type_of, arguments))
    return {
        "started": stub.started,
        "repeated": repeated(),
        "products": list(products()),
        "names": [name.decode() in module.decode(errors="replace") for module, name in stub.loaded],
        "parameters": parameters(compiler.ptx(every_kind, signature, (9, 0))),
    }


def repeated() -> list[dict[str, Any]]:
    """Two threads start a launch again and again, at the same time. Thread n has x at place 2n and y at place 2n + 1."""
    stub = StubDriver(0.001)
    launch.driver = lambda: stub
    again = launch.Repeated(scaled, 5, 64, Inner(3, 4), numpy.float32(0.5))

    def start(n: int) -> None:
        again.start(array(10, "float32", 2 * n), array(20, "float32", 2 * n + 1))

    start(0)  # which packs the arguments, before there are threads
    threads = [threading.Thread(target=lambda n=n: [start(n) for _ in range(20)], name=str(n)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return stub.started


def products() -> Iterator[dict[str, Any]]:
    """conv2d of arrays of the same shapes and dtypes, then of others. Its kernels are not compiled."""
    from tinygen_kernels.cuda import conv

    stub, numbers = StubDriver(), itertools.count(100)
    launch.driver = lambda: stub
    launch.machine_code = lambda kernel, signature, capability: (kernel.__qualname__, b"")
    conv.multiprocessors = lambda device: 132
    cupy.empty = lambda shape, dtype: array(shape, dtype, next(numbers))
    for number, x_dtype, w_dtype, bias in (
        (0, "f", "f", None),
        (2, "f", "f", None),
        (4, "d", "d", None),
        (6, "f", "d", None),
        (8, "f", "f", 8),
    ):
        x, w = array((2, 5, 5, 4), x_dtype, number), array((3, 3, 4, 8), w_dtype, number + 1)
        y = conv.conv2d(x, w, bias and array(bias, "f", number + 2), (1, 1), ((1, 1), (1, 1)), (1, 1))
        words = struct.unpack("42Q", bytes.fromhex(stub.started[-1]["bytes"])[: 42 * 8])
        given = [array.data.ptr for array in (x, w, y)], [array.size for array in (x, w, y)]
        passed = [words[7 * i + 4] for i in (0, 1, 5)], [words[7 * i + 2] for i in (0, 1, 5)]
        yield {"function": stub.started[-1]["function"], "given": given, "passed": passed, "bias": words[16]}


if __name__ == "__main__":
    print(json.dumps(report()))
