"""The options of training scripts."""

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

import tinygen
from tinygen import backend
from tinygen.command_line import UsageError
from tinygen.data import Augmentation, ImageDataset, load_images
from tinygen.training.distributed import joined
from tinygen.training.trained import Trained

Number = TypeVar("Number", int, float)
Positive = Annotated[Number, "positive"]

EmojiOrPath = Annotated[Literal["emoji"] | Path | None, tyro.conf.arg(metavar="FOLDER|FILE|emoji")]

EXAMPLES = Path(tinygen.__file__).resolve().parent.parent / "examples"  # in the repository; they are not installed

# Options that may change when a run is resumed. Data are compared by content, not by path.
MAY_DIFFER = {"out", "epochs", "device", "resume", "data", "checkpoint_minutes", "tensorboard", "graph"}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(options, default=lambda value: str(value.resolve() if isinstance(value, Path) else value))
    return json.loads(text)


def _restored(name: str, value: Any, kind: Any) -> Any:
    """The value of this type of which JSON has kept `value`."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if any(value in get_args(kind) for kind in kinds if get_origin(kind) is Literal):
        return value
    if Path in kinds and isinstance(value, str):
        return Path(value)
    for kind in kinds:
        if get_origin(kind) is tuple and isinstance(value, list):
            return tuple(_restored(name, part, get_args(kind)[0]) for part in value)
    if float in kinds and type(value) is int:
        return float(value)
    if all(kind in (bool, int, float, str, Path, NoneType) or get_origin(kind) is Literal for kind in kinds) and type(value) not in kinds:
        raise ValueError(f"{name} cannot be {value!r}")
    return value


@dataclass(kw_only=True)
class RunOptions:
    """The options of every training script. `check` checks those of type `Positive`."""

    out: Path
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 30
    """passes over the training data, those before --resume included"""
    batch_size: Positive[int] = 64
    """examples per step"""
    seed: int = 0
    """of the initial weights, the noise and the order of the examples"""
    device: str = "cpu"
    """where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is "cuda" if there is a GPU"""
    graph: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """record a step once and replay it, on a GPU as a CUDA graph, so that Python no longer starts each operation"""
    checkpoint_minutes: Positive[float] = 10
    """time between checkpoints within an epoch; there is one after each epoch, too"""
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """write log and samples for TensorBoard, too, into the run's folder"""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """go on from the checkpoint in the run's folder"""
    with_: Annotated[tuple[Path, ...] | None, tyro.conf.arg(name="with", metavar="FILE...")] = None
    """compute with the functions of your own in these files, such as conv2d_weight or backpropagate, in the place of tinygen's"""

    def __post_init__(self) -> None:
        if self.device == "auto":
            self.device = backend.best_device()

    def check(self) -> None:
        """Raise UsageError for a number that is out of range. A subclass adds its own rules.

        Where several processes were started, this one joins them first, and "cuda" becomes its own GPU.
        """
        group = joined()
        if group.size > 1 and self.device == "cuda":
            self.device = f"cuda:{group.local_rank}"
        if group.size > 1 and self.graph:
            raise UsageError(f"--graph replays the step of one process, but there are {group.size}")
        kinds = get_type_hints(type(self), include_extras=True)
        for name, number in vars(self).items():
            if "positive" in get_args(kinds[name]) and not 0 < number < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be positive, got {number}")
        if not 0 <= self.seed < 2**64:
            raise UsageError(f"--seed must be 0 to 2**64 - 1, got {self.seed}")

    def trained(self, networks: Mapping[str, Any], data: Any) -> Trained:
        """What these networks, which the script's `build` made for such data, can do once they are trained."""
        return Trained()

    @property
    def program(self) -> Path:
        """The file that defines these options, or that was started."""
        module = type(self).__module__
        started = sys.modules["__main__" if module.startswith("tinygen.") else module]
        return Path(getattr(started, "__file__", None) or "interactive").resolve()

    @property
    def script(self) -> str:
        """The name of the program whose runs this one may go on with, and whose `build` makes the networks."""
        return self.program.stem

    def plain(self) -> dict[str, Any]:
        """All options as JSON types; paths are absolute."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The options that `plain` gave. Those that it lacks have their defaults; those that are no longer options are left out.

        Raises ValueError if a value is not of its option's type.
        """
        kinds = get_type_hints(cls)
        known = {field.name for field in dataclasses.fields(cls)} & set(plain)
        return cls(**{name: _restored(name, plain[name], kinds[name]) for name in known})

    def may_differ(self) -> set[str]:
        """The options that may change when a run is resumed."""
        return MAY_DIFFER

    def differences(self, before: Mapping[str, Any], by_path: bool = False) -> list[str]:
        """The options that differ from those of a run to be resumed, and must not.

        An option that the run did not have is compared with its default; an option that no longer
        exists is left out. With `by_path` the path of the data counts: format 0 has no digest.
        """
        known = {field.name: field.default for field in dataclasses.fields(self) if field.default is not dataclasses.MISSING}
        before = {**_plain(known), **before}
        if by_path and before.get("data"):
            before["data"] = str(Path(before["data"]).resolve())
        fixed = [name for name in before if name not in self.may_differ() or (by_path and name == "data")]
        now = self.plain()
        return [f"{name} {before[name]} is now {now[name]}" for name in fixed if name in now and before[name] != now[name]]


@dataclass(kw_only=True)
class Options(RunOptions):
    """The options of every script that trains on images; each script adds its own."""

    data: EmojiOrPath = None
    """your own images: a folder of images, of IDX files or of CIFAR's binary files, or an .npz file; or
    "emoji", the embedded images in colour"""
    classes: Annotated[str | None, tyro.conf.arg(metavar="A,B")] = None
    """keep only the images of these classes"""
    size: int | None = None
    """resize the central square of each image to SIZE x SIZE pixels"""
    crop: int | None = None
    """before that, cut out the central CROP x CROP pixels"""
    grey: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """make colours grey"""
    augment: Annotated[str | None, tyro.conf.arg(metavar="A,B")] = None
    """random changes of the images of a batch: flip, shift, crop"""

    def check(self) -> None:
        super().check()
        self.augmentation()

    def augmentation(self) -> Augmentation | None:
        """What --augment does to the images of a batch. Raises UsageError for a name that is not known."""
        names = self.augmentations()
        return Augmentation(names) if names else None

    def augmentations(self) -> list[str]:
        """The names in --augment."""
        return [name.strip() for name in (self.augment or "").split(",") if name]

    def load_data(self) -> ImageDataset:
        """The images of --data and --classes, as --size, --crop and --grey make them."""
        return load_images(self.data, self.size, self.crop, self.grey, self.classes)
