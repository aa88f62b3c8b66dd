"""python in_float64.py EXAMPLE OPTIONS: an example in double precision, in which rounding hides nothing, with several buckets."""

import functools
import importlib
import sys
import typing
from typing import Any

import numpy

from tinygen import functional as F
from tinygen.backend import shards
from tinygen.command_line import command_line
from tinygen.data import to_float
from tinygen.training import finish, gan, vae


def exact(*arguments: Any) -> numpy.ndarray:
    return to_float(*arguments).astype(numpy.float64)


if __name__ == "__main__":
    name = sys.argv.pop(1)
    example = importlib.import_module(name)
    build, F.randn = example.build, functools.partial(F.randn, dtype="float64")
    example.build = lambda *arguments: {part: network.double() for part, network in build(*arguments).items()}
    finish.GENERATED, shards._BUCKET = 10, 5000
    for module in (example, gan, vae):
        if hasattr(module, "to_float"):
            module.to_float = exact
    options = typing.get_type_hints(example.main)["options"]
    command_line(example.main, options)
