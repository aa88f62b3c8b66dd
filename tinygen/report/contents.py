"""What a report is made of: the files in the folder of a run, read and checked."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tinygen.command_line import UsageError
from tinygen.saving.log import read_log
from tinygen.saving.run_folder import Run, RunFolder

T = TypeVar("T")
Line = dict[str, float | None]  # the numbers of an epoch; None stands for NaN and infinity
Blocks = dict[str, dict[str, dict[str, tuple[float, float]]]]  # block, column, metric: value and margin


@dataclass(frozen=True)
class Evaluation:
    """The numbers of evaluation.json, each with the margin of its 95% interval."""

    data: str
    n: int
    blocks: Blocks


@dataclass(frozen=True)
class Details:
    """The contents of details.json; all empty for a run that has none."""

    machine: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # of the profiled step
    ops: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    layers: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What the folder of a run holds, but for its pictures."""

    folder: RunFolder
    run: Run
    log: list[Line]
    evaluation: Evaluation | None
    details: Details

    def series(self, name: str) -> dict[int, float | None]:
        """A number of the log by epoch."""
        return {int(line["epoch"] or 0): line[name] for line in self.log if name in line}

    @property
    def names(self) -> list[str]:
        """The numbers in the log, in its order."""
        return list(dict.fromkeys(name for line in self.log for name in line if name not in ("epoch", "seconds")))

    @property
    def pictures(self) -> dict[int, Path]:
        """The pictures of the samples, by epoch."""
        paths = {int(line["epoch"] or 0): self.folder.picture(int(line["epoch"] or 0)) for line in self.log}
        return {epoch: path for epoch, path in paths.items() if path.exists()}


def read_contents(path: Path) -> Contents:
    """Read the folder of a run, finished or not.

    Raises UsageError if it is not one, or if a file in it is damaged.
    """
    folder = RunFolder(path)
    if not folder.holds_a_checkpoint():
        raise UsageError(f"{path} is not the folder of a run: it has no {folder.checkpoint.name}")
    lines = read_log(folder.log) if folder.log.exists() else []
    return Contents(
        folder=folder,
        run=folder.read()[0],
        log=[{name: _number(value) for name, value in line.items()} for line in lines],
        evaluation=_read(folder.evaluation, _evaluation) if folder.evaluation.exists() else None,
        details=_read(folder.details, _details) if folder.details.exists() else Details(),
    )


def _read(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _number(value: Any) -> float | None:
    """A number of JSON; None for null, and for the NaN and Infinity that other programs write."""
    if value is None:
        return None
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is not a number")
    return float(value) if abs(value) <= sys.float_info.max else None


def _finite(value: Any) -> float:
    number = _number(value)
    if number is None:
        raise ValueError("a number is missing")
    return number


def _evaluation(content: bytes) -> Evaluation:
    whole = json.loads(content)
    blocks: Blocks = {
        block: {
            column: {name: (_finite(number["value"]), _finite(number["margin"])) for name, number in numbers.items()}
            for column, numbers in whole[block].items()
        }
        for block in ("quality", "novelty", "class_shares")
    }
    for column in ("generated", "test_images"):
        if "copies" not in blocks["novelty"][column] or column not in blocks["class_shares"]:
            raise ValueError(f"it lacks the copies or class shares of {column}")
    return Evaluation(str(whole["data"]), int(_finite(whole["n"])), blocks)


def _details(content: bytes) -> Details:
    whole = json.loads(content)

    def costs(table: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
        return {
            name: {way: {unit: _finite(cost[unit]) for unit in ("calls", "seconds", "flops", "bytes")} for way, cost in ways.items()}
            for name, ways in table.items()
        }

    step = whole["step"]
    return Details(
        machine={name: str(value) for name, value in whole["machine"].items()},
        models={name: str(table) for name, table in whole["models"].items()},
        seconds=_finite(step["seconds"]),
        ops=costs(step["ops"]),
        layers=costs(step["layers"]),
    )
