"""Run folders for the tests of reports, written without a training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from tinygen.report.pictures import grid, save_png
from tinygen.saving.run_folder import Run, RunFolder

COST = {"calls": 2, "seconds": 0.001, "flops": 1000, "bytes": 64}
DETAILS = {
    "machine": {"processor": "abacus", "cores": "2"},
    "models": {"generator": "layer  output\nDense(2 -> 3)  (4, 3)"},
    "step": {
        "seconds": 0.01,
        "compilation": 0.0,
        "ops": {"MatMul": {"forward": COST, "backward": COST}},
        "layers": {"a Dense": {"forward": COST}},
    },
}


def evaluation(copies: float = 0.0, bag: float = 0.5) -> dict[str, Any]:
    """An evaluation of two classes."""

    def estimates(**values: float) -> dict[str, dict[str, float]]:
        return {name: {"value": value, "margin": 0.01} for name, value in values.items()}

    return {
        "data": "data: two classes",
        "n": 100,
        "quality": {"generated": estimates(precision=0.8), "training_images": estimates(precision=0.96)},
        "novelty": {"generated": estimates(copies=copies), "test_images": estimates(copies=0.004)},
        "class_shares": {"generated": estimates(Coat=1 - bag, Bag=bag), "test_images": estimates(Coat=0.5, Bag=0.5)},
    }


def run_folder(
    path: Path,
    log: Sequence[Mapping[str, float | None]],
    options: Mapping[str, Any] | None = None,
    judged: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    shape: tuple[int, ...] = (4, 8, 8, 1),
) -> Path:
    """A run with these log lines, epoch by epoch, and pictures of random images of this shape."""
    folder = RunFolder(path)
    folder.samples.mkdir(parents=True)
    stream = numpy.random.default_rng(0)
    lines = [{"epoch": epoch, "seconds": 1.5, **numbers} for epoch, numbers in enumerate(log, start=1)]
    folder.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for line in lines:
        save_png(folder.picture(int(line["epoch"] or 0)), grid(stream.random(shape)))
    run = Run(
        script="gan",
        options={"epochs": len(log), **(options or {})},
        data="0" * 64,
        epoch=len(log),
        batch=0,
        seconds=0.0,
        parts={},
        random=numpy.zeros(13, numpy.uint64),
    )
    run.save(folder.checkpoint)
    if judged is not None:
        folder.evaluation.write_text(json.dumps(judged))
    if details is not None:
        folder.details.write_text(json.dumps(details))
    return path
