"""The files that commands write: one picture, a film, a folder of pictures, arrays."""

from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.report.pictures import grid, save_gif, save_png
from tinygen.saving.checkpoint import replacing

KINDS = (".png", ".gif", ".npz")
FILM = 256  # pixels that the longer side of a film has at least


def check_output(out: Path) -> None:
    """Raise UsageError unless `write_images` can write there. Nothing is written."""
    if out.suffix not in ("", *KINDS):
        raise UsageError(f"{out} must end in {', '.join(KINDS)}, or have no suffix and be a folder")
    if out.suffix == "" and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; give another one")
    if not out.suffix == "" and not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist")


def write_images(out: Path, images: numpy.ndarray, columns: int | None = None) -> None:
    """Write images (n, H, W, C), from 0 to 1.

    .png        one picture of all, in so many columns
    .gif        a film
    .npz        the array `images`, uint8 (n, H, W, C)
    no suffix   a folder with a PNG for each image, as large as the image
    """
    if out.suffix == ".png":
        save_png(out, grid(images, columns))
    elif out.suffix == ".gif":
        scale = max(1, FILM // max(images.shape[1:3]))
        save_gif(out, [grid(image[None], scale=scale) for image in images], milliseconds=100, pause=1)
    elif out.suffix == ".npz":
        with replacing(out) as file:
            numpy.savez_compressed(file, images=numpy.rint(numpy.clip(images, 0, 1) * 255).astype(numpy.uint8))
    else:
        out.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            save_png(out / f"{i:05}.png", grid(image[None], scale=1))
    print(f"{len(images)} images: {out}")
