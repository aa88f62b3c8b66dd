"""The options of training scripts."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import tyro

from tinygen import backend
from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, load_images

Number = TypeVar("Number", int, float)
Positive = Annotated[Number, "positive"]

# What a run and its continuation need not have in common. Data are compared by their contents.
MAY_DIFFER = {"out", "epochs", "device", "resume", "data"}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(options, default=lambda value: str(value.resolve() if isinstance(value, Path) else value))
    return json.loads(text)


@dataclass(kw_only=True)
class RunOptions:
    """The options of every training script. An option that is `Positive[int]` or `Positive[float]` is checked to be so."""

    out: Path
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 30
    """passes over the training data, those before --resume included"""
    batch_size: Positive[int] = 64
    """examples per step"""
    seed: int = 0
    """of the initial weights, the noise and the order of the examples"""
    device: str = "cpu"
    """where to compute: "cpu", "cuda", "cuda:1", ..., or "auto", which is "cuda" where there is a GPU"""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """go on from the checkpoint in the run's folder"""

    def __post_init__(self) -> None:
        if self.device == "auto":
            self.device = backend.best_device()

    def check(self) -> None:
        """Raise UsageError for a number that is out of its range; a script with rules of its own adds them."""
        kinds = get_type_hints(type(self), include_extras=True)
        for name, number in vars(self).items():
            if "positive" in get_args(kinds[name]) and not 0 < number < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be positive, got {number}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"--seed must be 0 to 2**64 - 1, got {self.seed}")

    @property
    def script(self) -> str:
        """The name of the program whose options these are: of the file that defines them, or else of the one that was started."""
        module = type(self).__module__
        started = sys.modules["__main__" if module.startswith("tinygen.") else module]
        return Path(getattr(started, "__file__", None) or "interactive").stem

    def plain(self) -> dict[str, Any]:
        """All options as JSON knows them, paths made absolute."""
        return _plain(dataclasses.asdict(self))

    def differences(self, before: Mapping[str, Any], by_path: bool = False) -> list[str]:
        """What may not differ from the options of a run that these go on with, and does.

        An option that the run did not know had its default; one that is no longer known does not count. Data may be elsewhere, but
        `by_path`, for runs that know them by nothing else.
        """
        known = {field.name: field.default for field in dataclasses.fields(self) if field.default is not dataclasses.MISSING}
        before = {**_plain(known), **before}
        if by_path and before.get("data"):
            before["data"] = str(Path(before["data"]).resolve())
        fixed = [name for name in before if name not in MAY_DIFFER or (by_path and name == "data")]
        now = self.plain()
        return [f"{name} {before[name]} is now {now[name]}" for name in fixed if name in now and before[name] != now[name]]


@dataclass(kw_only=True)
class Options(RunOptions):
    """The options of every script that trains on images; each script adds its own."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER|FILE")] = None
    """your own images: a folder of IDX files, of CIFAR-10's binary files or of folders of images, or an .npz file; else Fashion-MNIST"""
    size: int | None = None
    """resize the central square of each image to SIZE x SIZE pixels"""
    crop: int | None = None
    """before that, cut out the central CROP x CROP pixels"""
    grey: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """make colours grey"""

    def load_data(self) -> ImageDataset:
        """The images of --data, as --size, --crop and --grey make them."""
        return load_images(self.data, self.size, self.crop, self.grey)
