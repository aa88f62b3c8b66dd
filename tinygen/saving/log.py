"""The log of a run: one line of JSON per epoch."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tinygen.command_line import UsageError
from tinygen.saving.checkpoint import write_whole

Line = Mapping[str, float | None]


def append_line(path: Path, line: Line) -> None:
    """Add a line, which is on disk when this returns. Raises ValueError for NaN, which JSON does not have."""
    text = json.dumps(line, allow_nan=False) + "\n"
    with open(path, "a") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_log(path: Path) -> list[Line]:
    """The lines of a log, of epochs that follow each other; not the last one while it is being written.

    Raises UsageError that names file and line for anything else, and OSError if the file cannot be
    read.
    """
    lines: list[Line] = []
    for text in path.read_bytes().splitlines(keepends=True):
        if text.endswith(b"\n"):
            lines.append(_parsed(path, text, lines))
    return lines


def cut_log(path: Path, epochs: int) -> list[Line]:
    """Drop what follows the line of epoch `epochs`, and return the lines before.

    A run that was killed between writing its log and its checkpoint leaves such lines. Raises
    UsageError that names file and line if a line before is damaged or missing. A log may begin with
    any epoch, since a user may have deleted an older one.
    """
    content = path.read_bytes() if path.exists() else b""
    lines: list[Line] = []
    kept = b""
    for text in content.splitlines(keepends=True):
        if epochs == 0 or (lines and _epoch(lines[-1]) == epochs):
            break
        line = _parsed(path, text, lines)
        if _epoch(line) > epochs:
            break
        lines.append(line)
        kept += text.rstrip(b"\r\n") + b"\n"
    if lines and _epoch(lines[-1]) != epochs:
        raise UsageError(_refusal(path, len(lines) + 1, f"is missing: the checkpoint is of epoch {epochs}"))
    if kept != content:
        write_whole(path, kept)
    return lines


def _epoch(line: Line) -> int:
    """The epoch of a line; 0 for what is not one."""
    epoch = line.get("epoch")
    return epoch if type(epoch) is int else 0


def _parsed(path: Path, text: bytes, before: list[Line]) -> Line:
    """One line, which must be of the epoch that follows the lines before."""
    number = len(before) + 1
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(_refusal(path, number, f"is not JSON: {error}")) from error
    if not isinstance(line, dict) or not all(value is None or type(value) in (int, float) for value in line.values()):
        raise UsageError(_refusal(path, number, "is not an object of numbers"))
    epoch, expected = _epoch(line), _epoch(before[-1]) + 1 if before else 1
    if epoch < 1 or (before and epoch != expected):
        raise UsageError(_refusal(path, number, f"is of epoch {line.get('epoch')} where epoch {expected} was expected"))
    return line


def _refusal(path: Path, number: int, what: str) -> str:
    return f"{path}, line {number} {what}; restore the file, or delete it to go on with a new log"
