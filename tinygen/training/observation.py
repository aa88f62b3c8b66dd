"""What a run tells its report beside the numbers: the networks' layers, the profile of one step, and
the machine. And the report itself."""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinygen.engine.listeners import Event, Listener, listening
from tinygen.inspection.profile import Costs, Profile, is_profiling, profile
from tinygen.inspection.summary import Rows
from tinygen.nn import Module
from tinygen.report.html import write_report
from tinygen.report.pictures import save_png
from tinygen.saving.checkpoint import write_whole
from tinygen.saving.run_folder import PLANE, RunFolder
from tinygen.training.options import RunOptions
from tinygen.training.parts import Data
from tinygen.training.plane import plane


class Observation:
    """Runs the steps of a run and observes the second one, since the first one compiles the kernels.
    At the end of the run it writes the report.

    `details` is empty before that, and then has what `saving/run_folder.py` says of details.json.
    Observing changes no number of the run.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.models = {model: part for part, model in parts.items() if isinstance(model, Module)}
        self.steps = 0
        self.details: dict[str, Any] = {}

    def step(self, step: Callable[..., Any], batch: Sequence[Any]) -> Any:
        """step(*batch)"""
        self.steps += 1
        if self.steps != 2 or is_profiling():
            return step(*batch)
        first = _FirstCalls()
        with profile(show=False, names=self.models) as costs, listening(first):
            numbers = step(*batch)
        summaries = {part: first.tables[model] for model, part in self.models.items() if model in first.tables}
        self.details = {"machine": machine(), "models": summaries, "step": _as_json(costs)}
        return numbers

    def report(self, folder: RunFolder, options: RunOptions, data: Data | None) -> None:
        """Write details.json, the surface in latent space and the report of a finished run.

        The run is complete without them, so nothing that goes wrong here ends the program.
        """
        try:
            trained = options.trained({part: model for model, part in self.models.items()}, data)
            if trained.gaussian:
                save_png(folder.plane, plane(trained, self.models, PLANE))
            if self.details:
                write_whole(folder.details, json.dumps(self.details).encode())
            write_report([folder.path], folder.report)
        except Exception as error:
            print(f"the report could not be written: {error}")


class _FirstCalls(Listener):
    """The summary of each outermost module that runs, from its first call."""

    def __init__(self) -> None:
        self.tables: dict[Any, str] = {}
        self.within = False

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        if self.within or module in self.tables:
            yield
            return
        rows = Rows()
        self.within = True
        try:
            with listening(rows):
                yield from rows.layer(module, inputs)
        finally:
            self.within = False
        self.tables[module] = rows.table(module, inputs)


def _as_json(costs: Profile) -> dict[str, Any]:
    def plain(table: Mapping[str, Costs]) -> dict[str, Any]:
        return {name: asdict(cost) for name, cost in table.items()}

    return {
        "seconds": costs.total.seconds,
        "compilation": costs.compilation.seconds,
        "ops": plain(costs.ops),
        "layers": plain(costs.layers),
    }


def machine() -> dict[str, str]:
    """The processor, the operating system, and the versions of what computes."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": os.environ.get("NUMBA_NUM_THREADS") or str(os.cpu_count()),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
    }
