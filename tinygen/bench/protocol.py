"""How a time is taken. Nothing here depends on what is timed.

A shared machine disturbs a measurement, and engines disturb each other: worker threads of one spin
for a while after its work is done, just when the next one starts. So there are two protocols. Each
runs in processes of its own, since most libraries read the number of their threads only when they
are loaded. The engines take turns, and the median of many turns counts.
"""

import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_PAUSE = 0.02  # seconds, until the threads of the engine before have gone to sleep, which takes those of PyTorch 10 ms
_WARM_UP = 2  # turns that do not count
_IN_A_ROW = 10  # calls on a GPU, so that starting one overlaps with running the one before, as in a program
_APART = 120e-9  # seconds, longer than between cores that share a cache
_FAR = (
    "Cores that share a cache take 30 to 80 ns. The others make steps in several threads up to 1.3 times as long. A virtual machine\n"
    "may change from one to the other while it runs, so compare only what took turns."
)


@dataclass(frozen=True)
class Protocol:
    """One thread by CPU time, which a busy machine hardly changes, or several by wall clock; or a GPU by its own clock."""

    threads: int
    wall_clock: bool
    device: str = "cpu"

    def describe(self) -> str:
        if self.device != "cpu":
            return f"{self.device} by its own clock, {_IN_A_ROW} calls in a row"
        if self.wall_clock:
            return f"{self.threads} threads by wall clock, a pause of {_PAUSE * 1e3:.0f} ms before each engine's turn"
        return "one thread by CPU time (time.process_time)"

    def environment(self) -> dict[str, str]:
        """The variables by which Numba, PyTorch and the common BLAS libraries are told how many threads to use."""
        names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
        # OpenBLAS's threads otherwise spin for tens of milliseconds after a product; 2^20 cycles
        # are less than the pause.
        return dict.fromkeys(names, str(self.threads)) | {"OPENBLAS_THREAD_TIMEOUT": "20"}

    def seconds(self, work: Callable[[], Any], behind_other_work: bool = True) -> float:
        """How long the work takes, once: behind other work, as in a program, or at once.

        Behind other work, the host has started the work of a GPU before its turn comes, and other
        threads are awake. After a pause it can take longer to wake one than a small kernel takes.
        """
        if self.device != "cpu":
            return _seconds_on_a_gpu(work, behind_other_work)
        clock = time.perf_counter if self.wall_clock else time.process_time
        if self.wall_clock:
            time.sleep(_PAUSE)
            if behind_other_work:
                work()
        started = clock()
        work()
        return clock() - started

    def medians(self, works: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
        """The median seconds of each work, taking turns."""
        turns = [{name: self.seconds(work) for name, work in works.items()} for _ in range(_WARM_UP + repeats)][_WARM_UP:]
        return {name: statistics.median(turn[name] for turn in turns) for name in works}

    def best(self, work: Callable[[], Any], repeats: int) -> float:
        """The least seconds of the work: for what the machine can do at most."""
        return min(self.seconds(work) for _ in range(_WARM_UP + repeats))


def _seconds_on_a_gpu(work: Callable[[], Any], behind_other_work: bool) -> float:
    import cupy
    from tinygen_kernels.cuda.compiler import SIMULATED

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    if behind_other_work:
        matrix = cupy.ones((8, 8) if SIMULATED else (8192, 8192), "float32")
        matrix @ matrix  # some 20 ms, which also wakes a clock that has slowed down
    begin.record()
    for _ in range(_IN_A_ROW):
        work()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / 1e3 / _IN_A_ROW


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def protocols(threads: int, device: str) -> list[Protocol]:
    """One thread by CPU time, and all of so many by wall clock where they are more than one; or the GPU's only one."""
    if device != "cpu":
        return [Protocol(threads, wall_clock=True, device=device)]
    return [Protocol(1, wall_clock=False)] + ([Protocol(threads, wall_clock=True)] if threads > 1 else [])


Call = Callable[..., Any]  # of a function and its arguments: its result in another process; what it raises is raised here


@contextmanager
def process(protocol: Protocol, **environment: str) -> Iterator[Call]:
    """A process of its own, started in this protocol's environment and with these variables; it ends with the block."""
    before = dict(os.environ)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        os.environ.update(protocol.environment() | environment)
        try:
            pool.submit(os.getpid).result()  # it starts here
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@contextmanager
def between_cores(protocol: Protocol) -> Iterator[None]:
    """Behind the block, print how long a number took from one core to another, before it and now, if threads work on several."""
    if protocol.device != "cpu" or min(protocol.threads, cores()) < 2:
        yield
        return
    with process(protocol) as worker:
        before = worker(_handover)
        yield
        after = worker(_handover)
    print(f"\nfrom one core to another, a number took {before * 1e9:.0f} ns before these timings and {after * 1e9:.0f} ns after them")
    if max(before, after) > _APART:
        print(_FAR)


def _handover() -> float:
    from tinygen.bench import peak  # with Numba, which the process that only prints can do without

    return peak.handover()


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that each keep a core busy until the block ends."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_compute_forever, daemon=True) for _ in range(count)]
    try:
        for each in processes:
            each.start()
        yield
    finally:
        for each in processes:
            each.terminate()
            each.join()


def _compute_forever() -> None:
    while True:
        pass


def geometric_mean(numbers: Iterable[float]) -> float:
    """The n-th root of the product: the mean for ratios, in which 2 and 1/2 cancel. NaN of no numbers."""
    logarithms = [math.log(number) for number in numbers]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else math.nan


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Lines of columns, the first one to the left and the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
