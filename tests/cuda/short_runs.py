"""Examples, run in the process of a test."""

import importlib
import typing
from typing import Any

# Networks that generate step by step take minutes otherwise, and twelve steps are too few for a
# generator that seldom steps.
SMALL = {name: {"width": 8, "steps": 2} for name in ("flow", "diffusion", "superresolution")}
SMALL["wgan"] = {"critic_steps": 2}


def train(example: str, **options: Any) -> None:
    main = importlib.import_module(example).main
    main(typing.get_type_hints(main)["options"](**SMALL.get(example, {}), **options))
