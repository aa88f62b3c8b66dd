"""A folder of pictures, read by Pillow: each subfolder is a class."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.resize import fit

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def load_image_folder(folder: str | Path, size: int | None = None, crop: int | None = None, grey: bool = False) -> ImageDataset:
    """Load the images of every class, in the order of their names, each brought to size by `fit`.

    A folder with the subfolders train and test has the classes within those, and nothing else of it
    is read; of one without them, the 10th, 20th, ... image of each class is for testing. A class is
    a subfolder, its images lie directly in it; a folder of nothing but images is one class,
    "image". Files are images by the ending of their names, one of SUFFIXES; other files, and
    whatever has a name that begins with a dot, are passed over.

    Images are (H, W, 1) if all are grey or if `grey` asks for it, else (H, W, 3). Transparent
    pixels become black, photographs are turned upright, and of an animation the first picture
    counts.

    Raises UsageError for a file that is damaged or not of 8 bits per channel, for images of
    different sizes where no size is given, and for a folder that is built otherwise.
    """
    folder = Path(folder)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        train, test = _classes(folder / "train"), _classes(folder / "test")
        if train.keys() != test.keys():
            raise UsageError(f"{folder}/train has the classes {', '.join(train)}, but {folder}/test has {', '.join(test)}")
        source = str(folder)
    else:
        classes = _classes(folder)
        if max(map(len, classes.values())) < 10:
            raise UsageError(
                f"{folder} has no class of 10 images, of which one could be set aside for testing; "
                "give more, or divide them into the subfolders train and test"
            )
        train = {name: [path for i, path in enumerate(paths) if i % 10 != 9] for name, paths in classes.items()}
        test = {name: paths[9::10] for name, paths in classes.items()}
        source = f"{folder}, every tenth image for testing"
    images = _read_all([path for part in (train, test) for paths in part.values() for path in paths], size, crop, grey)
    labels = numpy.array([label for part in (train, test) for label, paths in enumerate(part.values()) for _ in paths], numpy.int64)
    count = sum(map(len, train.values()))
    return ImageDataset(images[:count], labels[:count], images[count:], labels[count:], tuple(train), source)


def holds_images(folder: Path) -> bool:
    """Whether there are files named as images in the folder, in its subfolders, or in theirs."""
    return any(path.suffix.lower() in SUFFIXES for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """The images of each class, classes and images in the order of their names."""
    subfolders, images = _listed(folder)
    if not subfolders:
        classes = {"image": images}
    elif images:
        raise UsageError(f"{folder} holds {len(subfolders)} subfolders, which are classes, but also images of no class: {images[0].name}")
    else:
        classes = {}
        for subfolder in subfolders:
            deeper, classes[subfolder.name] = _listed(subfolder)
            if deeper:
                raise UsageError(f"{subfolder} is a class, whose images lie directly in it, but it holds the folder {deeper[0].name}")
    for name, paths in classes.items():
        if not paths:
            raise UsageError(f"{folder / name if subfolders else folder} holds no images: none of its files ends in {', '.join(SUFFIXES)}")
    return classes


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The subfolders and the images of a folder, in the order of their names."""
    paths = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    return [path for path in paths if path.is_dir()], [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def _read_all(paths: list[Path], size: int | None, crop: int | None, grey: bool) -> numpy.ndarray:
    """uint8 (N, H, W, 1 or 3)."""
    images = []
    for path, image in _progress(paths):
        try:
            images.append(numpy.asarray(fit(image.convert("L") if grey else image, size, crop)))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        (height, width), (expected_height, expected_width) = images[-1].shape[:2], images[0].shape[:2]
        if (height, width) != (expected_height, expected_width):
            raise UsageError(
                f"{path} is {height}x{width} but {paths[0]} is {expected_height}x{expected_width}; "
                "load_images(size=...), or --size, brings all to one size"
            )
    if all(image.ndim == 2 for image in images):
        return numpy.stack(images)[..., None]
    return numpy.stack([image if image.ndim == 3 else image[..., None].repeat(3, axis=2) for image in images])


def _progress(paths: list[Path]) -> "Iterator[tuple[Path, Image.Image]]":
    from tqdm import tqdm

    bar: Iterable[Path] = tqdm(paths, "reading images", leave=False, disable=None)
    return ((path, _read(path)) for path in bar)


def _read(path: Path) -> "Image.Image":
    """An image of mode L (grey) or RGB."""
    from PIL import Image, ImageOps

    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            mode, transparent = image.mode, image.has_transparency_data
            image = image.convert("RGBA") if transparent else image
    except damaged as error:
        raise UsageError(f"{path} is not a readable image: {error}") from error
    if mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        raise UsageError(f"{path} has pixels of Pillow's mode {mode}, and only those of 8 bits per channel can be read")
    if transparent:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("L" if mode in ("1", "L", "LA") else "RGB")
