"""The files in the folder of a run, and what its checkpoint says about the run.

log.jsonl                one line of JSON per epoch: means of the steps' numbers, and the evaluation
samples/epoch-001.png    what the model generates after each epoch
samples.gif              these pictures as a film, once the run is finished
checkpoint.safetensors   all state; a resumed run ends with the same bits as an uninterrupted one
generated.safetensors    1,000 images from the finished model, for `python -m tinygen.evaluate`
evaluation.json          its result
details.json             the machine, the layers of each network, the profile of the second step
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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from tinygen.command_line import UsageError
from tinygen.saving import checkpoint
from tinygen.version import __version__

FORMAT = 1


class RunFolder:
    """The paths of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.jsonl"
        self.samples = path / "samples"
        self.film = path / "samples.gif"
        self.checkpoint = path / "checkpoint.safetensors"
        self.generated = path / "generated.safetensors"
        self.evaluation = path / "evaluation.json"
        self.details = path / "details.json"
        self.report = path / "report.html"

    def picture(self, epoch: int) -> Path:
        """The samples of an epoch; the first epoch is 1."""
        return self.samples / f"epoch-{epoch:03}.png"

    def holds_a_run(self) -> bool:
        return self.checkpoint.exists() or self.log.exists()

    def cut_log(self, epochs: int) -> None:
        """Drop log lines of later epochs and incomplete lines.

        A run that was killed between writing its log and its checkpoint leaves such lines.
        """
        if self.log.exists():
            lines = self.log.read_bytes().splitlines(keepends=True)
            checkpoint.write_whole(self.log, b"".join(line for line in lines if 1 <= _epoch_of(line) <= epochs))

    def discard(self) -> None:
        """Remove the checkpoint, and the folder if it is empty then."""
        self.checkpoint.unlink(missing_ok=True)
        with suppress(OSError):
            self.samples.rmdir()
            self.path.rmdir()


def _epoch_of(line: bytes) -> int:
    """The epoch of a complete line of the log; 0 for other bytes."""
    try:
        return int(json.loads(line)["epoch"]) if line.endswith(b"\n") else 0
    except (ValueError, TypeError, KeyError):
        return 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """The contents of a checkpoint.

    `script`, `data` (a digest) and `tinygen` are None in format 0. `form` is None in old checkpoints
    and where the data have none.
    """

    script: str | None
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

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        arrays = {f"parts/{part}/{name}": array for part, state in self.parts.items() for name, array in state.items()}
        arrays |= {f"run/totals/{name}": numpy.array(pair, numpy.float64) for name, pair in self.totals.items()}
        progress = {"epoch": self.epoch, "batch": self.batch, "seconds": self.seconds}
        metadata = {"format": str(FORMAT), "options": json.dumps(self.options), "progress": json.dumps(progress)}
        told = {"script": self.script, "data": self.data, "tinygen": self.tinygen}
        if self.form is not None:
            told["form"] = json.dumps(self.form)
        metadata |= {name: text for name, text in told.items() if text is not None}
        checkpoint.save(path, arrays | {"run/random": self.random}, metadata)


def read_run(path: Path) -> Run:
    """Read a checkpoint.

    Raises UsageError if the file is damaged, is not a run's checkpoint, or has a later format.
    """
    arrays, metadata = checkpoint.load(path)
    if not {"options", "progress"} <= metadata.keys():
        raise UsageError(f"{path} is not a checkpoint of a training run")
    number = metadata.get("format", "0")
    if not number.isdecimal() or int(number) > FORMAT:
        raise UsageError(f"{path} is of format {number}, and tinygen {__version__} reads formats up to {FORMAT}")
    try:
        progress = json.loads(metadata["progress"])
        if min(progress["epoch"], progress["batch"]) < 0:
            raise ValueError("negative progress")
        parts, own = _sorted_arrays(arrays, prefixed=int(number) > 0)
        return Run(
            script=metadata.get("script"),
            options={**json.loads(metadata["options"])},
            data=metadata.get("data"),
            form={**json.loads(metadata["form"])} if "form" in metadata else None,
            epoch=int(progress["epoch"]),
            batch=int(progress["batch"]),
            seconds=float(progress["seconds"]),
            parts=parts,
            random=own.pop("random"),
            totals={name.removeprefix("totals/"): (float(total), int(count)) for name, (total, count) in own.items()},
            tinygen=metadata.get("tinygen"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is a damaged checkpoint: {error!r}") from error


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
