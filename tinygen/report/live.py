"""What a notebook shows while a run trains: how far it is, the curves of its numbers, its latest samples."""

import sys
from collections.abc import Sequence
from html import escape
from typing import Any

from tinygen.report.frames import address, load
from tinygen.saving.log import Line, read_log
from tinygen.saving.run_folder import RunFolder

WIDTH, HEIGHT = 180, 60  # of a curve, in pixels


def live_display(folder: RunFolder) -> "Live | None":
    """The display of a run in this notebook cell; None where no kernel of Jupyter runs the program."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return Live(folder) if getattr(shell, "kernel", None) is not None else None


class Live:
    """Two outputs of a cell, the progress and the epochs, which are replaced whenever there is news."""

    def __init__(self, folder: RunFolder) -> None:
        from IPython.display import HTML, display

        self.folder, self.html = folder, HTML
        self.outputs: list[Any] = [display(HTML(""), display_id=True) for _ in range(2)]

    def show_progress(self, text: str) -> None:
        self.outputs[0].update(self.html(f"<pre>{escape(text)}</pre>"))

    def show_epoch(self, epoch: int) -> None:
        """Show the curves up to this epoch, and its samples."""
        content = curves(read_log(self.folder.log))
        if (file := self.folder.picture(epoch)).exists():
            picture = load(file)
            content += f'<img src="{address(picture, None)}" style="width:{2 * picture.width}px" alt="samples of epoch {epoch}">'
        self.outputs[1].update(self.html(content))


def curves(lines: Sequence[Line]) -> str:
    """A curve of each number over the epochs, with its last value, beside each other."""
    names = [name for name in (lines[-1] if lines else {}) if name not in ("epoch", "seconds")]
    return "".join(_curve(name, [line.get(name) for line in lines]) for name in names)


def _curve(name: str, values: Sequence[float | None]) -> str:
    """One curve. Values that are missing are left out."""
    points = [(i, value) for i, value in enumerate(values) if value is not None]
    if not points:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    x = WIDTH / max(1, len(values) - 1)
    y = HEIGHT / (high - low or 1)
    line = " ".join(f"{i * x:.1f},{HEIGHT - (value - low) * y:.1f}" for i, value in points)
    return (
        f'<div style="display:inline-block; margin:4px 12px"><small>{escape(name)} {points[-1][1]:.4g}</small><br>'
        f'<svg width="{WIDTH}" height="{HEIGHT}" style="overflow:visible" role="img"><title>{low:.4g} to {high:.4g}</title>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg></div>'
    )
