"""CIFAR-10 in its binary version: 32x32 colour images in ten classes.

A file is a sequence of records of 3,073 bytes, without a header:

    byte  0           the label, 0 to 9
    bytes 1-1024      red, row after row; green and blue follow in the same way

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset

RECORD = 1 + 3 * 32 * 32
LABELS = 10


def load_cifar10(folder: str | Path) -> ImageDataset:
    """Load data_batch_1.bin, data_batch_2.bin, ... for training and test_batch.bin for testing.

    The classes are named by the lines of batches.meta.txt where it is there, else "0" to "9".
    CIFAR-10's own files hold 10,000 records each; others may hold any number.

    Raises FileNotFoundError if files are missing, and UsageError for a file that is empty, ends
    inside a record or has a label above 9, and for a batches.meta.txt without ten names.
    """
    folder = Path(folder)
    train = [folder / f"data_batch_{i + 1}.bin" for i in range(max(1, len(list(folder.glob("data_batch_*.bin")))))]
    test = folder / "test_batch.bin"
    if missing := [path.name for path in [*train, test] if not path.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)} of CIFAR-10's binary version")
    images, labels = zip(*map(_read_batch, train), strict=True)
    return ImageDataset(numpy.concatenate(images), numpy.concatenate(labels), *_read_batch(test), _read_classes(folder), str(folder))


def holds_cifar10(folder: Path) -> bool:
    """Whether there are files named as CIFAR-10's."""
    return any(folder.glob("data_batch_*.bin")) or (folder / "test_batch.bin").is_file()


def _read_batch(path: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    content = numpy.frombuffer(path.read_bytes(), numpy.uint8)
    if content.size == 0 or content.size % RECORD:
        raise UsageError(f"{path} holds {content.size} bytes, and CIFAR-10's binary files hold one or more whole records of {RECORD}")
    records = content.reshape(-1, RECORD)
    labels = records[:, 0].astype(numpy.int64)
    if labels.max() >= LABELS:
        first = labels.argmax()
        raise UsageError(f"{path} has the label {labels[first]} in record {first}, and CIFAR-10's run from 0 to {LABELS - 1}")
    return numpy.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _read_classes(folder: Path) -> tuple[str, ...]:
    path = folder / "batches.meta.txt"
    if not path.is_file():
        return tuple(map(str, range(LABELS)))
    names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != LABELS:
        raise UsageError(f"{path} names {len(names)} classes, and CIFAR-10 has {LABELS}")
    return names
