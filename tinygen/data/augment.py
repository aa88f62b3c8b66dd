"""Random changes of training images, which stand for more images than there are."""

from collections.abc import Callable, Iterable, Sequence

import numpy

from tinygen.command_line import UsageError

FARTHEST = 8  # images are shifted by at most this part of their height and width
SMALLEST = 0.75  # the side of the smallest part that is cut out


class Augmentation:
    """Changes of the images of a batch, one after the other, each image by random numbers of its own.

    flip     left and right exchanged, in half of the images
    shift    moved by up to an eighth of height and width, with black where nothing is left
    crop     a part of at least 3/4 of height and width, resized to the whole (bilinear, by Pillow)

    It is a pure function of the images and of the seed, the epoch and the batch that it is called
    with, so a resumed training sees the same images. Raises UsageError for another name, with
    `or_else`, the names that the caller knows, among those that are possible.
    """

    def __init__(self, names: Sequence[str], or_else: Iterable[str] = ()) -> None:
        if unknown := [name for name in names if name not in CHANGES]:
            raise UsageError(f"images can be augmented by {', '.join([*CHANGES, *or_else])}, not by {', '.join(unknown)}")
        self.names = tuple(names)

    def __call__(self, images: numpy.ndarray, seed: int, epoch: int, batch: int, start: int = 0, whole: int | None = None) -> numpy.ndarray:
        """uint8 images (N, H, W, C), changed. They are those from number `start` on of a batch of `whole` images, or all of it."""
        # The order of the epoch is drawn with the same key, from where the counter is 0.
        key, counter = numpy.array([seed, epoch], numpy.uint64), numpy.array([0, 0, batch, 1], numpy.uint64)
        stream = numpy.random.Philox(key=key, counter=counter)
        for name in self.names:
            raw = stream.random_raw(3 * (whole or len(images))).reshape(3, -1)[:, start : start + len(images)]
            images = CHANGES[name](images, (raw >> numpy.uint64(11)) * 2.0**-53)  # the same in all versions of NumPy
        return images


def _flip(images: numpy.ndarray, uniform: numpy.ndarray) -> numpy.ndarray:
    flipped = (uniform[0] < 0.5)[:, None, None, None]
    return numpy.where(flipped, images[:, :, ::-1], images)


def _shift(images: numpy.ndarray, uniform: numpy.ndarray) -> numpy.ndarray:
    n, height, width, _ = images.shape
    rows, columns = height // FARTHEST, width // FARTHEST
    padded = numpy.pad(images, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
    top, left = (uniform[0] * (2 * rows + 1)).astype(int), (uniform[1] * (2 * columns + 1)).astype(int)
    y, x = top[:, None] + numpy.arange(height), left[:, None] + numpy.arange(width)
    return padded[numpy.arange(n)[:, None, None], y[:, :, None], x[:, None, :]]


def _crop(images: numpy.ndarray, uniform: numpy.ndarray) -> numpy.ndarray:
    from PIL import Image

    _, height, width, channels = images.shape
    sides = SMALLEST + (1 - SMALLEST) * uniform[0]
    parts = []
    for image, side, down, right in zip(images, sides, uniform[1], uniform[2], strict=True):
        top, left = down * (1 - side) * height, right * (1 - side) * width
        box = left, top, left + side * width, top + side * height
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        parts.append(numpy.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box)).reshape(image.shape))
    return numpy.stack(parts)


CHANGES: dict[str, Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]] = {"flip": _flip, "shift": _shift, "crop": _crop}
