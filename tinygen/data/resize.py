"""Images are cropped and resized, by Pillow."""

from typing import TYPE_CHECKING

import numpy

from tinygen.command_line import UsageError

if TYPE_CHECKING:
    from PIL import Image


def fit(image: "Image.Image", size: int | None = None, crop: int | None = None) -> "Image.Image":
    """The central crop x crop pixels of an image, then their central square resized to size x size.

    A step whose number is None is left out. Resizing is bicubic, and averages where it shrinks.
    Raises UsageError if the image is smaller than crop x crop.
    """
    from PIL import Image, ImageOps

    if crop is not None:
        width, height = image.size
        if crop > min(width, height):
            raise UsageError(f"an image of {height}x{width} pixels has no central {crop}x{crop}")
        left, top = (width - crop) // 2, (height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    return image if size is None else ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def fit_arrays(images: numpy.ndarray, size: int | None = None, crop: int | None = None, grey: bool = False) -> numpy.ndarray:
    """`fit` for uint8 images (N, H, W, 1 or 3). `grey` makes one channel of three (ITU-R 601)."""
    from PIL import Image

    pictures = (Image.fromarray(image[..., 0] if image.shape[2] == 1 else image) for image in images)
    fitted = numpy.stack([numpy.asarray(fit(image.convert("L") if grey else image, size, crop)) for image in pictures])
    return fitted if fitted.ndim == 4 else fitted[..., None]
