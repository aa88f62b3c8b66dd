"""What a finished run leaves: images for its evaluation, a film of its samples, a report."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy

from tinygen.report import pictures
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import RunFolder, read_run

if TYPE_CHECKING:
    from tinygen.training.loop import Training

GENERATED = 1000  # images that a finished run saves


def finish(training: "Training") -> None:
    """Leave it, and remove the checkpoint before the last one."""
    folder = training.folder
    if training.generate is not None:
        _save_generated(training.generate, folder, training.epoch)
    frames = [path for path in map(folder.picture, range(1, training.epoch + 1)) if path.exists()]
    if frames:
        pictures.save_gif(folder.film, frames)
    read_run(folder.checkpoint)  # is whole, so that the one before it can go
    folder.previous.unlink(missing_ok=True)
    if training.average is not None:
        training.average.exchange()
    training.observation.report(folder, training.options, training.data)
    print(f"trained {training.epoch} epoch{'s' * (training.epoch != 1)}; log, samples, checkpoint and report.html are in {folder.path}")


def _save_generated(generate: Callable[[int], numpy.ndarray], folder: RunFolder, epoch: int) -> None:
    """Save 1,000 images as uint8, generated 100 at a time, and the number of epochs."""
    images = numpy.concatenate([generate(GENERATED // 10) for _ in range(10)])
    arrays = {"images": numpy.rint(numpy.clip(images, 0, 1) * 255).astype(numpy.uint8)}
    checkpoint.save(folder.generated, arrays, {"epoch": str(epoch)})
