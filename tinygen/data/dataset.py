"""A set of labelled images, and the two steps from its bytes to what a network takes."""

import hashlib
from dataclasses import dataclass, replace

import numpy
from numpy.typing import DTypeLike

from tinygen.backend import Array, device_of, to_device
from tinygen.command_line import UsageError


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images for training and testing.

    train_images, test_images   uint8 (N, H, W, C), 0 black, 255 white; only N may differ
    train_labels, test_labels   int64 (N,), each an index into classes
    classes                     the names of the classes
    source                      where the images come from, in words

    Raises UsageError if the parts do not agree or one is empty.
    """

    train_images: numpy.ndarray
    train_labels: numpy.ndarray
    test_images: numpy.ndarray
    test_labels: numpy.ndarray
    classes: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        self._check("training", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        train, test = self.train_images.shape[1:], self.test_images.shape[1:]
        if train != test:
            raise UsageError(f"{self.source}: training images are {_size(train)} but test images {_size(test)}")

    def describe(self) -> str:
        """One line: the source, how many images and of which size."""
        counts = f"{len(self.train_images):,} training and {len(self.test_images):,} test images"
        return f"data: {self.source}, {counts} of {_size(self.train_images.shape[1:])}"

    def digest(self) -> str:
        """SHA-256 of all images, labels and classes, the same wherever the data come from."""
        return digest(self.train_images, self.train_labels, self.test_images, self.test_labels, numpy.array(self.classes))

    def padded(self, size: int) -> "ImageDataset":
        """The images by `pad_to`."""
        return replace(self, train_images=pad_to(self.train_images, size), test_images=pad_to(self.test_images, size))

    def draw_test_images(self, n: int) -> numpy.ndarray:
        """n test images (n, H, W, C), or all if there are fewer: random, but always the same ones.

        In a folder that is read class by class, the first n would all be of the first classes.
        """
        return self.test_images[numpy.random.Philox(0).random_raw(len(self.test_images)).argsort(kind="stable")[:n]]

    def _check(self, part: str, images: numpy.ndarray, labels: numpy.ndarray) -> None:
        if images.ndim != 4 or images.dtype != numpy.uint8:
            raise UsageError(f"{self.source}: {part} images must be uint8 (N, H, W, C), not {images.dtype} {images.shape}")
        if labels.ndim != 1 or labels.dtype != numpy.int64:
            raise UsageError(f"{self.source}: {part} labels must be int64 (N,), not {labels.dtype} {labels.shape}")
        if len(images) == 0:
            raise UsageError(f"{self.source}: there are no {part} images, and at least one is needed")
        if len(images) != len(labels):
            raise UsageError(f"{self.source}: {len(images)} {part} images but {len(labels)} labels")
        if not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise UsageError(
                f"{self.source}: {part} labels run from {labels.min()} to {labels.max()}, "
                f"but {len(self.classes)} classes allow 0 to {len(self.classes) - 1}"
            )


def digest(*arrays: numpy.ndarray) -> str:
    """SHA-256 of arrays, their shapes and dtypes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str} {array.shape} ".encode())
        total.update(numpy.ascontiguousarray(array).data)
    return total.hexdigest()


def pad_to(images: numpy.ndarray, size: int) -> numpy.ndarray:
    """Centre uint8 images (N, H, W, C) on black squares: (N, size, size, C).

    Where a border is odd, the extra line is at the bottom or right.

    Raises ValueError if the images are larger than size, or are not uint8: in scaled images zero
    need not be black.
    """
    _require_bytes("pad_to", images)
    _, height, width, _ = images.shape
    if max(height, width) > size:
        raise UsageError(f"pad_to: images of {height}x{width} do not fit into {size}x{size}; --size {size} makes them smaller")
    top, left = (size - height) // 2, (size - width) // 2
    return numpy.pad(images, ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0)))


def to_float(images: Array, low: float, high: float, dtype: DTypeLike = numpy.float32) -> Array:
    """Map uint8 images, of any shape, to evenly spaced numbers: 0 to exactly low, 255 to exactly high.

    A tanh generator takes low=-1, high=1; a Bernoulli decoder low=0, high=1. The result of float32
    is four times as large as the images, so convert a large set batch by batch. Raises ValueError
    if the images are not uint8.
    """
    _require_bytes("to_float", images)
    return to_device(numpy.linspace(low, high, 256, dtype=dtype), device_of(images))[images]


def _require_bytes(function: str, images: Array) -> None:
    if images.dtype != numpy.uint8:
        raise ValueError(f"{function}: images must be uint8, 0 to 255, not {images.dtype}")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
