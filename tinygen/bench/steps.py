"""Whole training steps of the examples, tape and optimiser included, in tinygen and in PyTorch eager.

The steps are the examples' own: an example hands its step to `Training`, from which it is taken
here instead of being run. Each engine works in a process of its own, so that memory and threads are
its own, and the engines take turns at a step. Memory and page faults are counted as Unix does;
there is no --step on Windows.
"""

import importlib.util
import math
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy

import tinygen
from tinygen.backend import to_device
from tinygen.bench.kernels import TOLERANCE
from tinygen.bench.protocol import Call, Protocol, between_cores, busy_processes, process, table
from tinygen.command_line import UsageError

EXAMPLES = ("cnn", "dcgan", "vae")
OURS, GRAPH = "tinygen", "tinygen --graph"  # the second one replays a recorded step
ENGINES = {"torch NCHW": "NCHW", "torch channels_last": "channels_last"}
BATCH = 64
_WARM_UP = 3


class Step(NamedTuple):
    """One step: its seconds, and the page faults in it."""

    seconds: float
    faults: int


class Taken(Exception):
    """Carries what an example gave to Training out of its main."""

    def __init__(self, training: Any) -> None:
        self.parts, self.step = training.parts, training.step
        self.batch = next(training.loader.epoch(0))


def example_file(name: str) -> Path:
    """Where an example lies, beside the packages in the repository. Raises UsageError where it does not."""
    path = Path(tinygen.__file__).parent.parent / "examples" / f"{name}.py"
    if not path.exists():
        raise UsageError(f"--step times the examples, which come with tinygen's repository and not with the package: there is no {path}")
    return path


def take(name: str, device: str) -> Taken:
    """The models and optimisers, a batch and the step of an example."""
    from tinygen.training.loop import Training

    specification = importlib.util.spec_from_file_location(name, example_file(name))
    assert specification is not None and specification.loader is not None
    example: Any = importlib.util.module_from_spec(specification)
    sys.modules[name] = example  # where dataclasses look up their annotations
    specification.loader.exec_module(example)

    def run(training: Training) -> None:
        raise Taken(training)

    original, Training.run = Training.run, run  # type: ignore[assignment, method-assign]
    try:
        with redirect_stdout(StringIO()):
            example.main(get_type_hints(example.main)["options"](batch_size=BATCH, device=device))
    except Taken as taken:
        return taken
    finally:
        Training.run = original  # type: ignore[method-assign]
    raise ValueError(f"{example_file(name)} starts no Training")


class _Work:
    """What a process of this benchmark holds between calls: the step of one engine."""

    step: Callable[[], Any]
    protocol: Protocol


def prepare(name: str, engine: str, protocol: Protocol) -> None:
    """Make this process ready for steps of an example in an engine."""
    taken = take(name, "cpu" if engine in ENGINES else protocol.device)
    if engine in ENGINES:
        step, batch = _counterpart(name, taken, ENGINES[engine], protocol.device).step, list(taken.batch)
    else:
        step, batch = taken.step, [to_device(array, protocol.device) for array in taken.batch]
    if engine == GRAPH:
        from tinygen.training.graph import GraphStep

        step = GraphStep(step, taken.parts, protocol.device)
    _Work.step, _Work.protocol = (lambda: step(*batch)), protocol


def step() -> Step:
    """One step in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = _Work.protocol.seconds(_Work.step, behind_other_work=False)  # what the host takes to start a step is part of it
    return Step(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB: of a GPU, if it works there, that which its arrays have taken.

    Linux counts from the process that started it, which therefore must stay small and import
    neither Numba nor PyTorch. PyTorch's process also holds the example from which its own was
    translated and the modules of tinygen that this takes, without Numba: 30 to 45 MB.
    """
    if _Work.protocol.device != "cpu":
        import cupy

        return (cupy.get_default_memory_pool().total_bytes() + _torch_bytes()) / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def _torch_bytes() -> int:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_reserved() if torch else 0


def disagreement(name: str, device: str) -> float:
    """The largest difference between our models of an example and their translations, outside training, relative to the largest number."""
    import torch

    taken = take(name, device)
    counterpart = _counterpart(name, taken, "NCHW", device)
    facing = counterpart.facing
    errors = []
    for part in taken.parts.values():
        if isinstance(part, tinygen.nn.Module):
            part.eval()
    for ours, theirs, shape in counterpart.models:
        x = numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
        with torch.no_grad(), tinygen.no_grad():
            expected = ours(tinygen.tensor(x, device=device)).numpy()
            given = torch.from_numpy(x[:, facing, facing].transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x).to(device)
            result = theirs.eval()(given).cpu().numpy()
        result = result.transpose(0, 2, 3, 1)[:, facing, facing] if result.ndim == 4 else result
        errors.append(float(numpy.abs(result - expected).max() / numpy.abs(expected).max()))
    return max(errors)


