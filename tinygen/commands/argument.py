"""The options of every command that opens a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.commands.loaded import LoadedRun, load_run


@dataclass(kw_only=True)
class RunArgument:
    """Which run, and how it is opened."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """the folder of a run"""
    script: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """the script that trained the run, if it is not one of tinygen's examples"""
    device: str = "cpu"
    """where to compute: "cpu", "cuda", "cuda:1", ..."""

    def load(self) -> LoadedRun:
        return load_run(self.run, self.script, self.device)
