"""One function for every kind of images that tinygen reads."""

from collections.abc import Callable
from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.fashion_mnist import load_fashion_mnist
from tinygen.data.readers.cifar import holds_cifar10, load_cifar10
from tinygen.data.readers.folder import SUFFIXES, holds_images, load_image_folder
from tinygen.data.readers.idx import FILES, holds_idx, load_idx
from tinygen.data.readers.npz import load_npz
from tinygen.data.resize import fit_arrays


def load_images(path: str | Path | None = None, size: int | None = None, crop: int | None = None, grey: bool = False) -> ImageDataset:
    """Load the images at path, whatever their format. Without a path: `load_fashion_mnist`.

    an .npz file                                  `load_npz`
    a folder of IDX files, named as MNIST's       `load_idx`
    a folder of CIFAR-10's binary files           `load_cifar10`
    a folder of images, or of folders of images   `load_image_folder`

    On request, the central crop x crop pixels of every image are cut out, their central square is
    resized to size x size, and colours become grey.

    Raises FileNotFoundError if path does not exist, and UsageError if it holds none of these formats
    or more than one, or if files are damaged or do not agree.
    """
    for name, number in (("size", size), ("crop", crop)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, got {number}")
    if path is None:
        data = load_fashion_mnist()
    else:
        reader = _reader(Path(path))
        if reader is load_image_folder:
            return load_image_folder(path, size, crop, grey)
        data = reader(path)
    if size is None and crop is None and not grey:
        return data
    try:
        images = fit_arrays(numpy.concatenate([data.train_images, data.test_images]), size, crop, grey)
    except UsageError as error:
        raise UsageError(f"{data.source}: {error}") from error
    train, test = numpy.split(images, [len(data.train_images)])
    return ImageDataset(train, data.train_labels, test, data.test_labels, data.classes, data.source)


def _reader(path: Path) -> Callable[..., ImageDataset]:
    """The function that reads what is at path."""
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return load_npz
        raise UsageError(f"{path} is a file, and of files only .npz can be read; other images come as a folder")
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist")
    kinds: list[tuple[str, bool, Callable[..., ImageDataset]]] = [
        ("IDX files", holds_idx(path), load_idx),
        ("CIFAR-10's binary files", holds_cifar10(path), load_cifar10),
        ("images", holds_images(path), load_image_folder),
    ]
    found = [(name, reader) for name, there, reader in kinds if there]
    if len(found) > 1:
        raise UsageError(f"{path} holds {' and '.join(name for name, _ in found)}; each kind needs a folder of its own")
    if not found:
        raise UsageError(
            f"{path} holds no images that can be read: no IDX files ({FILES[0]}, ...), none of CIFAR-10's binary version "
            f"(data_batch_1.bin, ...), and no {', '.join(SUFFIXES)}"
        )
    return found[0][1]
