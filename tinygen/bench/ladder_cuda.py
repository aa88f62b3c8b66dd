"""The ladder on a GPU: how fast every rung is, or what it reads and writes, where there is no GPU.

The rungs are in `tinygen_kernels.ladder.cuda`, each with its idea. Without a GPU they run in Numba's
simulator, whose times mean nothing. So their accesses to memory are counted instead, on a layer as
small as one block of the fourth rung. With NUMBA_ENABLE_CUDASIM=1 they are counted on any machine.
"""

import importlib
import os
from dataclasses import astuple
from typing import Any

import numpy
from tinygen_kernels import Array, Padding, reference
from tinygen_kernels.ladder import cuda

from tinygen.backend import to_device
from tinygen.bench import kernels, ladder, warps
from tinygen.bench.kernels import TOLERANCE, difference
from tinygen.bench.ladder import Rung
from tinygen.bench.layers import Layer
from tinygen.bench.protocol import Call, Protocol, process, table
from tinygen.command_line import UsageError

COUNTED = Layer(1, (9, 9), 16, 64, 2, 1, 0)  # 64 output pixels of 64 channels
_LARGEST = 2**20  # multiply-adds: some ten seconds a rung in the simulator
_REPEATS = 9
_NONE: Padding = (0, 0), (0, 0)

LEGEND = [
    "For each multiply-add: reads and writes are numbers of global memory; sectors are blocks of 32 bytes of it that a warp of 32",
    "threads reads, counted once for each instruction; shared reads are instructions of a thread that read shared memory.",
    "barriers: how often a thread waits for its block, in 1,000 multiply-adds of its own.",
    "sectors/read: in one instruction of a warp: 1 if all threads read one number, 4 if neighbours (16 if four each), 32 if far apart.",
]


def main(layer: Layer | None) -> None:
    """Climb and print a table: of times on a GPU, else of counts. Raises UsageError if the layer is too large for the simulator."""
    protocol = Protocol(1, wall_clock=True, device="cuda")
    with process(protocol) as worker:
        missing = worker(_missing)
        if missing is None:
            _climb(worker, protocol, layer or ladder.LAYER)
            return
    layer = layer or COUNTED
    if layer.flops() > 2 * _LARGEST:
        raise UsageError(f"{layer} has {layer.flops() // 2:,} multiply-adds, too many for the simulator, which does at most {_LARGEST:,}")
    print(f"Nothing is timed ({missing}).\nReads and writes are counted, in Numba's simulator, on {layer}, float32.\n")
    with process(protocol, NUMBA_ENABLE_CUDASIM="1") as worker:
        rows: list[tuple[str, ...]] = [("rung", "reads", "writes", "sectors", "shared reads", "barriers", "sectors/read")]
        for name, idea in ladder.ideas(cuda).items():
            print(f"{name}: {idea}", flush=True)
            found: warps.Counts = worker(count, name, layer)
            print(f"    {found.sectors:.3g} sectors and {found.shared_reads:.3g} reads of shared memory for a multiply-add\n")
            rows.append((name, *(f"{number:.3g}" for number in astuple(found))))
    print("\n".join([*table(rows), *LEGEND]))


def _missing() -> str | None:
    """Why nothing can be timed here."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
        return "NUMBA_ENABLE_CUDASIM is set"
    try:
        to_device(numpy.zeros(1), "cuda")
    except UsageError as error:
        return str(error)
    return None


def _climb(worker: Call, protocol: Protocol, layer: Layer) -> None:
    machine = worker(kernels.machine, protocol, "float32")
    print(f"{layer}, float32, timed on a GPU, which does at most {machine.gflops:.0f} GFLOP/s of multiply-adds by its data sheet\n")
    climbed = ladder.climb(cuda, lambda name: worker(measure, name, layer, protocol))
    print("\n".join(table(ladder.report(climbed, machine.gflops))))
    ladder.keep(climbed, layer, "cuda")


def measure(name: str, layer: Layer, protocol: Protocol) -> Rung:
    """Check and time one rung on the GPU: its kernel alone, the image has its border already. Raises ArithmeticError if it is wrong."""
    c, (x, w, _) = layer.convolution(), layer.arrays("float32")
    padded = numpy.pad(x, ((0, 0), *c.padding, (0, 0)))
    image, weight = to_device(padded, protocol.device), to_device(w, protocol.device)

    def work() -> Array:
        return cuda.conv2d(name, image, weight, None, c.stride, _NONE, (1, 1))

    _check(name, layer, to_device(work(), "cpu"), reference.conv2d(padded, w, None, c.stride, _NONE, (1, 1)))
    return Rung(name, layer.flops() / protocol.medians({name: work}, _REPEATS)[name] / 1e9)


def count(name: str, layer: Layer) -> warps.Counts:
    """Check and count one rung, in a process with NUMBA_ENABLE_CUDASIM=1. Raises ArithmeticError if it is wrong."""
    warps.install()
    products: Any = importlib.import_module("tinygen_kernels.cuda.products")
    products.SIMULATED, products._SHORTEST = False, layer.flops()  # the tile of a GPU, and no sum in pieces
    c, (x, w, _) = layer.convolution(), layer.arrays("float32")
    y = cuda.conv2d(name, x.view(warps.Array), w.view(warps.Array), None, c.stride, c.padding, (1, 1))
    _check(name, layer, y.view(numpy.ndarray), reference.conv2d(x, w, None, c.stride, c.padding, (1, 1)))
    return warps.counts(layer.flops() / 2)


def _check(name: str, layer: Layer, result: Array, expected: Array) -> None:
    if not difference(result, expected) <= TOLERANCE:
        raise ArithmeticError(f"{name} does not compute the convolution of {layer}")
