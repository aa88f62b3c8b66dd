"""What lies in the folder of a run.

log.jsonl                 one line of JSON per epoch: the means of what the steps returned, and the evaluation
samples/epoch-001.png     what the model makes after each epoch, and samples.gif of all of them at the end
checkpoint.safetensors    everything needed to go on bit for bit as if never stopped
generated.safetensors     1,000 images that a finished model made, for `python -m tinygen.evaluate`
"""

import json
from pathlib import Path
from typing import Any

import numpy

from tinygen.command_line import UsageError
from tinygen.saving import checkpoint


def read_checkpoint(path: Path) -> tuple[dict[str, numpy.ndarray], dict[str, Any], dict[str, Any]]:
    """The arrays, the options and the progress (epoch, batch, seconds) of a run. Raises UsageError if the file is none of a run's."""
    arrays, metadata = checkpoint.load(path)
    if "random" not in arrays or not {"progress", "options"} <= set(metadata):
        raise UsageError(f"{path} is no checkpoint of a training run")
    return arrays, json.loads(metadata["options"]), json.loads(metadata["progress"])
