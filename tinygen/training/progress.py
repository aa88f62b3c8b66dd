"""The progress bar of an epoch, in a terminal or a notebook."""

import io
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from tinygen.report.live import Live


def progress(batches: Iterable[Any], title: str, total: int, initial: int, live: Live | None) -> tqdm:
    """The batches, with a bar that shows how many of them are done."""
    if live is not None:
        return _NotebookBar(batches, title, total, initial=initial, unit="batch", leave=False, live=live)
    hidden = True if sys.stderr is None else None  # as it is where that was closed; None hides the bar unless that is a terminal
    return tqdm(batches, title, total, initial=initial, unit="batch", leave=False, disable=hidden)


class _NotebookBar(tqdm):
    """A bar that a notebook's cell shows."""

    def __init__(self, *arguments: Any, live: Live, **options: Any) -> None:
        self.live = live
        super().__init__(*arguments, file=io.StringIO(), **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self.live.show_progress(str(self) if msg is None else msg)
