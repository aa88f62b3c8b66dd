"""A run of a few steps, for the tests of what all runs have in common."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Loader
from tinygen.report.pictures import grid
from tinygen.saving import checkpoint
from tinygen.training.loop import Training
from tinygen.training.options import Options

ROWS = numpy.random.default_rng(0).standard_normal((40, 3)).astype(numpy.float32)


class SmallOptions(Options):
    """Those that all runs on images have."""


def small_run(
    folder: Path,
    epochs: int = 3,
    resume: bool = False,
    stop_at: int | None = None,
    by: int = signal.SIGINT,
    width: int = 4,
    seed: int = 7,
    kind: type[Options] = SmallOptions,
    rows: numpy.ndarray = ROWS,
    betas: tuple[float, float] = (0.9, 0.999),
    **others: Any,
) -> Training:
    """An autoencoder with dropout, so that both the weights and the random stream matter; a signal comes in step `stop_at`.

    Its learning rate decays, and one of its numbers is 1 in the steps that return it. An epoch has
    five steps.
    """
    options = kind(out=folder, epochs=epochs, batch_size=8, seed=seed, resume=resume, **others)
    tg.manual_seed(options.seed)
    model = nn.Sequential(nn.Dense(3, width), nn.BatchNorm(width), nn.Dropout(0.5), nn.Dense(width, 3))
    adam = optim.Adam(model.parameters(), 1e-2, betas)
    steps = 0

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        nonlocal steps
        loss = tg.mse_loss(model(tg.tensor(batch)), tg.tensor(batch))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if steps == stop_at:
            os.kill(os.getpid(), by)
        adam.lr *= 0.9
        steps += 1
        return {"loss": loss, "now and then": 1.0} if batch[0, 0] > 0 else {"loss": loss}

    return Training(
        options,
        {"model": model, "adam": adam},
        Loader(rows, batch_size=options.batch_size, seed=options.seed),
        step,
        samples=lambda: grid(tg.rand((4, 3, 3, 1)).numpy()),
        evaluate=lambda: {"noise": tg.randn((1,))},
        generate=lambda n: tg.rand((n, 2, 2, 1)).numpy() * 1.5 - 0.25,
    )


def contents(folder: Path) -> tuple[dict[str, bytes], list[dict[str, float]], list[bytes]]:
    """What a run leaves behind: the arrays, the log without its times, the pictures, and the images for its evaluation."""
    arrays, _ = checkpoint.load(folder / "checkpoint.safetensors")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    files = [*sorted((folder / "samples").iterdir()), folder / "generated.safetensors"]
    return {name: array.tobytes() for name, array in arrays.items()}, log, [file.read_bytes() for file in files]
