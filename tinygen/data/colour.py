"""Colour for models that need it, where images are grey."""

import colorsys

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset, pad_to
from tinygen.data.stream import Images


def to_colour(data: ImageDataset, side: int = 32) -> ImageDataset:
    """The images of data in colour, side x side. Grey images get a colour for each class.

    A grey image is centred on black, and its pixels are multiplied by the colour of its class. Of K
    classes, class k has the hue k / K (from red over yellow, green and blue back to red), saturation
    0.6 and full brightness. The source then says so. A classifier can tell such classes by colour
    alone, so `python -m tinygen.evaluate` judges colours more than shapes.

    Raises UsageError if images in colour are of another size, or grey ones are larger.
    """
    _, height, width, channels = data.train_images.shape
    if channels == 3:
        if (height, width) != (side, side):
            raise UsageError(
                f"{data.source}: images in colour must be {side}x{side} here, not {height}x{width}; --size {side} resizes them"
            )
        return data
    hues = [colorsys.hsv_to_rgb(k / len(data.classes), 0.6, 1) for k in range(len(data.classes))]
    palette = numpy.rint(255 * numpy.array(hues)).astype(numpy.uint16)

    def colour(images: Images, labels: numpy.ndarray) -> numpy.ndarray:
        return ((pad_to(numpy.asarray(images), side) * palette[labels][:, None, None] + 127) // 255).astype(numpy.uint8)

    train, test = colour(data.train_images, data.train_labels), colour(data.test_images, data.test_labels)
    return ImageDataset(train, data.train_labels, test, data.test_labels, data.classes, f"{data.source}, coloured by class")
