"""A walk through the latent space: images that change gradually from one random image to the next.

    tinygen interpolate runs/dcgan                                 a film, runs/dcgan/interpolation.gif
    tinygen interpolate runs/vae --seeds 3 8 --out walk.png        a row of images from sample 3 to 8
    tinygen interpolate runs/cgan --seeds 0 0 --classes Bag Dress  from a bag to a dress

Latent vectors of Gaussians go round the sphere, since points on the straight line between two of
them are nearer to 0 than any sample. The same seeds give the same images.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy
import tyro

from tinygen.command_line import UsageError
from tinygen.commands.argument import RunArgument
from tinygen.commands.output import check_output, write_images


@dataclass(kw_only=True)
class InterpolateOptions(RunArgument):
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="SEED ...")] = (0, 1, 2, 3, 0)
    """two or more: the walk goes through the first sample of each"""
    steps: int = 12
    """images from one to the next, both included"""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="CLASS ...", help_behavior_hint="")] = ()
    """names or numbers of the classes of these samples in turn, if the model can be asked for them"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE|FOLDER", help_behavior_hint="(default: RUN/interpolation.gif)")] = None
    """a .gif, a .png with a row from each sample to the next, a .npz, or a folder of PNGs"""


def main(options: InterpolateOptions) -> None:
    if len(options.seeds) < 2:
        raise UsageError("--seeds needs at least two")
    out = options.out or options.run / "interpolation.gif"
    run = options.load()
    check_output(out)
    stops = list(zip(options.seeds, itertools.cycle(options.classes or [None]), strict=False))
    ways = [
        run.interpolate(a, b, options.steps, None if first is None or last is None else [first, last])
        for (a, first), (b, last) in itertools.pairwise(stops)
    ]
    if out.suffix != ".png":  # where one way ends, the next begins: the image is shown once
        ways = [ways[0], *(way[1:] for way in ways[1:])]
    write_images(out, numpy.concatenate(ways), columns=options.steps)
