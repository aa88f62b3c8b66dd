"""The training loop, with its progress bar, log, sample pictures and checkpoints. `saving/run_folder.py` says what a run leaves."""

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy
from tqdm import tqdm

from tinygen import backend
from tinygen.backend import Array
from tinygen.command_line import UsageError
from tinygen.data import Loader
from tinygen.engine.tensor import Tensor, array_of
from tinygen.report import pictures
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import read_checkpoint
from tinygen.training.options import RunOptions

# What may differ between a run and its continuation.
NOT_COMPARED = {"out", "epochs", "device", "resume"}


GENERATED = 1000  # images that a finished run leaves


class Stateful(Protocol):
    """A Module or an Optimizer."""

    def state_dict(self) -> dict[str, numpy.ndarray]: ...
    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None: ...


Metrics = Mapping[str, Tensor | Array | float]


def _floats(metrics: Metrics) -> dict[str, float]:
    """The numbers by name, on the host."""
    return dict(zip(metrics, backend.floats(map(array_of, metrics.values())), strict=True))


@dataclass
class Training:
    """A training run. `parts` are the modules and optimisers that a checkpoint holds.

    `step(*batch)` trains on one batch of the loader's arrays, which are on the device already, and returns numbers. The mean of each over
    those steps of the epoch that returned it is logged. Arrays among them stay where they are until the progress bar shows the means,
    since to read from a GPU is to wait for it. After each epoch `evaluate()` returns further numbers, and `samples()` a picture, uint8
    (H, W, C). `generate(n)`, of a model that makes images, returns n of them, independent of each other, (n, H, W, C) with values from 0
    to 1; it is called when the run is finished.
    """

    options: RunOptions
    parts: Mapping[str, Stateful]
    loader: Loader
    step: Callable[..., Metrics]
    samples: Callable[[], numpy.ndarray] | None = None
    evaluate: Callable[[], Metrics] | None = None
    generate: Callable[[int], numpy.ndarray] | None = None

    def __post_init__(self) -> None:
        if reserved := [part for part in self.parts if "/" in part or part in ("totals", "random")]:
            raise ValueError(f"a checkpoint cannot hold parts of the names {', '.join(reserved)}: it needs /, totals and random itself")
        self.folder = self.options.out
        self.epoch = 0  # epochs done
        self.batch = 0  # batches done in the epoch after those
        self.totals: dict[str, Any] = {}  # sums over those of these batches that gave a number of this name
        self.counts: dict[str, int] = {}  # how many did
        self.seconds = 0.0
        self.interrupted = False

    def run(self) -> None:
        """Train up to options.epochs. Ctrl-C ends the run after the step in hand, with a checkpoint to resume from."""
        self._open()
        with self._interruptible():
            while self.epoch < self.options.epochs and not self.interrupted:
                self._train_epoch()
        if self.epoch < self.options.epochs:
            print(f"stopped in epoch {self.epoch + 1} after {self.batch} of {len(self.loader)} batches; --resume goes on from there")
            raise SystemExit(130)
        if self.generate is not None:
            self._save_generated(self.generate)
        frames = [self._picture(epoch) for epoch in range(1, self.epoch + 1) if self._picture(epoch).exists()]
        if frames:
            pictures.save_gif(self.folder / "samples.gif", frames)
        print(f"trained {self.epoch} epochs; log, samples and checkpoint are in {self.folder}")

    def _train_epoch(self) -> None:
        started = time.perf_counter()
        batches = backend.copied_ahead(self.loader.epoch(self.epoch, start=self.batch), self.options.device)
        title = f"epoch {self.epoch + 1}/{self.options.epochs}"
        with tqdm(batches, title, len(self.loader), initial=self.batch, unit="batch", leave=False, disable=None) as bar:
            for batch in bar:
                for name, value in self.step(*batch).items():
                    number = array_of(value)
                    array = number if hasattr(number, "astype") else numpy.asarray(number)
                    self.totals[name] = self.totals.get(name, 0.0) + array.astype(numpy.float64)
                    self.counts[name] = self.counts.get(name, 0) + 1
                self.batch += 1
                if self.batch % 10 == 0 and not bar.disable:
                    bar.set_postfix({name: f"{value:.3f}" for name, value in self._means().items()})
                if self.interrupted:
                    break
        self.seconds += time.perf_counter() - started
        if self.batch == len(self.loader):
            self._close_epoch(title)
        self._save()

    def _picture(self, epoch: int) -> Path:
        return self.folder / "samples" / f"epoch-{epoch:03}.png"

    def _means(self) -> dict[str, float]:
        return {name: total / self.counts[name] for name, total in _floats(self.totals).items()}

    def _close_epoch(self, title: str) -> None:
        """Evaluate, draw samples, and write the epoch's line of the log."""
        metrics = self._means()
        if self.evaluate is not None:
            metrics |= _floats(self.evaluate())
        self.epoch, self.batch, self.totals, self.counts = self.epoch + 1, 0, {}, {}
        if self.samples is not None:
            pictures.save_png(self._picture(self.epoch), self.samples())
        line = {"epoch": self.epoch, "seconds": round(self.seconds, 2), **metrics}
        with open(self.folder / "log.jsonl", "a") as log:
            log.write(json.dumps(line) + "\n")
        print(f"{title}  " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()) + f"  ({self.seconds:.1f} s)", flush=True)
        self.seconds = 0.0

    def _open(self) -> None:
        """Prepare the folder: a new run needs one without a run in it, a resumed one goes on from its checkpoint."""
        saved, log = self.folder / "checkpoint.safetensors", self.folder / "log.jsonl"
        if not self.options.resume and (saved.exists() or log.exists()):
            raise UsageError(f"{self.folder} already holds a run; go on with --resume, or give another folder with --out")
        if self.options.resume:
            self._load(saved)
        try:
            (self.folder / "samples").mkdir(parents=True, exist_ok=True)
            if log.exists():  # a run may have died between a line of its log and the checkpoint
                lines = log.read_bytes().splitlines(keepends=True)
                checkpoint.write_whole(log, b"".join(lines[: self.epoch]))
            self._save()
        except OSError as error:
            raise UsageError(f"cannot write to the folder {self.folder}: {error.strerror}") from error

    def _own_options(self) -> dict[str, Any]:
        """As JSON knows them; what it does not know, as text."""
        own = {name: value for name, value in dataclasses.asdict(self.options).items() if name not in NOT_COMPARED}
        return {name: value if isinstance(value, bool | int | float | None) else str(value) for name, value in own.items()}

    def _save(self) -> None:
        arrays = {f"{part}/{name}": array for part, owner in self.parts.items() for name, array in owner.state_dict().items()}
        arrays |= {f"totals/{name}": numpy.array([total, self.counts[name]]) for name, total in _floats(self.totals).items()}
        arrays["random"] = backend.random_state()
        progress = {"epoch": self.epoch, "batch": self.batch, "seconds": self.seconds}
        metadata = {"progress": json.dumps(progress), "options": json.dumps(self._own_options())}
        checkpoint.save(self.folder / "checkpoint.safetensors", arrays, metadata)

    def _save_generated(self, generate: Callable[[int], numpy.ndarray]) -> None:
        """Ten hundreds of images as uint8, with the number of epochs behind them."""
        images = numpy.concatenate([generate(GENERATED // 10) for _ in range(10)])
        arrays = {"images": numpy.rint(numpy.clip(images, 0, 1) * 255).astype(numpy.uint8)}
        checkpoint.save(self.folder / "generated.safetensors", arrays, {"epoch": str(self.epoch)})

    def _load(self, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"there is nothing to resume: {path} does not exist")
        arrays, before, progress = read_checkpoint(path)
        now = self._own_options()
        if changed := [f"{name} {before.get(name)} is now {now.get(name)}" for name in before | now if before.get(name) != now.get(name)]:
            raise UsageError(f"{path} is of a run with other options: {', '.join(changed)}")
        states: dict[str, dict[str, numpy.ndarray]] = {part: {} for part in [*self.parts, "totals"]}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            if name != "random":
                states.setdefault(part, {})[rest] = array
        if unknown := sorted(set(states) - set(self.parts) - {"totals"}):
            raise UsageError(f"{path} is of another model: it has {', '.join(unknown)}, this one has {', '.join(self.parts)}")
        for part, owner in self.parts.items():
            try:
                owner.load_state_dict(states[part])
            except ValueError as error:
                raise UsageError(f"{path}, {part}: {error}") from error
        backend.set_random_state(arrays["random"])
        self.epoch, self.batch, self.seconds = progress["epoch"], progress["batch"], progress["seconds"]
        self.totals = {name: float(total) for name, (total, _) in states["totals"].items()}
        self.counts = {name: int(count) for name, (_, count) in states["totals"].items()}
        print(f"resuming after {self.epoch} epochs and {self.batch} batches")

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Within, the first Ctrl-C only asks the run to stop; the second one kills it."""

        def ask(number: int, frame: Any) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)
            print("\nstopping after this step ...", file=sys.stderr)

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
