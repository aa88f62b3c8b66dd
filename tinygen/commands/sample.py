"""Random images of a trained model, or random names or texts of one that writes.

    tinygen sample runs/dcgan                          64 images in runs/dcgan/sample.png
    tinygen sample runs/dcgan --n 1000 --out images    1,000 PNGs in the folder images
    tinygen sample runs/cgan --classes Bag Sneaker     bags and sneakers in turn

The same seed gives the same images. The k-th image does not depend on how many there are. A model
that encodes or classifies, and has no random input, says so: `tinygen.load_run` offers what it can.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.commands.argument import RunArgument
from tinygen.commands.loaded import LoadedRun
from tinygen.commands.output import check_output, write_images
from tinygen.saving.checkpoint import write_whole


@dataclass(kw_only=True)
class SampleOptions(RunArgument):
    n: int = 64
    """how many"""
    seed: int = 0
    """of the random latent vectors"""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS ...", help_behavior_hint="")] = ()
    """names or numbers of the classes that the images have in turn, if the model can be asked for them"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE|FOLDER", help_behavior_hint="(default: RUN/sample.png)")] = None
    """a .png with all images, a .npz, a .gif, or a folder of PNGs; names and texts are printed, and a .txt keeps them"""


def main(options: SampleOptions) -> None:
    run = options.load()
    if not run.shape:
        _write_names(run, options)
        return
    out = options.out or options.run / "sample.png"
    check_output(out)
    write_images(out, run.sample(options.n, options.seed, options.classes or None))


def _write_names(run: LoadedRun, options: SampleOptions) -> None:
    if options.out is not None and options.out.suffix != ".txt":
        raise UsageError(f"{options.out} must end in .txt: the samples of this run are names")
    names = "\n".join(run.write(options.n, options.seed))
    print(names)
    if options.out is not None:
        write_whole(options.out, names.encode() + b"\n")
