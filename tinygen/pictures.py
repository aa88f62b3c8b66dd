"""Images to files: a grid as a PNG, a run's grids as a GIF."""

from collections.abc import Sequence
from pathlib import Path

import numpy


def grid(images: numpy.ndarray, columns: int | None = None, gap: int = 2, scale: int = 2) -> numpy.ndarray:
    """One image of many: (N, H, W, C) with values from 0 to 1 -> uint8 (H', W', C), row after row, in a near-square unless columns says.

    Images are `gap` pixels apart, and each pixel is drawn as scale x scale. Values outside 0 to 1 are clipped.
    """
    n, h, w, c = images.shape
    columns = columns or int(numpy.ceil(numpy.sqrt(n)))
    rows = -(-n // columns)
    sheet = numpy.full((rows * columns, h + gap, w + gap, c), 255, numpy.uint8)
    sheet[n:] = 255
    sheet[:n, :h, :w] = numpy.rint(numpy.clip(images, 0, 1) * 255)
    sheet = sheet.reshape(rows, columns, h + gap, w + gap, c).swapaxes(1, 2).reshape(rows * (h + gap), columns * (w + gap), c)
    return sheet[:-gap, :-gap].repeat(scale, axis=0).repeat(scale, axis=1)


def save_png(path: Path, image: numpy.ndarray) -> None:
    """Write a uint8 image (H, W, 1) or (H, W, 3)."""
    from PIL import Image

    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)


def save_gif(path: Path, frames: Sequence[Path], milliseconds: int = 200) -> None:
    """Write the pictures in the files `frames` one after the other; the last one stays ten times as long."""
    from PIL import Image

    images = [Image.open(frame).convert("P") for frame in frames]
    durations = [milliseconds] * (len(images) - 1) + [10 * milliseconds]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)


def table(counts: numpy.ndarray, names: Sequence[str], title: str) -> numpy.ndarray:
    """A square matrix of counts as a picture, uint8 (H, W, 1): the larger a count in its row, the darker its cell."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    cell, margin, top = 44, 20 + 9 * max(len(name) for name in names), 40
    n = len(names)
    image = Image.new("L", (margin + n * cell + 10, top + margin + n * cell), 255)
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), title, fill=0, font=font)
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
