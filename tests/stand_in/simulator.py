"""Numba's CUDA simulator, faster: the threads of a block take turns instead of competing for the interpreter.

One runs at a time, to its end or to a barrier, so a kernel without barriers needs one Python
thread. The blocks of a kernel and the threads of a block run in an order that is shuffled, but
always the same. So a race is found every time or never. The names are those that the simulator
uses.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy
from numba import cuda
from numba.cuda.simulator import kernel
from numba.cuda.simulator.kernelapi import Dim3

_idle: list["Worker"] = []


class Worker(threading.Thread):
    """A Python thread that runs threads of a block, one after the other. One that waits at a barrier keeps its worker."""

    block: "Block"

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turn = threading.Semaphore(0)
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            self.block.work(self)

    def syncthreads(self) -> None:
        self.block.arrived.append(self)
        self.block.pass_on()
        self.turn.acquire()
        if self.block.failure:
            raise RuntimeError("another thread of the block has failed")


class Block:
    """In the place of BlockManager."""

    def __init__(self, function: Callable[..., None], grid: Any, shape: tuple[int, ...], debug: bool) -> None:
        self.function, self.shape = function, shape
        self.arrived: list[Worker] = []  # at the barrier
        self.ready: deque[Worker] = deque()  # to go on behind it
        self.failure: Exception | None = None
        self.done = threading.Semaphore(0)

    def run(self, place: tuple[int, ...], *arguments: Any) -> None:
        self.place, self.arguments = Dim3(*place), arguments
        self.threads = _shuffled(*self.shape)  # that have not begun
        self.pass_on()
        self.done.acquire()
        if self.failure:
            raise self.failure

    def pass_on(self) -> None:
        """Give the turn to a worker, or to the one who waits for the block."""
        if not self.threads and not self.ready:
            self.ready.extend(self.arrived)
            self.arrived.clear()
        if self.threads:
            worker = _idle.pop() if _idle else Worker()
            worker.block = self
            worker.turn.release()
        elif self.ready:
            self.ready.popleft().turn.release()
        else:
            self.done.release()

    def work(self, worker: Any) -> None:
        """Run the threads that have not begun."""
        worker.blockIdx = self.place
        while self.threads:
            index = self.threads.pop()
            worker.threadIdx = Dim3(*index)
            try:
                self.function(*self.arguments)
            except Exception as error:
                if not self.failure:
                    error.add_note(f"in thread {index} of block {tuple(self.place)}")
                    self.failure = error
                self.threads.clear()
        _idle.append(worker)
        self.pass_on()


def _shuffled(*shape: int) -> list[tuple[int, ...]]:
    indices = list(numpy.ndindex(*shape))
    random.Random(0).shuffle(indices)
    return indices


class _Numpy:
    """NumPy, by whose `ndindex` the simulator chooses the next block."""

    ndindex = staticmethod(_shuffled)

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


class _Cuda:
    """What `cuda` means in a module with kernels: while one runs the simulator's functions, otherwise Numba's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(kernel._get_kernel_context() or cuda, name)


_cuda, _nothing, _seen = _Cuda(), nullcontext(), set[int]()


def _swapped(function: Any, _: Any) -> Any:
    """In the place of swapped_cuda_module, which exchanges `cuda` at every call of a device function."""
    names = function.__globals__
    if id(names) not in _seen:
        _seen.add(id(names))
        names.update({name: _cuda for name, value in names.items() if value is cuda})
    return _nothing


def speed_up() -> None:
    kernel.BlockManager, kernel.swapped_cuda_module, kernel.np = Block, _swapped, _Numpy()
