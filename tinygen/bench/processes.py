"""A training step on several processes of this machine, and what latency and bandwidth predict for many.

The step is the DCGAN's. The measured times share one batch of 64 rows, with as many threads in all as
one process has. The prediction gives each process a batch of 64 rows, on a machine of its own:

    T(n) = C + (k ceil(log2 n) + 2 (n - 1) l) a + 2 (n - 1)/n m b

C is the time of the step on one process; k small arrays (moments of batch norm, means of losses) go to
all in ceil(log2 n) rounds; the m bytes of the gradients go in l buckets as `training/distributed.py`
says; a is the latency of a message and b the time for a byte. What hides behind backward is not taken
off, so that a step should take at most this.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from tinygen import backend
from tinygen.bench import timeline
from tinygen.bench.protocol import Protocol, table
from tinygen.bench.timeline import SMALL, Recorder, Span, Timeline
from tinygen.command_line import UsageError
from tinygen.data.loader import shares

MANY = (8, 16, 32, 64, 128, 256, 512, 1024)
_BYTES = 1 << 24  # of the array that bandwidth is measured with
_WARM_UP = 3  # steps


class Measured(NamedTuple):
    """A step on so many processes: its seconds, the small arrays and the buckets of gradients that were averaged, the network."""

    processes: int
    seconds: float
    arrays: int
    buckets: int
    bytes: int
    latency: float  # seconds
    bandwidth: float  # bytes per second
    timeline: Timeline


def main(processes: Sequence[int], threads: int, repeats: int, network: tuple[float, float] | None, plot: Path | None) -> None:
    """Measure on each number of processes, print, and draw a step; `network` is latency in microseconds and bandwidth in GB/s."""
    measured = [_measured(n, max(1, threads // n), repeats) for n in processes]
    one, several = measured[0], measured[-1]
    print(f"\na step of dcgan on a batch of 64, {threads} threads in all; median of {repeats}\n")
    rows = [("processes", "ms", "of one")]
    rows += [(str(m.processes), f"{m.seconds * 1e3:.1f}", f"{m.seconds / one.seconds:.2f}") for m in measured]
    print("\n".join(table(rows)))
    latency, bandwidth = (network[0] / 1e6, network[1] * 1e9) if network else (several.latency, several.bandwidth)
    whose = "given" if network else f"measured between {several.processes} processes here"
    sent = f"{several.arrays} small arrays and {several.buckets} buckets of gradients, {several.bytes / 1e6:.1f} MB"
    print(f"\n{sent}, are averaged in a step")
    print(f"network, {whose}: {latency * 1e6:.1f} us, {bandwidth / 1e9:.2f} GB/s; predicted with 64 rows for each process:\n")
    rows = [("processes", "ms", "efficiency")]
    for n in MANY:
        seconds = predicted(n, one.seconds, several.arrays, several.buckets, several.bytes, latency, bandwidth)
        rows.append((str(n), f"{seconds * 1e3:.1f}", f"{one.seconds / seconds:.0%}"))
    print("\n".join(table(rows)))
    if plot:
        title = f"A step of dcgan on a batch of 64, {threads} threads in all, on each number of processes"
        plot.write_text(timeline.svg({m.processes: m.timeline for m in measured}, title))
        print(f"\ntimeline: {plot}")


def predicted(n: int, seconds: float, arrays: int, buckets: int, size: int, latency: float, bandwidth: float) -> float:
    """T(n), in seconds."""
    rounds = (n - 1).bit_length()  # ceil(log2 n)
    return seconds + (arrays * rounds + 2 * (n - 1) * buckets) * latency + 2 * (n - 1) / n * size / bandwidth


def _measured(n: int, threads: int, repeats: int) -> Measured:
    from tinygen.training.distributed import launcher

    command = [sys.executable, "-m", "tinygen.bench.processes", str(repeats)]
    environment = os.environ | Protocol(threads, wall_clock=True).environment()
    launched = command if n == 1 else [launcher(), "-n", str(n), *command]
    result = subprocess.run(launched, env=environment, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise UsageError(f"{n} processes ended with status {result.returncode}")
    found = json.loads(result.stdout.splitlines()[-1])
    return Measured(**found | {"timeline": [[Span(*span) for span in spans] for spans in found["timeline"]]})


def work(repeats: int) -> Measured:
    """What each of the processes does."""
    from tinygen.bench.steps import BATCH, take
    from tinygen.training.distributed import joined

    group, taken, sizes = joined(), take("dcgan", "cpu"), list[int]()
    start, stop = shares(BATCH, group.rank, group.size)
    own = [rows[start:stop] for rows in taken.batch]

    def counted(x: backend.Array) -> backend.Sum:
        sizes.append(x.nbytes)
        return group.begin(x)

    def step(begin: Callable[[backend.Array], backend.Sum] = counted) -> None:
        with backend.sharing(backend.Shard(start, stop, BATCH, begin)) if group.size > 1 else nullcontext():
            taken.step(*own)

    def recorded() -> list[Span]:
        recorder = Recorder()
        with recorder.recording(taken.parts.values()):
            group.barrier()
            step(functools.partial(recorder.begin, group.begin))
        return recorder.spans

    def seconds(run: Callable[[], Any]) -> float:
        group.barrier()
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    for _ in range(_WARM_UP):
        sizes.clear()
        step()
    gradients = [n for n in sizes if n > SMALL]
    arrays, buckets = len(sizes) - len(gradients), len(gradients)
    small, large = numpy.zeros(1, numpy.float32), numpy.zeros(_BYTES // 4, numpy.float32)
    whole, round_trip, transfer = (
        statistics.median(seconds(run) for _ in range(repeats))
        for run in (step, lambda: group.all_reduce(small), lambda: group.all_reduce(large))
    )
    timelines = [group.gather(recorded()) for _ in range(repeats)]
    group.end()
    moved = 2 * (group.size - 1) / group.size * _BYTES
    median = sorted(timelines, key=timeline.seconds)[repeats // 2]
    return Measured(group.size, whole, arrays, buckets, sum(gradients), round_trip, moved / transfer, median)


if __name__ == "__main__":
    result = work(int(sys.argv[1]))
    print(json.dumps(result._asdict()))
