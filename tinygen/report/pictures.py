"""Pictures of images, words and confusion matrices, and their PNG and GIF files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from tinygen.saving.checkpoint import replacing

if TYPE_CHECKING:
    from PIL.Image import Image


def grid(images: numpy.ndarray, columns: int | None = None, gap: int = 2, scale: int = 2) -> numpy.ndarray:
    """One picture of N images: (N, H, W, C) with values from 0 to 1 -> uint8 (H', W', C).

    Images are placed row by row, in a near-square grid unless `columns` is given, and `gap` pixels
    apart. Each pixel is drawn as scale x scale pixels. Values outside 0 to 1 are clipped. Raises
    TypeError for anything else than such an array.
    """
    if len(found := getattr(images, "shape", ())) != 4:
        raise TypeError(f"grid: takes an array (N, H, W, C), got {found or f'a {type(images).__name__}'}; one image is image[None]")
    n, h, w, c = images.shape
    columns = columns or int(numpy.ceil(numpy.sqrt(n)))
    rows = -(-n // columns)
    sheet = numpy.full((rows * columns, h + gap, w + gap, c), 255, numpy.uint8)
    sheet[:n, :h, :w] = numpy.rint(numpy.clip(images, 0, 1) * 255)
    height, width = rows * (h + gap), columns * (w + gap)
    sheet = sheet.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2).reshape(height, width, c)
    return sheet[: height - gap, : width - gap].repeat(scale, axis=0).repeat(scale, axis=1)


def captioned_grid(images: numpy.ndarray, captions: Sequence[str], columns: int, scale: int = 3) -> numpy.ndarray:
    """A picture like that of `grid`, uint8 (H', W', C), with a caption of one or more lines below
    each image.

    Raises ValueError if there is not one caption per image.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(11)
    n, h, w, c = images.shape
    below = 4 + 13 * max(caption.count("\n") + 1 for caption in captions)
    cells = numpy.full((n, h * scale + below, w * scale, c), 255, numpy.uint8)
    for cell, image, caption in zip(cells, images, captions, strict=True):
        cell[: h * scale] = numpy.rint(numpy.clip(image, 0, 1) * 255).repeat(scale, axis=0).repeat(scale, axis=1)
        label = Image.new("L", (w * scale, below), 255)
        ImageDraw.Draw(label).multiline_text((w * scale / 2, 2), caption, fill=0, font=font, anchor="ma", align="center", spacing=1)
        cell[h * scale :] = numpy.asarray(label)[..., None]
    return grid(cells / 255, columns, gap=6, scale=1)


def image_of(picture: numpy.ndarray) -> "Image":
    """A uint8 picture (H, W, 1) or (H, W, 3) as Pillow's."""
    from PIL import Image

    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def save_png(path: Path, image: numpy.ndarray) -> None:
    """Write a uint8 image (H, W, 1) or (H, W, 3). Raises TypeError for anything else."""
    if not isinstance(image, numpy.ndarray) or image.dtype != numpy.uint8 or image.ndim != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, numpy.ndarray) else f"a {type(image).__name__}"
        raise TypeError(f"save_png: takes a uint8 array (H, W, C), got {what}; grid(images.numpy()) makes one of images from 0 to 1")
    with replacing(path) as file:
        image_of(image).save(file, "PNG")


def save_gif(path: Path, frames: Sequence[Path | numpy.ndarray], milliseconds: int = 200, pause: int = 10) -> None:
    """Write pictures, files or uint8 (H, W, C), as a film. The last one is shown `pause` times as long."""
    from PIL import Image

    pictures = [Image.open(frame) if isinstance(frame, Path) else image_of(frame) for frame in frames]
    images = [picture.quantize() for picture in pictures]  # 256 colours of its own each; convert("P") would dither to fixed ones
    durations = [milliseconds] * (len(images) - 1) + [pause * milliseconds]
    with replacing(path) as file:
        images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)


def text(words: Sequence[str], columns: int, width: int) -> numpy.ndarray:
    """Words, row by row, in columns of `width` characters, black on white: uint8 (H, W, 1)."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(16)
    cell_width, cell_height = 10 * (width + 1), 24
    image = Image.new("L", (columns * cell_width, -(-len(words) // columns) * cell_height), 255)
    draw = ImageDraw.Draw(image)
    for i, word in enumerate(words):
        row, column = divmod(i, columns)
        draw.text((column * cell_width + 8, row * cell_height + cell_height / 2), word, fill=0, font=font, anchor="lm")
    return numpy.asarray(image)[..., None]


def confusion_matrix(counts: numpy.ndarray, names: Sequence[str]) -> numpy.ndarray:
    """A confusion matrix as a picture, uint8 (H, W, 1).

    counts[i, j] is the number of images of class i that were predicted to be of class j. A cell is
    darker the larger its share of the row.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    cell, margin, top = 44, 20 + 9 * max(len(name) for name in names), 40
    n = len(names)
    image = Image.new("L", (margin + n * cell + 10, top + margin + n * cell), 255)
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), "true class (rows) and predicted class (columns)", fill=0, font=font)
    for i, name in enumerate(names):
        draw.text((margin - 8, top + i * cell + cell / 2), name, fill=0, font=font, anchor="rm")
        label = Image.new("L", (margin, cell), 255)
        ImageDraw.Draw(label).text((margin - 8, cell / 2), name, fill=0, font=font, anchor="rm")
        image.paste(label.rotate(90, expand=True), (margin + i * cell, top + n * cell))
        for j, count in enumerate(counts[i]):
            shade = int(255 - 215 * count / max(counts[i].sum(), 1))
            left, upper = margin + j * cell, top + i * cell
            draw.rectangle((left, upper, left + cell - 2, upper + cell - 2), fill=shade)
            draw.text((left + cell / 2, upper + cell / 2), str(count), fill=255 if shade < 128 else 0, font=font, anchor="mm")
    return numpy.asarray(image)[..., None]
