"""The training loop, with progress bar, log, sample pictures and checkpoints.

`saving/run_folder.py` describes the files of a run.
"""

import math
import signal
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy

from tinygen import backend
from tinygen.backend import Array
from tinygen.command_line import UsageError
from tinygen.data import Loader
from tinygen.data.dataset import digest
from tinygen.engine.tensor import array_of
from tinygen.optim import Average
from tinygen.report import pictures
from tinygen.report.live import live_display
from tinygen.saving.log import append_line
from tinygen.saving.run_folder import Run, RunFolder
from tinygen.training import distributed
from tinygen.training.averaging import use_average
from tinygen.training.finish import finish
from tinygen.training.graph import GraphSteps
from tinygen.training.interruption import Interruption
from tinygen.training.observation import Observation
from tinygen.training.options import EXAMPLES, RunOptions
from tinygen.training.own_code import own_code, rehearsed
from tinygen.training.parts import Data, Metrics, Stateful
from tinygen.training.progress import progress
from tinygen.training.resume import resume
from tinygen.training.tensorboard import TensorBoard

READ_EVERY = 10  # steps whose numbers are read from the device at once


@dataclass
class Training:
    """A training run.

    parts       the modules and optimisers, by their names in the checkpoint
    step        step(*batch) trains on a batch of the loader, already on the device; returns numbers
    samples     samples() gives a picture after each epoch, uint8 (H, W, C)
    evaluate    evaluate() gives further numbers after each epoch
    generate    generate(n) gives n independent images (n, H, W, C) from 0 to 1 after the last epoch
    data        the data set, which must be the same when the run is resumed; by default it is the
                loader's arrays that must be the same
    average     of the weights of one of the parts, moved after each step. Samples, evaluation and
                generated images are made with it, and after the run the part has its weights
    kind        kind() tells apart steps that differ in what they compute: --graph records one of each

    Each number is averaged over the steps that returned it, and the averages are logged once per
    epoch. Reading an array from a GPU makes the host wait, so numbers are read every ten steps. If
    a number is NaN or infinite, the run stops with a UsageError that names the step, at most nine
    steps after it, and keeps the last checkpoint.
    """

    options: RunOptions
    parts: Mapping[str, Stateful]
    loader: Loader
    step: Callable[..., Metrics]
    samples: Callable[[], numpy.ndarray] | None = None
    evaluate: Callable[[], Metrics] | None = None
    generate: Callable[[int], numpy.ndarray] | None = None
    data: Data | None = None
    average: Average | None = None
    kind: Callable[[], Hashable] = bool

    def __post_init__(self) -> None:
        if self.average is not None:
            use_average(self, self.average)
        if self.options.graph:
            self.step = GraphSteps(self.step, self.parts, self.options.device, self.kind)
        if wrong := [part for part in self.parts if "/" in part]:
            raise ValueError(f"the name of a part must not contain /, which separates names in the checkpoint: {', '.join(wrong)}")
        self.group = distributed.joined()
        self.leads = self.group.rank == 0  # only this process evaluates and writes
        self.folder = RunFolder(self.options.out)
        self.observation = Observation(self.parts)
        self.tensorboard = TensorBoard(self.folder.tensorboard) if self.options.tensorboard else None
        self.epoch = 0  # epochs completed
        self.batch = 0  # batches completed in the next epoch
        self.seconds = 0.0  # time spent on these batches
        self.totals: dict[str, float] = {}  # sums of the numbers that these batches returned
        self.counts: dict[str, int] = {}  # how many batches returned each
        self.unread: list[dict[str, Array]] = []  # numbers of the latest batches, not yet in the sums
        self.latest: dict[str, float] = {}  # numbers of the last batch in the sums
        self.interruption = Interruption()
        self.claimed = False  # whether this run has created the checkpoint
        self.saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint but the claim
        self.saved_at = self.started = time.perf_counter()  # when that was; since when seconds are not counted yet

    @cached_property
    def digest(self) -> str:
        """The digest of the data."""
        return self.data.digest() if self.data else digest(*self.loader.arrays)

    def run(self) -> None:
        """Train until options.epochs epochs are completed.

        Ctrl-C, SIGTERM and SIGHUP end the run after the current step, with a checkpoint, and so does
        the stop button of a notebook. A run that fails in its first epoch leaves nothing behind. Raises
        UsageError if the folder holds another run or another process trains it, and SystemExit with
        status 128 + signal after a signal; in a notebook's cell KeyboardInterrupt, which ends the cell.
        Of several processes only the first returns: what a script does behind `run` is done once.
        """
        distributed.refuse_unlike(self.group, lambda: distributed.facts(self))
        with ExitStack() as self.held:
            if self.options.resume:
                if self.leads:
                    self._refuse_nothing()
                    self._hold()
                resume(self)
            elif self.leads:
                self._refuse_another_run()
            files = self.options.with_ or ()
            if own := self.held.enter_context(own_code(files)):
                print(f"with {', '.join(own)} of {', '.join(map(str, files))}{self._rehearse()}")
            if self.leads:
                backend.compile_ahead(self.options.device)
            self.saved_at = time.perf_counter()
            self.live = live_display(self.folder)
            with self.interruption:
                try:
                    while self.epoch < self.options.epochs and not self._interrupted():
                        self._train_epoch()
                except BaseException:
                    if self.claimed and self.saved is None:
                        self.folder.discard()
                    raise
            self.group.end()
            if self.epoch < self.options.epochs:
                told = f"stopped in epoch {self.epoch + 1} after {self.batch} of {len(self.loader)} batches"
                raise self.interruption.ending(told, notebook=self.live is not None)
            if not self.leads:
                raise SystemExit  # the rest is for the one that writes
            finish(self)

    def stop(self) -> None:
        """End the run, which goes on in another thread, after its current step, as Ctrl-C would in the main thread."""
        self.interruption.number = signal.SIGINT

    def _rehearse(self) -> str:
        """How long an epoch will take on the CPU."""
        if self.options.device != "cpu":
            return ""
        seconds = len(self.loader) * rehearsed(self.step, next(self.loader.epoch(self.epoch)), self.parts)
        return f": the {len(self.loader)} steps of an epoch will take about {timedelta(seconds=round(seconds))}"

    def _train_epoch(self) -> None:
        self.started = time.perf_counter()
        own = self.loader.epoch(self.epoch, self.batch, self.group.rank, self.group.size)
        batches = backend.copied_ahead(own, self.options.device)
        title = f"epoch {self.epoch + 1}/{self.options.epochs}"
        with progress(batches, title, len(self.loader), self.batch, self.live) as bar:
            for batch in bar:
                with distributed.sharing(self.group, self.loader.rows(self.batch)):
                    self.unread.append(distributed.means(self.observation.step(self.step, batch)))
                self.batch += 1
                if (self.epoch, self.batch) == (0, 1):
                    self._claim()
                if self.batch % READ_EVERY == 0:
                    self._read()
                    bar.set_postfix({name: f"{value:.3f}" for name, value in self._means().items()})
                if self._interrupted():
                    break
                if self.batch < len(self.loader) and time.perf_counter() - self.saved_at >= 60 * self.options.checkpoint_minutes:
                    self._count()
                    self._save()
        self._count()
        line = self._close_epoch(title) if self.batch == len(self.loader) else ""
        self._save()
        if line:
            print(line, flush=True)
            if self.live is not None:
                self.live.show_epoch(self.epoch)

    def _interrupted(self) -> bool:
        """Whether a signal has asked this process, or another one of the group, to end."""
        number = distributed.largest(self.group, self.interruption.number or 0)
        self.interruption.number = number or None
        return number > 0

    def _count(self) -> None:
        """Add the latest numbers and seconds to those of the epoch."""
        self._read()
        now = time.perf_counter()
        self.seconds += now - self.started
        self.started = now

    def _read(self) -> None:
        """Add the unread numbers to the sums. Reads all of them from the device at once."""
        unread, self.unread = self.unread, []
        values = iter(backend.floats(array for numbers in unread for array in numbers.values()))
        for batch, numbers in enumerate(unread, start=self.batch - len(unread) + 1):
            read = {name: next(values) for name in numbers}
            if not all(map(math.isfinite, read.values())):
                raise UsageError(self._not_finite(batch, read))
            for name, value in read.items():
                self.totals[name] = self.totals.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1
            self.latest = read

    def _not_finite(self, batch: int, numbers: Mapping[str, float]) -> str:
        wrong = " and ".join(f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value))
        before = ", ".join(f"{name} {value:.4g}" for name, value in self.latest.items())
        return self._diverged(
            f"{wrong} in epoch {self.epoch + 1}, batch {batch}" + (f", after {before} in the batch before" if before else "")
        )

    def _diverged(self, what: str) -> str:
        """What went wrong, the cure, and what is kept."""
        cure = f"--lr {self.options.lr:g} may be too large" if hasattr(self.options, "lr") else "the learning rate may be too large"
        kept = "nothing of this run is kept"
        if self.saved is not None:
            kept = f"{self.folder.checkpoint} keeps the state after {self.saved[0]} epochs and {self.saved[1]} batches"
        return f"{what}; {cure}; {kept}"

    def _means(self) -> dict[str, float]:
        """Of the epoch so far, in the order of the latest step, since a checkpoint sorts their names."""
        return {name: self.totals[name] / self.counts[name] for name in (self.latest | self.totals) if name in self.totals}

    def _close_epoch(self, title: str) -> str:
        """Evaluate, draw samples, write the epoch's log line. Returns the line for the terminal."""
        numbers = self._means()
        if self.leads and self.evaluate is not None:
            evaluation = self.evaluate()
            numbers |= zip(evaluation, backend.floats(map(array_of, evaluation.values())), strict=True)
        told = f"{title}  " + "  ".join(f"{name} {value:.4g}" for name, value in numbers.items()) + f"  ({self.seconds:.1f} s)"
        line: dict[str, float | None] = {"epoch": self.epoch + 1, "seconds": round(self.seconds, 2)}
        line |= {name: value if math.isfinite(value) else None for name, value in numbers.items()}  # JSON has no NaN
        self.epoch, self.batch, self.seconds, self.totals, self.counts = self.epoch + 1, 0, 0.0, {}, {}
        if self.leads and self.samples is not None:
            pictures.save_png(self.folder.picture(self.epoch), self.samples())
        if self.leads:
            append_line(self.folder.log, line)
        if self.leads and self.tensorboard is not None:
            self.tensorboard.add(line, self.folder.picture(self.epoch))
        distributed.refuse_unlike(self.group, lambda: {"weights": distributed.checksum(self.parts)})
        backend.set_random_state(self.group.broadcast(backend.random_state()))  # evaluation and samples have drawn
        return told

    def _refuse_another_run(self) -> None:
        if self.folder.holds_a_run():
            raise UsageError(f"{self.folder.path} already holds a run; go on with --resume, or give another folder with --out")

    def _refuse_nothing(self) -> None:
        if not self.folder.holds_a_checkpoint():
            raise UsageError(f"there is nothing to resume: {self.folder.checkpoint} does not exist")

    def _hold(self) -> None:
        """Keep other processes out of the folder until the end of the run."""
        try:
            self.folder.samples.mkdir(parents=True, exist_ok=True)
            self.held.enter_context(self.folder.locked())
        except OSError as error:
            raise UsageError(f"cannot write to the folder {self.folder.path}: {error.strerror}") from error

    def _claim(self) -> None:
        """Create the folder after the first step, with a checkpoint that keeps other runs out."""
        if not self.leads:
            return
        self._refuse_another_run()
        self._hold()
        self._refuse_another_run()  # that another process may have begun meanwhile
        self.claimed = True
        self._read()
        self._state().save(self.folder.checkpoint)

    def _save(self) -> None:
        if self.leads:
            self._state().save(self.folder.checkpoint, self.folder.previous)
        self.saved, self.saved_at = (self.epoch, self.batch), time.perf_counter()

    def _state(self) -> Run:
        """What a checkpoint says, until the next step. Raises UsageError if a part holds NaN, from which no training recovers."""
        run = Run(
            script=self.options.script,
            example=self.options.program.parent == EXAMPLES,
            options=self.options.plain(),
            data=self.digest,
            form=self.data.form() if self.data else None,
            epoch=self.epoch,
            batch=self.batch,
            seconds=self.seconds,
            parts={part: owner.state_dict(copy=False) for part, owner in self.parts.items()},
            random=backend.random_state(),
            totals={name: (total, self.counts[name]) for name, total in self.totals.items()},
        )
        if names := run.with_nan():
            raise UsageError(self._diverged(f"NaN is in {', '.join(names)} after {self.epoch} epochs and {self.batch} batches"))
        return run
