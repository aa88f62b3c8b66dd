"""A table of all runs in a folder and below: what they are, how far they are, and their last numbers.

    tinygen runs            those in the folder runs
    tinygen runs FOLDER

A run is finished when it has trained all epochs that it was started with, and stopped before that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.saving.log import read_log
from tinygen.saving.run_folder import RunFolder

HEADINGS = ("run", "script", "epochs", "time", "state", "last numbers")


@dataclass(kw_only=True)
class ListingOptions:
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    """where to look for runs"""


def main(options: ListingOptions) -> None:
    if not options.folder.is_dir():
        raise UsageError(f"{options.folder} is not a folder; give the one that the runs are in")
    runs = sorted({path.parent for path in options.folder.rglob("checkpoint*.safetensors") if RunFolder(path.parent).holds_a_checkpoint()})
    if not runs:
        raise UsageError(f"there are no runs in {options.folder}: no folder in it has a checkpoint.safetensors")
    rows = [HEADINGS, *(row(run) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def row(run: Path) -> tuple[str, ...]:
    """The cells of a run. If it cannot be read, the last one says why."""
    folder = RunFolder(run)
    try:
        found, instead = folder.read()
        lines = read_log(folder.log) if folder.log.exists() else []
    except (UsageError, OSError) as error:
        return str(run), "", "", "", "unreadable", str(error)
    total = found.options.get("epochs")  # a run of another program may have none
    whole = isinstance(total, int) and found.epoch >= total
    state = "training" if folder.is_training() else "finished" if whole else "stopped"
    seconds = sum(line.get("seconds") or 0 for line in lines) + found.seconds
    last = {name: value for name, value in lines[-1].items() if name not in ("epoch", "seconds")} if lines else {}
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in last.items() if value is not None)
    return (
        str(run),
        found.script or "",
        f"{found.epoch} of {total}" if isinstance(total, int) else str(found.epoch),
        duration(seconds),
        state,
        instead or numbers,
    )


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
