"""A run of few steps in which something goes wrong in one of the processes: python failing.py --how WHAT."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy

import tinygen as tg
from tinygen import nn, optim
from tinygen.command_line import command_line
from tinygen.data import Loader
from tinygen.training import distributed
from tinygen.training.loop import Training
from tinygen.training.options import Positive, RunOptions

RANK = int(os.environ.get("PMI_RANK", "0"))
WRONG = 13  # the step: the third of the second epoch


@dataclass(kw_only=True)
class FailingOptions(RunOptions):
    out: Path = Path("runs/failing")
    epochs: Positive[int] = 3
    batch_size: int = 4
    checkpoint_minutes: float = 1e-6
    how: str = ""

    def may_differ(self) -> set[str]:
        return super().may_differ() | {"how"}


def main(options: FailingOptions) -> None:
    if options.how == "other machine" and RANK:
        be_unlike(options)
    tg.manual_seed(options.seed)
    rows = numpy.random.default_rng(int(options.how == "other data" and RANK)).standard_normal((40, 3)).astype(numpy.float32)
    model = nn.Sequential(nn.Dense(3, 4, bias=False), nn.BatchNorm(4), nn.Dropout(0.5), nn.Dense(4, 3))
    if options.how == "other weights" and RANK:
        model.parameters()[0].data[0, 0] *= -1
    adam = optim.Adam(model.parameters(), 1e-2)

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        loss = tg.mse_loss(model(tg.tensor(batch)), tg.tensor(batch))
        adam.minimize(loss)
        if adam.steps == WRONG and options.how:
            go_wrong(options.how)
        return {"loss": loss}

    def evaluate() -> dict[str, tg.Tensor]:
        return {"noise": tg.randn((1,))}  # which only process 0 draws

    Training(options, {"model": model, "adam": adam}, Loader(rows, batch_size=options.batch_size, seed=0), step, evaluate=evaluate).run()


def be_unlike(options: FailingOptions) -> None:
    """As if this process ran on a machine where all but the data is different."""
    options.batch_size, options.device = 5, "cuda"
    distributed.version = lambda name: "0.0" if name == "numpy" else version(name)
    sys.modules["__main__"].__file__ = numpy.__file__


def go_wrong(how: str) -> None:
    if RANK == 1 and how == "cut off":
        subprocess.run(["ip", "link", "set", "cable", "down"], check=True)
    elif RANK == 1 and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif RANK == 1 and how == "stopped":
        os.kill(os.getpid(), signal.SIGTERM)
    elif RANK == 1 and how == "hanging":
        time.sleep(1000)
    elif RANK == 1 and how == "a bug":
        raise IndexError("a bug of process 1")
    elif RANK == 0 and how == "full disk":
        raise OSError(errno.ENOSPC, "No space left on device")


if __name__ == "__main__":
    command_line(main, FailingOptions)
