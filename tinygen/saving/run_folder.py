"""The files in the folder of a run, and what its checkpoint says about the run.

log.jsonl                one line of JSON per epoch: means of the steps' numbers, and the evaluation
samples/epoch-001.png    what the model generates after each epoch
samples/latent.png       20x20 images of a surface in latent space, once the run is finished
samples.gif              these pictures as a film, once the run is finished
checkpoint.safetensors   all state; a resumed run ends with the same bits as an uninterrupted one
checkpoint.previous.safetensors   the checkpoint before it, until the run is finished
.lock                    there while a process trains the run
generated.safetensors    1,000 images from the finished model, for `python -m tinygen.evaluate`
evaluation.json          its result
details.json             the machine, the layers of each network, the profile of the second step
tensorboard/             the log and the samples for TensorBoard, with --tensorboard
report.html              all of this on one page, for a browser

The checkpoint's arrays:

    parts/PART/NAME   the state of each network and optimiser
    run/random        the state of the random stream
    run/totals/NAME   sum and count of a number that the steps of the unfinished epoch returned

Its metadata:

    format     "1". Format 0 had no number, no prefixes of array names, only progress and options
    tinygen    the version that wrote the checkpoint
    script     the name of the program, such as dcgan; it is compared, never executed
    options    JSON: all options; paths are absolute
    data       SHA-256 of the data
    form       JSON: what a model must know of the data to be built, as the shape of the images
    progress   JSON: epochs completed, batches completed in the next epoch, seconds spent on those
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from tinygen.command_line import UsageError
from tinygen.saving import checkpoint
from tinygen.saving.checkpoint import Damaged
from tinygen.saving.lock import is_locked, locked
from tinygen.version import __version__

FORMAT = 1
PLANE = 20  # rows and columns of latent.png


class RunFolder:
    """The paths of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.samples = path / "samples"
        self.plane = self.samples / "latent.png"
        self.film = path / "samples.gif"
        self.checkpoint = path / "checkpoint.safetensors"
        self.previous = path / "checkpoint.previous.safetensors"
        self.generated = path / "generated.safetensors"
        self.evaluation = path / "evaluation.json"
        self.details = path / "details.json"
        self.report = path / "report.html"
        self.tensorboard = path / "tensorboard"
        self.lock = path / ".lock"

    def picture(self, epoch: int) -> Path:
        """The samples of an epoch; the first epoch is 1."""
        return self.samples / f"epoch-{epoch:03}.png"

    def holds_a_checkpoint(self) -> bool:
        return self.checkpoint.exists() or self.previous.exists()

    def holds_a_run(self) -> bool:
        return self.holds_a_checkpoint() or self.log.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process can be in this block, which first removes the temporary files of dead ones.

        Raises UsageError in the others.
        """
        with locked(self.lock, f"another process is training the run in {self.path}; wait for its end, or give another folder with --out"):
            for folder in (self.path, self.samples):
                checkpoint.remove_temporary_files(folder)
            yield

    def is_training(self) -> bool:
        """Whether a process trains the run now."""
        return is_locked(self.lock)

    def read(self) -> tuple["Run", str]:
        """The run of the checkpoint; if that is damaged, of the one before it, with a sentence that says so.

        Raises UsageError as `read_run` does, about the checkpoint, if there is no other.
        """
        try:
            return read_run(self.checkpoint), ""
        except UsageError as error:
            if not self.previous.exists() or not (isinstance(error, Damaged) or not self.checkpoint.exists()):
                raise
            with suppress(UsageError):
                run = read_run(self.previous)
                return run, f"{error}; its predecessor is taken, of {run.epoch} epochs and {run.batch} batches"
            raise

    def discard(self) -> None:
        """Remove what a run leaves in its first epoch, and the folder if it is empty then."""
        for path in (self.checkpoint, self.previous, self.log, self.picture(1), self.lock):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.samples.rmdir()
            self.path.rmdir()

    def read_generated(self) -> tuple[numpy.ndarray, int]:
        """The images that a finished run generated, uint8 (N, H, W, C), and after how many epochs.

        Raises UsageError if the file is missing, damaged or another one.
        """
        arrays, metadata = checkpoint.load(self.generated)
        images, epoch = arrays.get("images"), metadata.get("epoch", "")
        if images is None or images.dtype != numpy.uint8 or images.ndim != 4 or not epoch.isdecimal():
            raise UsageError(f"{self.generated} does not hold the images of a run, uint8 (N, H, W, C), with their epoch")
        return images, int(epoch)

    def read_evaluation(self) -> dict[str, Any]:
        """The contents of evaluation.json, as `tinygen.evaluation.evaluate` describes them.

        Only those of the first format have no number `format`. Raises UsageError if the file is
        damaged, and OSError if it cannot be read.
        """
        try:
            evaluation = json.loads(self.evaluation.read_bytes())
            if not isinstance(evaluation, dict):
                raise TypeError("it is not a JSON object")
            if "format" in evaluation:
                for block in ("quality", "novelty", "class_shares"):
                    for column in evaluation[block].values():
                        for number in column.values():
                            float(number["value"]), float(number["margin"])
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{self.evaluation} is damaged: {type(error).__name__}: {error}; delete it, and evaluate the run again"
            ) from error
        return evaluation


@dataclass(frozen=True, kw_only=True)
class Run:
    """The contents of a checkpoint.

    `script`, `data` (a digest) and `tinygen` are None in format 0. `form` is None in old checkpoints
    and where the data have none. `example` is False where the script is the user's own, whatever its
    name, and None in old checkpoints.
    """

    script: str | None
    example: bool | None = None
    options: Mapping[str, Any]
    data: str | None
    form: Mapping[str, Any] | None = None
    epoch: int
    batch: int
    seconds: float
    parts: Mapping[str, Mapping[str, numpy.ndarray]]
    random: numpy.ndarray
    totals: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    tinygen: str | None = __version__

    def weights(self, network: str) -> Mapping[str, numpy.ndarray]:
        """The state of a network: of the average of its weights, if the run keeps one."""
        state = self.parts.get(f"{network}_average", self.parts.get(network, {}))
        return {name: array for name, array in state.items() if name != "updates"}

    def save(self, path: Path, previous: Path | None = None) -> None:
        """Write the checkpoint, and keep the one that is there as `previous`."""
        arrays = {f"parts/{part}/{name}": array for part, state in self.parts.items() for name, array in state.items()}
        arrays |= {f"run/totals/{name}": numpy.array(pair, numpy.float64) for name, pair in self.totals.items()}
        progress = {"epoch": self.epoch, "batch": self.batch, "seconds": self.seconds}
        metadata = {"format": str(FORMAT), "options": json.dumps(self.options), "progress": json.dumps(progress)}
        told = {"script": self.script, "data": self.data, "tinygen": self.tinygen}
        told |= {name: json.dumps(value) for name, value in {"form": self.form, "example": self.example}.items() if value is not None}
        metadata |= {name: text for name, text in told.items() if text is not None}
        checkpoint.save(path, arrays | {"run/random": self.random}, metadata, previous)

    def with_nan(self) -> list[str]:
        """The names of the arrays that hold NaN."""
        arrays = ((f"{part}/{name}", array) for part, state in self.parts.items() for name, array in state.items())
        return [name for name, array in arrays if array.dtype.kind == "f" and numpy.isnan(array).any()]


def read_run(path: Path) -> Run:
    """Read a checkpoint.

    Raises UsageError if the file cannot be opened, is not a run's checkpoint, or has a later format;
    Damaged, which is a UsageError, if its contents cannot be those of a run.
    """
    arrays, metadata = checkpoint.load(path)
    if not {"options", "progress"} <= metadata.keys():
        raise UsageError(f"{path} is not a checkpoint of a training run")
    number = metadata.get("format", "0")
    if not number.isdecimal() or int(number) > FORMAT:
        raise UsageError(f"{path} is of format {number}, and tinygen {__version__} reads formats up to {FORMAT}")
    try:
        options = _json_object(metadata, "options")
        epoch, batch, seconds = _read_progress(metadata, options.get("epochs"))
        parts, own = _sorted_arrays(arrays, prefixed=int(number) > 0)
        if "random" not in own:
            raise ValueError("it has no run/random")
        run = Run(
            script=metadata.get("script"),
            example={"true": True, "false": False}.get(metadata.get("example", "")),
            options=options,
            data=metadata.get("data"),
            form=_json_object(metadata, "form") if "form" in metadata else None,
            epoch=epoch,
            batch=batch,
            seconds=seconds,
            parts=parts,
            random=own.pop("random"),
            totals={name.removeprefix("totals/"): _read_total(name, pair, batch) for name, pair in own.items()},
            tinygen=metadata.get("tinygen"),
        )
        if names := run.with_nan():
            raise ValueError(f"NaN is in {', '.join(names)}")
    except ValueError as error:
        raise Damaged(f"{path} is a damaged checkpoint: {error}") from error
    return run


def _json_object(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata[name])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {name} are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"its {name} are not a JSON object")
    return value


def _read_progress(metadata: Mapping[str, str], epochs: Any) -> tuple[int, int, float]:
    """Epoch, batch and seconds; a run's options bound its epochs."""
    progress = _json_object(metadata, "progress")
    last = epochs if type(epochs) is int else 2**63
    match progress:
        case {"epoch": int(epoch), "batch": int(batch), "seconds": int(seconds) | float(seconds)} if (
            0 <= epoch <= last and 0 <= batch < 2**63 and 0 <= seconds <= sys.float_info.max
        ):
            return epoch, batch, float(seconds)
    raise ValueError(f"its progress is {metadata['progress']}" + (f" in a run of {epochs} epochs" if epochs else ""))


