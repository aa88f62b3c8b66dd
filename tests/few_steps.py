"""Twelve steps of an example: done by replays they have the same bits as without."""

import importlib
import json
import typing
from pathlib import Path
from typing import Any

from numpy.testing import assert_array_equal

from tinygen.saving.run_folder import read_run

# Networks that generate step by step take minutes otherwise, and twelve steps are too few for a
# generator that seldom steps.
_SMALL = {name: {"width": 8, "steps": 2} for name in ("flow", "diffusion", "superresolution")}
_SMALL["wgan"] = {"critic_steps": 2}

# Their hosts draw labels or codes that steer the step, which a replay would repeat.
_STEERED = {"infogan"}


def log_of(example: str, data: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Run the example, and return what it logs, without the time."""
    main = importlib.import_module(example).main
    make_options = typing.get_type_hints(main)["options"]
    main(make_options(out=out, epochs=1, batch_size=8, data=data, **{**_SMALL.get(example, {}), **options}))
    return {**json.loads((out / "log.jsonl").read_text()), "seconds": 0}


def expect_replayed(example: str, printed: str, replays: list[int], eager: Path, replayed: Path) -> None:
    """Raise AssertionError unless the second run replayed the steps that it could, and has the first one's bits."""
    states = [read_run(out / "checkpoint.safetensors") for out in (eager, replayed)]
    for part, state in states[0].parts.items():
        for name, array in state.items():
            assert_array_equal(states[1].parts[part][name], array, err_msg=f"{part}.{name}")
    assert_array_equal(states[1].random, states[0].random)
    of_each_kind = 6 if example == "wgan" else 9  # of 12 steps: the generator's is in every other one
    assert ("without replays" in printed, len(replays)) == ((True, 1) if example in _STEERED else (False, of_each_kind))
