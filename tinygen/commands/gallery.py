"""Six trainings that fail, and the one line that cures each: a page for a browser, made by training them.

tinygen gallery                  all of them, in about a minute
tinygen gallery collapse detach  two of them
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.gallery import FAILURES
from tinygen.gallery.page import COLUMNS, SCALE, page
from tinygen.report.pictures import grid, save_png
from tinygen.saving.checkpoint import write_whole


@dataclass
class GalleryOptions:
    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME ...")] = ()
    """the failures: collapse, winner, detach, posterior, checkerboard, learning_rate; all if none is named"""
    out: Path = Path("runs/gallery")
    """folder of the page, gallery.html, and of a picture of each training"""

    def check(self) -> None:
        """Raise UsageError for a failure that is not there."""
        if unknown := [name for name in self.names if name not in FAILURES]:
            raise UsageError(f"there is no failure {unknown[0]}; choose from {', '.join(FAILURES)}")


def main(options: GalleryOptions) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes = {}
    for name in dict.fromkeys(options.names or FAILURES):
        failure = FAILURES[name]
        print(f"{failure.text[0]} ...", file=sys.stderr)
        outcomes[name] = sick, cured = failure.run(sick=True), failure.run(sick=False)
        print(f"{failure.text[0]}: {sick.measure:.2g}, cured {cured.measure:.2g} ({failure.measure})")
        for kind, outcome in (("sick", sick), ("cured", cured)):
            save_png(options.out / f"{name}-{kind}.png", grid(outcome.samples, COLUMNS, scale=SCALE))
    file = options.out / "gallery.html"
    write_whole(file, page(FAILURES, outcomes).encode())
    print(f"gallery: {file}")
