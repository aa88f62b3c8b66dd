"""A report of one or several runs, as a page for a browser that needs no network.

A run writes its own at its end. The curves of several lie on top of each other.

    tinygen report runs/dcgan                              runs/dcgan/report.html, anew
    tinygen report runs/dcgan runs/lsgan --out both.html   both
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.commands.loaded import load_run
from tinygen.report.html import write_report
from tinygen.report.pictures import save_png
from tinygen.saving.run_folder import PLANE, RunFolder
from tinygen.training.plane import plane


@dataclass(kw_only=True)
class ReportOptions:
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN ...", help_behavior_hint="(required)")]
    """folders of runs, finished or not"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: RUN/report.html)")] = None
    """the page; needed for several runs"""


def main(options: ReportOptions) -> None:
    if not options.runs:
        raise UsageError("give the folder of a run")
    if len(options.runs) > 1 and options.out is None:
        raise UsageError("--out must say where the report of several runs is written")
    out = options.out or RunFolder(options.runs[0]).report
    for run in options.runs:
        _draw_plane(run)
    write_report(options.runs, out)
    print(f"report: {out}")


def _draw_plane(run: Path) -> None:
    """Draw the surface in latent space of a run that has none yet, since it is not finished or from an older version.

    A run whose script is not there, or whose model has no latent space, stays without, and so does
    a folder that cannot be written to.
    """
    path = RunFolder(run).plane
    if path.exists():
        return
    with suppress(UsageError, OSError):
        loaded = load_run(run)
        if loaded.trained.gaussian:
            path.parent.mkdir(exist_ok=True)
            save_png(path, plane(loaded.trained, loaded.networks.values(), PLANE))
