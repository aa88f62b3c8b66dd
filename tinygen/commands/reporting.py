"""A report of one or several runs, as a page for a browser that needs no network.

tinygen report runs/dcgan                              runs/dcgan/report.html, anew
tinygen report runs/dcgan runs/lsgan --out both.html   the curves of both on top of each other
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.report.html import write_report
from tinygen.saving.run_folder import RunFolder


@dataclass(kw_only=True)
class ReportOptions:
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN ...")]
    """folders of runs, finished or not"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: RUN/report.html)")] = None
    """the page; needed for several runs"""


def main(options: ReportOptions) -> None:
    if not options.runs:
        raise UsageError("give the folder of a run")
    if len(options.runs) > 1 and options.out is None:
        raise UsageError("--out must say where the report of several runs is written")
    out = options.out or RunFolder(options.runs[0]).report
    write_report(options.runs, out)
    print(f"report: {out}")
