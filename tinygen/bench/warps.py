"""What the warps of a GPU read and write, counted in Numba's simulator on a machine without one.

`install` makes arrays that count take the place of CuPy's and of shared memory. It is for a process
of its own, which was started with NUMBA_ENABLE_CUDASIM=1 and has imported nothing for GPUs yet.
"""

import functools
import importlib
import math
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import numba
import numpy

WARP, SECTOR = 32, 32  # threads, and bytes


class Array(numpy.ndarray):
    """What the code that starts kernels sees: an array with the members of CuPy's that it uses."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)

    def unwrap(self) -> "Memory":
        return Memory(self.view(numpy.ndarray))


@dataclass
class Record:
    """The accesses of one thread.

    What one line of a kernel reads from an array is one instruction. `executions` holds, for each
    instruction, the sectors of global memory that each of its executions reads.
    """

    warp: tuple[int, ...]
    executions: defaultdict[Any, list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    columns: dict[Any, int] = field(default_factory=dict)  # of the source, at which an instruction last read
    writes: int = 0
    shared_reads: int = 0
    barriers: int = 0


_records: list[Record] = []


def _record() -> Record:
    """That of the present thread. Each thread has its own, since += by two at once would lose one of them."""
    thread: Any = threading.current_thread()
    if not hasattr(thread, "record"):
        thread.record = Record((*thread.blockIdx, thread.thread_id // WARP))
        _records.append(thread.record)
    return thread.record


@functools.cache
def _positions(code: CodeType) -> list[Any]:
    """The line, last line, column and last column of the source of each bytecode."""
    return list(code.co_positions())


class Memory:
    """What a kernel sees: a flat array in global or in shared memory, which records every access."""

    def __init__(self, numbers: numpy.ndarray, shared: bool = False) -> None:
        self._numbers, self._shared = numbers, shared
        self.dtype, self.size = numbers.dtype, numbers.size

    def __getitem__(self, i: Any) -> Any:
        frame, record = sys._getframe(1), _record()
        line, _, column, _ = _positions(frame.f_code)[frame.f_lasti // 2]
        instruction = id(self), frame.f_code, line
        first = column <= record.columns.get(instruction, column)
        record.columns[instruction] = column
        if self._shared:
            record.shared_reads += first
        else:
            executions = record.executions[instruction]
            if first:
                executions.append([])
            places = range(i.start, i.stop) if isinstance(i, slice) else (i,)
            executions[-1] += [int(place) * self.dtype.itemsize // SECTOR for place in places]
        return self._numbers[i]

    def __setitem__(self, i: Any, value: Any) -> None:
        if not self._shared:
            _record().writes += 1
        self._numbers[i] = value


@dataclass(frozen=True)
class Counts:
    """For each multiply-add: numbers read from global memory and written to it, sectors read, and instructions that read shared memory.

    sectors_of_a_read is of one instruction of a warp. barriers is how often a thread waits, in a
    thousand multiply-adds of its own.
    """

    reads: float
    writes: float
    sectors: float
    shared_reads: float
    barriers: float
    sectors_of_a_read: float


def counts(multiply_adds: float) -> Counts:
    """Of everything since the last call."""
    together: defaultdict[Any, set[int]] = defaultdict(set)
    reads = 0
    for record in _records:
        for instruction, executions in record.executions.items():
            for number, touched in enumerate(executions):
                together[record.warp, instruction, number].update(touched)
                reads += len(touched)
    sectors = sum(map(len, together.values()))
    writes = sum(record.writes for record in _records)
    shared_reads = sum(record.shared_reads for record in _records)
    barriers = 1000 * sum(record.barriers for record in _records)
    _records.clear()
    return Counts(
        reads / multiply_adds,
        writes / multiply_adds,
        sectors / multiply_adds,
        shared_reads / multiply_adds,
        barriers / multiply_adds,
        sectors / len(together),
    )


def install() -> None:
    """From now on, kernels in this process count."""
    cupy: Any = ModuleType("cupy")
    cupy.ndarray, cupy.pad = Array, numpy.pad
    cupy.empty = lambda shape, dtype: numpy.empty(shape, dtype).view(Array)
    device = SimpleNamespace(attributes={"MultiProcessorCount": 132})  # those of an H100
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(getDevice=lambda: 0), Device=lambda number: device)
    sys.modules["cupy"] = cupy
    kernel: Any = importlib.import_module("numba.cuda.simulator.kernel")
    shared_memory: Any = importlib.import_module("numba.cuda.simulator.kernelapi").FakeCUDAShared
    vars(numba)["cuda"] = _Cuda(kernel, numba.cuda)
    kernel.swapped_cuda_module = lambda function, module: nullcontext()
    kernel.BlockManager, kernel.BlockThread.syncthreads = _Block, _wait
    shared_memory.array = _shared_array


class _Cuda:
    """`numba.cuda` for kernels: that of the running kernel.

    Numba puts it into the globals of each device function for the time of a call, during which other
    threads call the same function.
    """

    def __init__(self, kernel: Any, outside: Any) -> None:
        self._kernel, self._outside = kernel, outside

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernel._get_kernel_context() or self._outside, name)


class _Block:
    """A block of threads that sleep at a barrier, where Numba's look all the time whether they may go on."""

    def __init__(self, kernel: Callable[..., None], grid: tuple[int, ...], block: tuple[int, ...], debug: bool) -> None:
        self._kernel, self._block_dim, self._debug = kernel, block, debug
        self.barrier = threading.Barrier(math.prod(block))

    def run(self, where: tuple[int, ...], *arguments: Any) -> None:
        from numba.cuda.simulator.kernel import BlockThread

        threads = [BlockThread(lambda: self._one(arguments), self, where, i, self._debug) for i in numpy.ndindex(*self._block_dim)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for thread in threads:
            if thread.exception:
                raise thread.exception[0]

    def _one(self, arguments: tuple[Any, ...]) -> None:
        try:
            self._kernel(*arguments)
        except BaseException:
            self.barrier.abort()
            raise


def _wait(thread: Any) -> None:
    _record().barriers += 1
    thread._manager.barrier.wait()


def _shared_array(block: Any, size: int, dtype: Any, alignment: int | None = None) -> Memory:
    """The array that all threads of a block get for one line of the kernel."""
    frame = sys._getframe(1)
    name = dtype.name if isinstance(dtype, numba.types.Type) else dtype
    array = Memory(numpy.empty(size, name), shared=True)
    return block._allocations.setdefault((frame.f_code, frame.f_lineno), array)
