"""The ladder on this machine: how fast every rung is, and what it reads and writes for a multiplication.

The rungs are in `tinygen_kernels.ladder`, each with its idea. Times are of one thread. Before a rung
runs, a reader at a terminal is asked how many times faster than the rung before it will be; the
answers are kept in runs/ladder.jsonl.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
from tinygen_kernels import ladder, reference
from tinygen_kernels.cpu import simd
from tinygen_kernels.ladder import block

from tinygen.bench import peak, roofline
from tinygen.bench.counted import Traffic, counted
from tinygen.bench.kernels import TOLERANCE, Work, difference, works_of
from tinygen.bench.layers import Direction, Layer
from tinygen.bench.protocol import Protocol, process, table

LAYER = Layer(64, (16, 16), 64, 128, 4, 2, 1)
ANSWERS = Path("runs/ladder.jsonl")

# The interpreter takes about a microsecond for a multiplication, so `loops` gets a part of the layer.
_FEW_FLOPS = 400_000


@dataclass(frozen=True)
class Rung:
    """What was measured: 10^9 operations per second, and numbers read or written per multiply-add, if that was counted."""

    name: str
    gflops: float
    traffic: float | None = None
    guess: float | None = None


def main(layer: Layer, plot: Path | None, beside: Callable[[Layer], list[Rung]] | None = None) -> None:
    """Climb, print a table, and draw the roofline if `plot` says where.

    `beside` measures what is no rung, and stands below them in the table.
    """
    protocol = Protocol(1, wall_clock=False)
    with process(protocol) as worker:
        others = worker(beside, layer) if beside else []
        machine = worker(peak.machine, protocol, "float32")
        print(f"{layer}, float32, one thread; this machine does at most {machine.gflops:.0f} GFLOP/s of multiply-adds\n")
        climbed = climb(ladder, lambda name: worker(measure, name, layer))
    print("\n".join([*table(report(climbed, machine.gflops, others)), *LEGEND]))
    keep(climbed, layer, "cpu")
    if plot:
        counted_rungs = [(rung, rung.traffic) for rung in (*climbed, *others) if rung.traffic]
        dots = [roofline.Dot(rung.name, "forward", 2 / (4 * traffic), rung.gflops) for rung, traffic in counted_rungs]
        plot.write_text(roofline.svg(dots, machine.gflops, machine.gigabytes, f"The ladder: {layer}", labels=True))
        print(f"\nroofline: {plot}")


def ideas(rungs: ModuleType) -> dict[str, str]:
    """The idea of each rung of a package, from its docstring."""
    lines = (line.split(maxsplit=1) for line in (rungs.__doc__ or "").splitlines() if line.startswith("    "))
    return {name: idea for name, idea in lines}


def climb(rungs: ModuleType, measured: Callable[[str], Rung]) -> list[Rung]:
    """Measure each rung of a package and print it, after a reader at a terminal has guessed."""
    climbed: list[Rung] = []
    for name, idea in ideas(rungs).items():
        print(f"{name}: {idea}")
        guess = _ask(name) if climbed and sys.stdin.isatty() and sys.stdout.isatty() else None
        rung = replace(measured(name), guess=guess)
        faster = f", {rung.gflops / climbed[-1].gflops:.3g} times the rung before" if climbed else ""
        print(f"    {rung.gflops:.3g} GFLOP/s{faster}\n")
        climbed.append(rung)
    return climbed


def keep(climbed: list[Rung], layer: Layer, device: str) -> None:
    """Write the guesses down, if there are any."""
    if any(rung.guess for rung in climbed):
        ANSWERS.parent.mkdir(exist_ok=True)
        with ANSWERS.open("a") as file:
            file.write(json.dumps({"layer": str(layer), "device": device, "rungs": [asdict(rung) for rung in climbed]}) + "\n")


LEGEND = [
    "traffic: numbers read from arrays and written to them for each multiplication and addition, counted. For the products of",
    "BLAS, what goes into them and comes out; for the blocks of registers, the loads of a step and of no more.",
]


def report(climbed: list[Rung], gflops: float, others: Sequence[Rung] = ()) -> list[tuple[str, ...]]:
    """The rows of the table: the rungs, then others, which have no rung before them. Traffic has a column where it was counted."""
    rows: list[tuple[str, ...]] = [("rung", "GFLOP/s", "of the peak", "times the rung before", "you said", "traffic")]
    befores = [None, *climbed[:-1], *(None for _ in others)]
    for before, rung in zip(befores, [*climbed, *others], strict=True):
        faster = f"{rung.gflops / before.gflops:.3g}" if before else ""
        said = f"{rung.guess:.3g}" if rung.guess else ""
        traffic = f"{rung.traffic:.2g}" if rung.traffic else ""
        rows.append((rung.name, f"{rung.gflops:.3g}", f"{rung.gflops / gflops:.2%}", faster, said, traffic))
    return rows if any(rung.traffic for rung in climbed) else [row[:-1] for row in rows]


def _ask(name: str) -> float | None:
    try:
        return float(input(f"    How many times faster than the rung before will {name} be? "))
    except (ValueError, EOFError):
        return None


def measure(name: str, layer: Layer) -> Rung:
    """Check, count and time one rung in this process. Raises ArithmeticError if its result is wrong."""
    traffic = traffic_of(name, layer)
    kernels = SimpleNamespace(conv2d=partial(ladder.conv2d, name))
    return Rung(name, rate(name, kernels, part_of(layer) if name == "loops" else layer), traffic)


def part_of(layer: Layer) -> Layer:
    """A part of the layer that is small enough for the interpreter."""
    images = max(1, math.ceil(_FEW_FLOPS * layer.images / layer.flops()))
    size = min(layer.size[0], 2 * layer.kernel), min(layer.size[1], 2 * layer.kernel)
    return replace(layer, images=images, size=size, outputs=min(layer.outputs, 4))


def rate(name: str, kernels: Any, layer: Layer, direction: Direction = "forward") -> float:
    """10^9 operations per second of a kernel. Raises ArithmeticError if its result is wrong."""
    arrays = layer.arrays("float32")
    work = works_of(kernels, layer, arrays)[direction]
    if not difference(work(), works_of(reference, layer, arrays)[direction]()) <= TOLERANCE:
        raise ArithmeticError(f"{name} does not compute the convolution of {layer}")
    return rate_of(work, layer)


def rate_of(work: Work, layer: Layer) -> float:
    """10^9 operations per second of a work: the best of three runs."""
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return layer.flops() / min(seconds) / 1e9


def traffic_of(name: str, layer: Layer) -> float:
    """Numbers read or written per multiply-add."""
    if name in ("block", "tile"):
        pixels, vectors = (block.PIXELS, block.VECTORS) if name == "block" else (simd.PIXELS, simd.VECTORS)
        lanes = simd.tile_width(numpy.dtype("float32")) // simd.VECTORS
        return _step_traffic(pixels, vectors, lanes)
    if name not in ("taps", "im2col"):  # in the interpreter, so on a layer that is as small as possible
        layer = Layer(1, (layer.kernel + 3 * layer.stride,) * 2, 2, min(layer.outputs, 16), layer.kernel, layer.stride, 0)
    c, traffic = layer.convolution(), Traffic()
    x, w, y = (counted(array, traffic) for array in layer.arrays("float32"))
    if name in ("taps", "im2col"):
        ladder.conv2d(name, x, w, None, c.stride, c.padding, (1, 1))
    else:
        rung = ladder.module("loops" if name == "compiled" else name)
        y[...] = 0
        traffic.writes = 0
        getattr(rung, "in_python", rung.convolve)(x, w, c.stride, (1, 1), y)
    return (traffic.reads + traffic.writes) / (layer.flops() / 2)


def _step_traffic(pixels: int, vectors: int, lanes: int) -> float:
    """Of one step of a block of registers, as `block.step` writes it."""

    class Tally:
        loads, products = 0, 0

        def load(self, pointer: object, vector: int) -> None:
            self.loads += lanes

        def splat(self, pointer: object, index: int) -> None:
            self.loads += 1

        def multiply_add(self, accumulators: object, a: object, loaded: list[None]) -> None:
            self.products += lanes * len(loaded)

    tally = Tally()
    block.step(tally, [[None] * vectors] * pixels, [None] * pixels, None, None, vectors)
    return tally.loads / tally.products