def _read_total(name: str, pair: numpy.ndarray, batch: int) -> tuple[float, int]:
    """Sum and count of a number over the batches of the unfinished epoch."""
    if pair.shape != (2,) or not numpy.isfinite(pair).all() or not 1 <= pair[1] <= batch or pair[1] % 1:
        raise ValueError(f"run/{name} is {pair.tolist()} after {batch} batches, and must be a sum and a count")
    return float(pair[0]), int(pair[1])


def _sorted_arrays(
    arrays: Mapping[str, numpy.ndarray], prefixed: bool
) -> tuple[dict[str, dict[str, numpy.ndarray]], dict[str, numpy.ndarray]]:
    """The states of the parts, and the run's own arrays.

    Format 0 has no prefixes: there, the names `random` and `totals` are reserved.
    """
    parts: dict[str, dict[str, numpy.ndarray]] = {}
    own: dict[str, numpy.ndarray] = {}
    for name, array in arrays.items():
        if not prefixed:
            name = f"run/{name}" if name == "random" or name.startswith("totals/") else f"parts/{name}"
        room, _, rest = name.partition("/")
        if room == "run":
            own[rest] = array
        else:
            part, _, tensor = rest.partition("/")
            parts.setdefault(part, {})[tensor] = array
    return parts, own
