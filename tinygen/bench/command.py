"""The command line of the benchmark, and what it prints."""

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy
import tyro
from tqdm import tqdm

from tinygen.backend import to_device
from tinygen.bench import kernels, roofline
from tinygen.bench.kernels import ENGINES, IM2COL, OURS, REFERENCE, TOLERANCE, TORCH, Timing
from tinygen.bench.layers import DIRECTIONS, LAYERS, Direction, Layer
from tinygen.bench.protocol import Protocol, between_cores, cores, geometric_mean, process, protocols, table
from tinygen.command_line import UsageError

if TYPE_CHECKING:
    from tinygen.bench.peak import Machine


_LEGEND = [
    "ms of each engine; GFLOP/s and share of the peak are ours. Operations with the zeros of the border count, as is usual, so that",
    "kernels which leave them out, as ours do, may pass 100%. So may many channels with kernels of 3x3, and of 4x4 with stride 2:",
    "Winograd's algorithm needs fewer operations.",
]
_CROWDED = (
    "All threads together do hardly more than one alone: other programs hold the cores. Do not trust this last table, least of all\n"
    "PyTorch's times in it, whose threads wait for each other; trust the one by CPU time."
)


@dataclass(kw_only=True)
class Options:
    """How fast the convolution kernels are, beside im2col + BLAS, the reference, PyTorch where it is installed, and the machine's peak.

    Every kernel is timed twice: on one thread by CPU time, and on all threads by wall clock; on a
    GPU once, by its own clock.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    """where to compute; on a GPU, im2col is with cuBLAS, and what paper says that a kernel should take stands beside it"""
    threads: Annotated[int, tyro.conf.arg(help_behavior_hint="(default: all cores)")] = cores()
    """threads of the second protocol; with 1 there is only the first"""
    repeats: int = 15
    """timings of each kernel, whose median counts"""
    only: Direction | None = None
    """one direction instead of all three"""
    layer: Annotated[str | None, tyro.conf.arg(metavar="N,H,W,C,K,kernel,stride,padding")] = None
    """one layer of your own, from C to K channels, instead of the list; padding is a number, "same" or "valid" """
    step: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """time whole training steps of the examples instead of kernels"""
    ladder: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """climb from seven loops in Python to the register tile, on one layer and one thread, instead of comparing engines; with --device cuda,
    from one thread for each pixel to the GPU's tile: timed, or without a GPU simulated, with the accesses to memory counted"""
    with_: Annotated[Path | None, tyro.conf.arg(name="with", metavar="FILE")] = None
    """climb the ladder beside PyTorch and the functions of your own in this file: convolve, step, conv2d, conv2d_data or conv2d_weight"""
    scale: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """time one convolution as its batch, side, channels and threads grow instead of the list; --plot FILE.svg draws the curves"""
    processes: Annotated[str | None, tyro.conf.arg(metavar="1,2,...")] = None
    """time a training step on so many processes that share its batch, and predict it for 8 to 1,024 (needs the extra mpi);
    --plot FILE.svg draws what each process does when"""
    network: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="MICROSECONDS GB/S")] = None
    """latency and bandwidth that --processes predicts with, instead of those between processes of this machine"""
    busy: int = 0
    """time whole training steps alone and beside so many processes that keep a core busy each"""
    plot: Annotated[Path | None, tyro.conf.arg(metavar="FILE.svg")] = None
    """also draw the kernels under the machine's roofline, by the last protocol"""
    dtype: Literal["float32", "float64"] = "float32"
    """of all numbers"""
    ptx: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """compile the GPU's kernels and tell what became of them, without a GPU, instead of timing anything"""


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, or those of the command line. An error that the user can mend ends it in one sentence."""
    try:
        main(tyro.cli(Options, prog="python -m tinygen.bench", args=arguments))
    except (UsageError, OSError) as error:
        raise SystemExit(f"bench: {error}") from None


def main(options: Options) -> None:
    if options.threads < 1 or options.repeats < 1 or options.busy < 0:
        numbers = f"{options.threads}, {options.repeats} and {options.busy}"
        raise UsageError(f"threads and repeats must be at least 1, and busy at least 0, not {numbers}")
    if (options.step or options.busy) and (options.plot or options.layer or options.only or options.dtype != "float32"):
        raise UsageError("--step and --busy time whole training steps in float32; --only, --layer, --plot and --dtype are for kernels")
    if options.scale and (options.step or options.busy or options.layer or options.only or options.device != "cpu"):
        raise UsageError(
            "--scale times a convolution of its own, on a CPU, in all directions; of the other options it takes only "
            "--threads, --repeats, --dtype and --plot"
        )
    if options.processes:
        from tinygen.bench import processes

        if not re.fullmatch(r"1(,\d+)+", options.processes):
            raise UsageError(f"--processes takes 1 and larger numbers after it, such as 1,2,4, not {options.processes}")
        processes.main([int(n) for n in options.processes.split(",")], options.threads, options.repeats, options.network, options.plot)
        return
    if options.ptx:
        from tinygen.bench import ptx

        ptx.main()
        return
    if options.ladder or options.with_:
        from tinygen.bench import ladder, ladder_cuda, own

        if options.device != "cpu":
            if options.with_ or options.plot:
                raise UsageError("--ladder --device cuda climbs the rungs for GPUs; --with and --plot are for the CPU's ladder")
            ladder_cuda.main(Layer.parse(options.layer) if options.layer else None)
            return
        beside = functools.partial(own.measured, options.with_) if options.with_ else None
        ladder.main(Layer.parse(options.layer) if options.layer else ladder.LAYER, options.plot, beside)
        return
    layers = [Layer.parse(options.layer)] if options.layer else LAYERS
    with process(Protocol(1, wall_clock=False)) as worker:
        worker(to_device, numpy.zeros(1), options.device)  # what is missing is said at once
        version = worker(kernels.torch_version, options.device)
    print(f"PyTorch {version}" if version else "PyTorch is not installed and so left out; pip install 'tinygen[bench]' adds it")
    chosen = protocols(options.threads, options.device)
    if options.step or options.busy:
        from tinygen.bench import steps

        if options.busy:  # what other processes cost shows on the wall clock only
            chosen = [Protocol(options.threads, wall_clock=True, device=options.device)]
        steps.main(chosen, options.repeats, version is not None, options.busy)
        return
    if options.scale:
        from tinygen.bench import scaling

        scaling.main(options.threads, options.repeats, options.dtype, options.plot)
        return
    alone = math.inf
    for protocol in chosen:
        with between_cores(protocol):
            machine, timings = _run(options, layers, protocol)
        if protocol.threads > 1 and protocol.device == "cpu" and machine.gflops < 1.2 * alone:
            print(f"\n{_CROWDED}")
        alone = machine.gflops
    if options.plot:
        dots = [roofline.Dot(str(t.layer), t.direction, t.layer.flops() / t.layer.bytes(options.dtype), t.rate()) for t in timings]
        where = f"{protocol.threads} thread{'s' * (protocol.threads > 1)}" if options.device == "cpu" else options.device
        title = f"Convolution kernels, {options.dtype}, {where}"
        options.plot.write_text(roofline.svg(dots, machine.gflops, machine.gigabytes, title))
        print(f"\nroofline: {options.plot}")


def _run(options: Options, layers: Sequence[Layer], protocol: Protocol) -> tuple["Machine", list[Timing]]:
    """Measure by one protocol, and print."""
    print(f"\n{options.dtype}; {protocol.describe()}; median of {options.repeats} timings, engines in turn")
    directions = DIRECTIONS if options.only is None else (options.only,)
    timings: list[Timing] = []
    with process(protocol) as worker:
        machine: Machine = worker(kernels.machine, protocol, options.dtype)
        print(f"this machine: at most {machine.gflops:.1f} GFLOP/s of multiply-adds, {machine.gigabytes:.1f} GB/s from and to memory\n")
        for layer in tqdm(layers, leave=False, disable=None):
            timings += [worker(kernels.measure, layer, each, options.dtype, options.repeats, protocol) for each in directions]
    print("\n".join(report(timings, machine.gflops)))
    if protocol.device != "cpu":
        with process(protocol) as worker:
            ours, cupys = worker(kernels.launch_seconds)
        print(f"\nto start a kernel takes the host {ours * 1e6:.1f} us through tinygen_kernels, {cupys * 1e6:.1f} us through CuPy")
    return machine, timings


def report(timings: Sequence[Timing], gflops: float) -> list[str]:
    """The table of all kernels, and the means of the ratios."""
    engines = [engine for engine in ENGINES if any(engine in t.seconds for t in timings)]
    rivals = {engine: memory_format for memory_format, engine in TORCH.items() if engine in engines}
    predicted = ["predicted"] if any(t.predicted for t in timings) else []
    rows = [("ms", "kernel", *predicted, *engines, "GFLOP/s", "of peak", *(f"ours/{name}" for name in rivals.values()))]
    for t in timings:
        times = [f"{t.seconds[engine] * 1e3:.3f}" if engine in t.seconds else "-" for engine in engines]
        paper = [f"{t.predicted * 1e3:.3f}"] if t.predicted else []
        ratios = ["-" if (ratio := t.ratio(rival)) is None else f"{ratio:.2f}" for rival in rivals]
        rows.append((str(t.layer), t.direction, *paper, *times, f"{t.rate():.1f}", f"{t.rate() / gflops:.0%}", *ratios))
    means = [("geometric mean of ours / ... (below 1, ours is faster)", "all", *DIRECTIONS)]
    means += [(engine, *_means(timings, engine)) for engine in engines if engine not in (OURS, REFERENCE)]
    wrong = [
        f"{t.layer} {t.direction}: {engine} differs from {IM2COL} by {error:.1e} of the largest number, not at most {TOLERANCE}"
        for t in timings
        for engine, error in t.wrong.items()
    ]
    return [*table(rows), *_LEGEND, *wrong, "", *table(means)]


def _means(timings: Sequence[Timing], engine: str) -> Iterator[str]:
    """The geometric mean of the ratios to an engine, over all directions and over each."""
    for direction in (None, *DIRECTIONS):
        chosen = [t for t in timings if direction in (None, t.direction)]
        ratios = [ratio for t in chosen if (ratio := t.ratio(engine)) is not None]
        yield f"{geometric_mean(ratios):.2f}" if ratios else "-"
