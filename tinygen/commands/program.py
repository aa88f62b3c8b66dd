"""How a run is started, what can be done with it, and what there is to learn. Each command explains itself with --help, as in

tinygen sample --help
"""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Union

import tyro

from tinygen.command_line import command_line
from tinygen.commands import doctor, export, gallery, interpolate, journey, launch, listing, reporting, sample
from tinygen.evaluation import evaluate
from tinygen.learn import command as learn

# The options of each command, and the function that takes them.
COMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "run": (launch.LaunchOptions, launch.main),
    "sample": (sample.SampleOptions, sample.main),
    "interpolate": (interpolate.InterpolateOptions, interpolate.main),
    "evaluate": (evaluate.EvaluateOptions, evaluate.main),
    "report": (reporting.ReportOptions, reporting.main),
    "export": (export.ExportOptions, export.main),
    "journey": (journey.JourneyOptions, journey.main),
    "gallery": (gallery.GalleryOptions, gallery.main),
    "learn": (learn.LearnOptions, learn.main),
    "runs": (listing.ListingOptions, listing.main),
    "doctor": (doctor.DoctorOptions, doctor.main),
}


def main(options: Any) -> None:
    """Run the command that takes these options."""
    dict(COMMANDS.values())[type(options)](options)


def run() -> None:
    """The program `tinygen`. Its help has the first sentence about each command, and that of a command has all."""
    sys.argv = launch.separated(sys.argv)
    chosen = sys.argv[1:2]
    described = {name: sys.modules[function.__module__].__doc__ or "" for name, (_, function) in COMMANDS.items()}
    texts = {name: text if [name] == chosen else text.partition("\n\n")[0] for name, text in described.items()}
    commands: Any = Union[  # noqa: UP007
        tuple(Annotated[kind, tyro.conf.subcommand(name, description=texts[name])] for name, (kind, _) in COMMANDS.items())
    ]
    command_line(main, commands)
