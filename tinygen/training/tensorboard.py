"""The log and the samples of a run for TensorBoard (https://www.tensorflow.org/tensorboard), by tensorboardX."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from tinygen.command_line import UsageError


class TensorBoard:
    """Writes a file of events for each epoch into a folder, which is created with the first one.

    Raises UsageError if tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.module: Any = importlib.import_module("tensorboardX")
        except ImportError:
            raise UsageError("--tensorboard needs tensorboardX, which is not installed: pip install 'tinygen[tensorboard]'") from None
        self.folder = folder

    def add(self, line: Mapping[str, float | None], picture: Path) -> None:
        """Write a line of the log, and the picture of its epoch, if there is one, to the disk.

        They take the place of what was written of that epoch and later ones, by a run that was killed.
        """
        from PIL import Image

        epoch = int(line["epoch"] or 0)
        # A writer leaves the writing to a thread that a killed process does not wait for; closing it does.
        with self.module.SummaryWriter(str(self.folder), purge_step=epoch, filename_suffix=f".epoch-{epoch:03}") as writer:
            for name, value in line.items():
                if name != "epoch":
                    writer.add_scalar(name, numpy.nan if value is None else value, epoch)
            if picture.exists():
                with Image.open(picture) as image:
                    writer.add_image("samples", numpy.asarray(image.convert("RGB")), epoch, dataformats="HWC")