def _counterpart(name: str, taken: Taken, memory_format: str, device: str) -> Any:
    from tinygen.bench import torch_steps

    return getattr(torch_steps, name)(taken.parts, taken.batch[0].shape, memory_format, device)


def main(protocols: Sequence[Protocol], repeats: int, with_torch: bool, busy: int) -> None:
    """Time all examples by each protocol, and print a table for each; with `busy`, also beside so many busy processes."""
    for name in EXAMPLES:
        example_file(name)
    engines = [OURS, GRAPH, *ENGINES] if with_torch else [OURS, GRAPH]
    if with_torch:
        with process(Protocol(1, wall_clock=False)) as worker:
            for name in EXAMPLES:
                if not (error := worker(disagreement, name, protocols[0].device)) <= TOLERANCE:
                    print(f"{name}: PyTorch's models differ from ours by {error:.1e} of the largest number, not at most {TOLERANCE}")
    for protocol in protocols:
        print(f"\ntraining steps, batch {BATCH}, float32; {protocol.describe()}; median of {repeats}\n")
        rows: list[tuple[str, ...]] = [("step", "engine", "ms", "tinygen / ...", "peak MB", "page faults per step")]
        if busy:
            rows = [("step", "engine", "ms", "tinygen / ...", f"ms beside {busy} busy", "tinygen / ...", "times as long")]
        with between_cores(protocol):
            for name in EXAMPLES:
                rows += compare_busy(name, engines, protocol, repeats, busy) if busy else compare(name, engines, protocol, repeats)
            print("\n".join(table(rows)))


def compare(name: str, engines: list[str], protocol: Protocol, repeats: int) -> list[tuple[str, ...]]:
    """The rows of an example: its engines take turns, each in its process."""
    with _workers(name, engines, protocol) as workers:
        turns = _turns(workers, repeats)
        peaks = {engine: worker(peak_memory) for engine, worker in workers.items()}
    seconds = _seconds(turns)
    rows: list[tuple[str, ...]] = []
    for engine in engines:
        faults = math.ceil(statistics.median(turn[engine].faults for turn in turns))
        rows.append((name, engine, *_milliseconds(seconds, engine), f"{peaks[engine]:.0f}", f"{faults:,}"))
    return rows


def compare_busy(name: str, engines: list[str], protocol: Protocol, repeats: int, busy: int) -> list[tuple[str, ...]]:
    """The rows of an example: alone, then beside so many processes that each keep a core busy."""
    with _workers(name, engines, protocol) as workers:
        alone = _seconds(_turns(workers, repeats))
        with busy_processes(busy):
            beside = _seconds(_turns(workers, repeats))
    return [
        (name, engine, *_milliseconds(alone, engine), *_milliseconds(beside, engine), f"{beside[engine] / alone[engine]:.2f}")
        for engine in engines
    ]


@contextmanager
def _workers(name: str, engines: list[str], protocol: Protocol) -> Iterator[dict[str, Call]]:
    """A process for each engine, ready for steps of an example."""
    with ExitStack() as stack:
        workers: dict[str, Call] = {engine: stack.enter_context(process(protocol)) for engine in engines}
        for engine, worker in workers.items():
            worker(prepare, name, engine, protocol)
        yield workers


def _turns(workers: dict[str, Call], repeats: int) -> list[dict[str, Step]]:
    return [{engine: worker(step) for engine, worker in workers.items()} for _ in range(_WARM_UP + repeats)][_WARM_UP:]


def _seconds(turns: list[dict[str, Step]]) -> dict[str, float]:
    return {engine: statistics.median(turn[engine].seconds for turn in turns) for engine in turns[0]}


def _milliseconds(seconds: dict[str, float], engine: str) -> tuple[str, str]:
    """The time of an engine, and the shortest of ours as a multiple of it."""
    ours = min(seconds[engine] for engine in (OURS, GRAPH) if engine in seconds)
    return f"{seconds[engine] * 1e3:.1f}", f"{ours / seconds[engine]:.2f}"
