"""One function for every kind of images that tinygen reads."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.emoji import load_emoji
from tinygen.data.fashion_mnist import load_fashion_mnist
from tinygen.data.readers.cifar import holds_cifar10, holds_cifar100, load_cifar10, load_cifar100
from tinygen.data.readers.contents import contents
from tinygen.data.readers.folder import SUFFIXES, holds_images, load_image_folder
from tinygen.data.readers.idx import FILES, holds_idx, load_idx
from tinygen.data.readers.npz import load_npz
from tinygen.data.resize import fit_arrays

EMOJI = "emoji"  # what stands for the embedded images in the place of a path


def load_images(
    path: str | Path | None = None,
    size: int | None = None,
    crop: int | None = None,
    grey: bool = False,
    classes: str | Sequence[str] | None = None,
) -> ImageDataset:
    """Load the images at path, whatever their format. Without a path: `load_fashion_mnist`.

    the word "emoji"                              `load_emoji`
    an .npz file                                  `load_npz`
    a folder of IDX files, named as MNIST's       `load_idx`
    a folder of CIFAR-10's binary files           `load_cifar10`
    a folder of CIFAR-100's binary files          `load_cifar100`
    the folder above one of these three           the same
    a folder of images, or of folders of images   `load_image_folder`

    On request, the central crop x crop pixels of every image are cut out, their central square is
    resized to size x size, colours become grey, and only the images of some classes are kept: of a
    list of names, or of one string with commas between them. A folder named "emoji" is "./emoji",
    or a Path.

    Raises FileNotFoundError if path does not exist, and UsageError if it holds none of these formats
    or more than one, if files are damaged or do not agree, or if a class is unknown.
    """
    for name, number in (("size", size), ("crop", crop)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, got {number}")
    data = _load(path, size, crop, grey)
    if classes is None:
        return data
    return data.only([name.strip() for name in classes.split(",")] if isinstance(classes, str) else classes)


def _load(path: str | Path | None, size: int | None, crop: int | None, grey: bool) -> ImageDataset:
    if path is None:
        data = load_fashion_mnist()
    elif path == EMOJI:
        data = load_emoji()
    else:
        reader, place = _reader(Path(path))
        if reader is load_image_folder:
            return load_image_folder(place, size, crop, grey)
        data = reader(place)
    if size is None and crop is None and not grey:
        return data
    try:
        return data.map(partial(fit_arrays, size=size, crop=crop, grey=grey))
    except UsageError as error:
        raise UsageError(f"{data.source}: {error}") from error


Reader = Callable[..., ImageDataset]


def _reader(path: Path) -> tuple[Reader, Path]:
    """The function that reads what is at path, and the place that it reads."""
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return load_npz, path
        raise UsageError(f"{path} is a file, and of files only .npz can be read; other images come as a folder")
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist")
    found = _kinds(path)
    if holds_images(path):
        found.append(("images", load_image_folder, path))
    if not found:
        found = [kind for subfolder in sorted(path.iterdir()) if subfolder.is_dir() for kind in _kinds(subfolder)]
    if len(found) > 1:
        places = {place for _, _, place in found}
        told = " and ".join(name if len(places) == 1 else f"{name} in {place.name}" for name, _, place in found)
        raise UsageError(f"{path} holds {told}; each kind needs a folder of its own")
    if not found:
        raise UsageError(
            f"{path} holds no images that can be read: no IDX files ({FILES[0]}, ...), none of the binary versions of CIFAR-10 "
            f"(data_batch_1.bin, ...) and CIFAR-100 (train.bin, test.bin), and no {', '.join(SUFFIXES)}; it holds {contents(path)}"
        )
    return found[0][1:]


def _kinds(folder: Path) -> list[tuple[str, Reader, Path]]:
    """The formats, other than pictures, of which there are files."""
    kinds: list[tuple[str, bool, Reader]] = [
        ("IDX files", holds_idx(folder), load_idx),
        ("CIFAR-10's binary files", holds_cifar10(folder), load_cifar10),
        ("CIFAR-100's binary files", holds_cifar100(folder), load_cifar100),
    ]
    return [(name, reader, folder) for name, there, reader in kinds if there]
