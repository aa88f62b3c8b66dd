"""CIFAR-10 and CIFAR-100 in their binary versions: 32x32 colour images in 10 or 100 classes.

A file is a sequence of records of 3,073 bytes, without a header:

    byte  0           the label, 0 to 9
    bytes 1-1024      red, row after row; green and blue follow in the same way

In CIFAR-100 one byte comes before the label, 0 to 99: one of 20 superclasses, which is passed over.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.contents import contents

PIXELS = 3 * 32 * 32


def load_cifar10(folder: str | Path) -> ImageDataset:
    """Load data_batch_1.bin, data_batch_2.bin, ... for training and test_batch.bin for testing.

    The classes whose labels occur are named by the lines of batches.meta.txt where it is there, else
    by their numbers. CIFAR-10's own files hold 10,000 records each; others may hold any number.

    Raises FileNotFoundError if files are missing, and UsageError for a file that is empty, ends
    inside a record or has a label above 9, and for a batches.meta.txt without ten names.
    """
    folder = Path(folder)
    train = [folder / f"data_batch_{i + 1}.bin" for i in range(max(1, len(list(folder.glob("data_batch_*.bin")))))]
    return _load(folder, train, folder / "test_batch.bin", 10, "batches.meta.txt")


def load_cifar100(folder: str | Path) -> ImageDataset:
    """Load train.bin and test.bin, with the 100 classes of fine_label_names.txt.

    Raises errors as `load_cifar10` does.
    """
    folder = Path(folder)
    return _load(folder, [folder / "train.bin"], folder / "test.bin", 100, "fine_label_names.txt")


def holds_cifar10(folder: Path) -> bool:
    """Whether there are files named as CIFAR-10's."""
    return any(folder.glob("data_batch_*.bin")) or (folder / "test_batch.bin").is_file()


def holds_cifar100(folder: Path) -> bool:
    """Whether there are files named as CIFAR-100's."""
    return (folder / "train.bin").is_file() or (folder / "test.bin").is_file()


def _load(folder: Path, train: list[Path], test: Path, classes: int, names: str) -> ImageDataset:
    version = f"CIFAR-{classes}"
    if missing := [path.name for path in [*train, test] if not path.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)} of {version}'s binary version; it holds {contents(folder)}")
    images, labels = zip(*(_read_batch(path, classes) for path in train), strict=True)
    arrays = numpy.concatenate(images), numpy.concatenate(labels), *_read_batch(test, classes)
    return ImageDataset.of_labels(*arrays, str(folder), _read_classes(folder / names, classes))


def _read_batch(path: Path, classes: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    version, head = f"CIFAR-{classes}", 1 if classes == 10 else 2
    content = numpy.frombuffer(path.read_bytes(), numpy.uint8)
    if content.size == 0 or content.size % (head + PIXELS):
        whole = f"{version}'s binary files hold one or more whole records of {head + PIXELS}"
        raise UsageError(f"{path} holds {content.size} bytes, and {whole}")
    records = content.reshape(-1, head + PIXELS)
    labels = records[:, head - 1].astype(numpy.int64)
    if labels.max() >= classes:
        first = labels.argmax()
        raise UsageError(f"{path} has the label {labels[first]} in record {first}, and {version}'s run from 0 to {classes - 1}")
    return numpy.ascontiguousarray(records[:, head:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _read_classes(path: Path, classes: int) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != classes:
        raise UsageError(f"{path} names {len(names)} classes, and CIFAR-{classes} has {classes}")
    return names
