"""A set of labelled images, and the two steps from its bytes to what a network takes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy
from numpy.typing import DTypeLike

from tinygen.backend import Array, device_of, to_device
from tinygen.command_line import UsageError
from tinygen.data.stream import READ_AHEAD, Images, Streamed


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images for training and testing.

    train_images, test_images   uint8 (N, H, W, C), 0 black, 255 white; only N may differ. They are
                                `Streamed` if they come from a folder that is larger than memory
    train_labels, test_labels   int64 (N,), each an index into classes
    classes                     the names of the classes
    source                      where the images come from, in words

    Raises UsageError if the parts do not agree or one is empty.
    """

    train_images: Images
    train_labels: numpy.ndarray
    test_images: Images
    test_labels: numpy.ndarray
    classes: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        self._check("training", self.train_images, self.train_labels)
        self._check("test", self.test_images, self.test_labels)
        train, test = self.train_images.shape[1:], self.test_images.shape[1:]
        if train != test:
            raise UsageError(f"{self.source}: training images are {_size(train)} but test images {_size(test)}")

    @classmethod
    def of_labels(
        cls,
        train_images: Images,
        train_labels: numpy.ndarray,
        test_images: Images,
        test_labels: numpy.ndarray,
        source: str,
        names: Sequence[str] | None = None,
    ) -> "ImageDataset":
        """The data set whose classes are the labels that occur, in ascending order.

        A label k is called names[k], or by its number if there are no names. Raises UsageError as
        the constructor does, for labels that have no name, and for a class with test images but no
        training images, of which no model could learn anything.
        """
        if names is not None:
            _check_range(source, "training", train_labels, len(names))
            _check_range(source, "test", test_labels, len(names))
        occurring, counted = numpy.unique(numpy.concatenate([train_labels, test_labels]), return_inverse=True)
        classes = tuple(str(label) if names is None else names[label] for label in occurring.tolist())
        train, test = numpy.split(counted.astype(numpy.int64), [len(train_labels)])
        data = cls(train_images, train, test_images, test, classes, source)
        if len(unseen := numpy.setdiff1d(test, train)):
            counts = f"{int((test == unseen[0]).sum())} test images but no training images"
            raise UsageError(f"{source}: the class {classes[unseen[0]]} has {counts}; give some, or leave its test images out")
        return data

    def only(self, names: Sequence[str]) -> "ImageDataset":
        """The images of these classes, which keep their order.

        Raises UsageError if there is no class of that name.
        """
        if unknown := [name for name in names if name not in self.classes]:
            raise UsageError(f"{self.source} has no class {' and no class '.join(unknown)}; its classes are {', '.join(self.classes)}")
        kept = [label for label, name in enumerate(self.classes) if name in names]
        train, test = numpy.isin(self.train_labels, kept), numpy.isin(self.test_labels, kept)
        source = f"{self.source}, {len(kept)} of {len(self.classes)} classes"
        return ImageDataset.of_labels(
            self.train_images[train], self.train_labels[train], self.test_images[test], self.test_labels[test], source, self.classes
        )

    def describe(self) -> str:
        """One line: the source, how many images and of which size."""
        counts = f"{len(self.train_images):,} training and {len(self.test_images):,} test images"
        return f"data: {self.source}, {counts} of {_size(self.train_images.shape[1:])}"

    def digest(self) -> str:
        """SHA-256 of all images, labels and classes, the same wherever the data come from."""
        return digest(self.train_images, self.train_labels, self.test_images, self.test_labels, numpy.array(self.classes))

    def form(self) -> dict[str, Any]:
        """What a model must know of the data to be built, as JSON types: the shape (H, W, C) and the classes."""
        return {"shape": list(self.train_images.shape[1:]), "classes": list(self.classes)}

    @classmethod
    def of_form(cls, form: Mapping[str, Any]) -> Self:
        """Data of this form that stand for those that are not there: one black image for each part."""
        image, label = numpy.zeros((1, *form["shape"]), numpy.uint8), numpy.zeros(1, numpy.int64)
        return cls(image, label, image, label, tuple(form["classes"]), "no data")

    def padded(self, size: int) -> "ImageDataset":
        """The images by `pad_to`."""
        return self.map(lambda images: pad_to(images, size))

    def map(self, change: Callable[[numpy.ndarray], numpy.ndarray]) -> "ImageDataset":
        """All images changed, by a function of uint8 images (N, H, W, C) that treats each alike."""
        train, test = (part.map(change) if isinstance(part, Streamed) else change(part) for part in (self.train_images, self.test_images))
        return replace(self, train_images=train, test_images=test)

    def draw_test_images(self, n: int) -> numpy.ndarray:
        """n test images (n, H, W, C), or all if there are fewer: random, but always the same ones.

        In a folder that is read class by class, the first n would all be of the first classes.
        """
        order = numpy.random.Philox(0).random_raw(len(self.test_images)).argsort(kind="stable")
        return numpy.asarray(self.test_images[order[:n]])

    def _check(self, part: str, images: Images, labels: numpy.ndarray) -> None:
        if images.ndim != 4 or images.dtype != numpy.uint8:
            raise UsageError(f"{self.source}: {part} images must be uint8 (N, H, W, C), not {images.dtype} {images.shape}")
        if labels.ndim != 1 or labels.dtype != numpy.int64:
            raise UsageError(f"{self.source}: {part} labels must be int64 (N,), not {labels.dtype} {labels.shape}")
        if len(images) == 0:
            raise UsageError(f"{self.source}: there are no {part} images, and at least one is needed")
        if len(images) != len(labels):
            raise UsageError(f"{self.source}: {len(images)} {part} images but {len(labels)} labels")
        _check_range(self.source, part, labels, len(self.classes))


def _check_range(source: str, part: str, labels: numpy.ndarray, classes: int) -> None:
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        run = f"{part} labels run from {labels.min()} to {labels.max()}"
        raise UsageError(f"{source}: {run}, but {classes} classes allow 0 to {classes - 1}")


def digest(*arrays: Images) -> str:
    """SHA-256 of arrays, their shapes and dtypes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str} {array.shape} ".encode())
        for piece in array.batches(numpy.arange(len(array))[:, None], READ_AHEAD) if isinstance(array, Streamed) else [array]:
            total.update(numpy.ascontiguousarray(piece).data)
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


def to_float(images: Array | Streamed, low: float, high: float, dtype: DTypeLike = numpy.float32) -> Array:
    """Map uint8 images, of any shape, to evenly spaced numbers: 0 to exactly low, 255 to exactly high.

    A tanh generator takes low=-1, high=1; a Bernoulli decoder low=0, high=1. The result of float32
    is four times as large as the images, so convert a large set batch by batch. `Streamed` images
    are read. Raises ValueError if the images are not uint8.
    """
    _require_bytes("to_float", images)
    images = numpy.asarray(images) if isinstance(images, Streamed) else images
    return to_device(numpy.linspace(low, high, 256, dtype=dtype), device_of(images)).take(images)


def _require_bytes(function: str, images: Array | Streamed) -> None:
    if (found := getattr(images, "dtype", None)) != numpy.uint8:
        raise ValueError(f"{function}: images must be a uint8 array, 0 to 255, not {found or f'a {type(images).__name__}'}")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
