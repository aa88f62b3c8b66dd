"""How a run goes on from its checkpoint."""

import os
from typing import TYPE_CHECKING

from tinygen import backend
from tinygen.command_line import UsageError
from tinygen.saving.log import cut_log
from tinygen.saving.run_folder import Run

if TYPE_CHECKING:
    from tinygen.training.loop import Training


def resume(training: "Training") -> None:
    """Bring a Training, whose folder is locked, to where its checkpoint was written. Process 0 reads it for all.

    Raises UsageError, with no file changed, if the checkpoint is damaged or of another script, or
    has other options, data or parts.
    """
    folder = training.folder
    run, instead = training.group.broadcast(folder.read() if training.leads else None)
    _refuse_unlike(training, run)
    for part, owner in training.parts.items():
        try:
            owner.load_state_dict(run.parts.get(part, {}))
        except ValueError as error:
            raise UsageError(f"{folder.checkpoint}, {part}: {error}") from error
    try:
        backend.set_random_state(run.random)
    except ValueError as error:
        raise UsageError(f"{folder.checkpoint}, run/random: {error}") from error
    training.epoch, training.batch, training.seconds = run.epoch, run.batch, run.seconds
    training.totals = {name: total for name, (total, _) in run.totals.items()}
    training.counts = {name: count for name, (_, count) in run.totals.items()}
    training.saved = run.epoch, run.batch
    if not training.leads:
        return
    lines = cut_log(folder.log, run.epoch)
    if instead:
        print(instead)
        os.replace(folder.previous, folder.checkpoint)
    if run.epoch and (not lines or lines[0]["epoch"] != 1):
        print(f"{folder.log} begins with epoch {lines[0]['epoch'] if lines else run.epoch + 1:.0f}")
    print(f"resuming after {run.epoch} epochs and {run.batch} batches")


def _refuse_unlike(training: "Training", run: Run) -> None:
    """Raise UsageError if the run is of another script, options, data or parts."""
    path, script = training.folder.checkpoint, training.options.script
    if run.script not in (script, None):
        raise UsageError(f"{path} is from a run of {run.script}, which {script} cannot resume")
    if changed := training.options.differences(run.options, by_path=run.data is None):
        cure = "resume with those of the run, or give another folder with --out"
        raise UsageError(f"{path} is from a run with other options: {', '.join(changed)}; {cure}")
    if run.data not in (training.digest, None):
        source = training.data.source if training.data else "the loader"
        raise UsageError(f"{source} holds other data than those that the run of {path} was trained on")
    if run.batch > len(training.loader):
        raise UsageError(f"{path} is {run.batch} batches within an epoch, which has {len(training.loader)} here")
    if unknown := sorted(set(run.parts) - set(training.parts)):
        raise UsageError(f"{path} is from another model: it has {', '.join(unknown)}, this one has {', '.join(training.parts)}")
