"""Follow one batch through one training step of an example, from its script to the compiled inner loop and back.

The step runs, and is traced: every stop has its place in the source, the shapes and bytes that it was
given, and its time, in which the tracing is included. The way leads to the largest convolution of the
forward pass, back through its two gradients, and on to the optimiser.
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tinygen_kernels
import tyro

import tinygen
from tinygen.command_line import UsageError
from tinygen.commands.scripts import EXAMPLES, script_of
from tinygen.inspection.journey import Stop, journey, trace


@dataclass
class JourneyOptions:
    example: Annotated[str, tyro.conf.Positional] = "dcgan"
    """one of tinygen's examples that has convolutions and a function `step`: dcgan, cnn, vae, wgan, cgan, infogan, autoencoder"""


def main(options: JourneyOptions) -> None:
    module = script_of(Path("a journey"), options.example, None)
    print("\n".join(told(*traced(module))))


def traced(module: Any, **options: Any) -> tuple[list[Stop], list[Stop]]:
    """The stops of an example's step, there and back, with these options of a run. Raises UsageError if it has none."""
    kind = get_type_hints(module.main)["options"]
    folders = [Path(package.__file__ or "").parent for package in (tinygen, tinygen_kernels)] + [EXAMPLES]
    silent = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        run = kind(out=Path(folder) / "run", epochs=1, **options)
        try:
            return journey(trace(lambda: module.main(run), Path(module.__file__), "step", folders))
        except LookupError as error:
            raise UsageError(f"{Path(module.__file__).name}: {error.args[0]}") from error


def told(there: Sequence[Stop], back: Sequence[Stop]) -> list[str]:
    """The stops in words, numbered."""
    root = EXAMPLES.parent
    lines = ["The way leads to the largest convolution of the forward pass, through its two gradients, and to the optimiser."]
    for title, first, stops in (("Forward", 1, there), ("Backward", len(there) + 1, back)):
        lines += ["", title, ""]
        for number, stop in enumerate(stops, first):
            path = Path(stop.file)
            place = f"{path.relative_to(root) if path.is_relative_to(root) else path}:{stop.line}"
            cost = "compiled" if stop.seconds is None else f"{stop.bytes / 1e6:.2f} MB in, {stop.seconds * 1e3:.2f} ms"
            lines.append(f"{number:>3} {stop.name}  {_given(stop)}")
            lines.append(f"    {place}  {cost}")
            lines += [f"    {words}." for words in (stop.layer, stop.sentence) if words]
    return [*lines, "", "Stops that were met before are left out on the way back."]


def _given(stop: Stop) -> str:
    """The arrays that it was given, by the names of its arguments."""
    return "  ".join(f"{name} {' '.join(shape for _, shape in group)}" for name, group in groupby(stop.given, key=lambda pair: pair[0]))
