"""A folder of pictures, read by Pillow: each subfolder is a class."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.contents import contents, passed_over
from tinygen.data.resize import fit
from tinygen.data.stream import Streamed, read_ahead

if TYPE_CHECKING:
    from PIL import Image, ImageFile

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm")
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")  # the first one that is there
IN_MEMORY = 2**30  # bytes of images that are read whole; more are read from disk batch by batch


def load_image_folder(folder: str | Path, size: int | None = None, crop: int | None = None, grey: bool = False) -> ImageDataset:
    """Load the images of every class, in the order of their names, each brought to size by `fit`.

    A folder with a subfolder named as in TRAIN and one named as in TEST, in capitals or not, has the
    classes within those; of one without them, the 10th, 20th, ... image of each class is for
    testing. A class is a subfolder, its images lie directly in it; a folder of nothing but images
    is one class, "image". Files are images by the ending of their names, one of SUFFIXES. Other
    files, and other folders beside those of TRAIN and TEST, are passed over and counted in the
    source; whatever has a name that begins with a dot is not even counted.

    Images are (H, W, 1) if all are stored as grey (palettes are not) or if `grey` asks for it, else
    (H, W, 3). Transparent pixels become black, photographs are turned upright, and of an animation
    the first picture counts.

    Every image is read once, so that a damaged one is found now. If all together take more than
    IN_MEMORY, the images are `Streamed`: the same bits, read anew whenever they are needed.

    Raises UsageError for a file that is damaged or not of 8 bits per channel, for images of
    different sizes where no size is given, and for a folder that is built otherwise.
    """
    folder = Path(folder)
    over: list[Path] = []
    if parts := _parts(folder, over):
        train, test = (_classes(part, over) for part in parts)
        if train.keys() != test.keys():
            raise UsageError(f"{parts[0]} has the classes {', '.join(train)}, but {parts[1]} has {', '.join(test)}")
        source = str(folder)
    else:
        classes = _classes(folder, over)
        if max(map(len, classes.values())) < 10:
            raise UsageError(
                f"{folder} has no class of 10 images, of which one could be set aside for testing; "
                "give more, or divide them into the subfolders train and test"
            )
        train = {name: [path for i, path in enumerate(paths) if i % 10 != 9] for name, paths in classes.items()}
        test = {name: paths[9::10] for name, paths in classes.items()}
        source = f"{folder}, every tenth image for testing"
    train_paths, test_paths = ([path for paths in part.values() for path in paths] for part in (train, test))
    images = _read_all([*train_paths, *test_paths], size, crop, grey)
    labels = numpy.array([label for part in (train, test) for label, paths in enumerate(part.values()) for _ in paths], numpy.int64)
    count = len(train_paths)
    return ImageDataset(images[:count], labels[:count], images[count:], labels[count:], tuple(train), source + passed_over(over))


def _parts(folder: Path, over: list[Path]) -> tuple[Path, Path] | None:
    """The subfolders for training and for testing, if there are both; what else is there is added to `over`."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    found = [[path for name in names for path in paths if path.name.lower() == name and path.is_dir()] for names in (TRAIN, TEST)]
    if not all(found):
        return None
    parts = found[0][0], found[1][0]
    over += [path for path in paths if path not in parts]
    return parts


def holds_images(folder: Path) -> bool:
    """Whether there are files named as images in the folder, in its subfolders, or in theirs."""
    return any(path.suffix.lower() in SUFFIXES for pattern in ("*", "*/*", "*/*/*") for path in folder.glob(pattern))


def _classes(folder: Path, over: list[Path]) -> dict[str, list[Path]]:
    """The images of each class, classes and images in the order of their names; other files are added to `over`."""
    subfolders, images = _listed(folder, over)
    if not subfolders:
        classes = {"image": images}
    elif images:
        raise UsageError(f"{folder} holds {len(subfolders)} subfolders, which are classes, but also images of no class: {images[0].name}")
    else:
        classes = {}
        for subfolder in subfolders:
            deeper, classes[subfolder.name] = _listed(subfolder, over)
            if deeper:
                raise UsageError(f"{subfolder} is a class, whose images lie directly in it, but it holds the folder {deeper[0].name}")
    for name, paths in classes.items():
        if not paths:
            place = folder / name if subfolders else folder
            raise UsageError(f"{place} holds no images: none of its files ends in {', '.join(SUFFIXES)}; it holds {contents(place)}")
    return classes


def _listed(folder: Path, over: list[Path]) -> tuple[list[Path], list[Path]]:
    """The subfolders and the images of a folder, in the order of their names."""
    paths = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    subfolders = [path for path in paths if path.is_dir()]
    images = [path for path in paths if path.suffix.lower() in SUFFIXES and (path.is_file() or _leads_nowhere(path))]
    over += [path for path in paths if path not in subfolders and path not in images]
    return subfolders, images


def _leads_nowhere(path: Path) -> bool:
    """Whether a link's target is missing. It counts as an image, so that it is refused as one."""
    return path.is_symlink() and not path.exists()


def _read_all(paths: list[Path], size: int | None, crop: int | None, grey: bool) -> "numpy.ndarray | Streamed":
    """uint8 (N, H, W, 1 or 3), streamed from disk if they are more than IN_MEMORY bytes."""
    from PIL import Image
    from tqdm import tqdm

    Image.init()  # threads that are the first to need a format may not find it while another thread loads it
    read = partial(_read_fitted, size=size, crop=crop, grey=grey)
    images: list[numpy.ndarray] = []
    bytes_read, all_grey, expected = 0, True, (0, 0)
    for path, image in zip(
        tqdm(paths, "reading images", leave=False, disable=True if sys.stderr is None else None), read_ahead(read, paths), strict=True
    ):
        height, width = image.shape[:2]
        expected = (height, width) if path is paths[0] else expected
        if (height, width) != expected:
            raise UsageError(
                f"{path} is {height}x{width} but {paths[0]} is {expected[0]}x{expected[1]}; "
                "load_images(size=...), or --size, brings all to one size"
            )
        bytes_read, all_grey = bytes_read + image.nbytes, all_grey and image.shape[2] == 1
        if bytes_read <= IN_MEMORY:
            images.append(image)
        else:
            images.clear()
    shape = *expected, 1 if all_grey else 3
    if bytes_read <= IN_MEMORY:
        return numpy.stack([numpy.broadcast_to(image, shape) for image in images])
    return Streamed(paths, lambda path: numpy.broadcast_to(read(path), shape), shape)


def _read_fitted(path: Path, size: int | None, crop: int | None, grey: bool) -> numpy.ndarray:
    """An image (H, W, 1 or 3)."""
    image = _read(path)
    try:
        fitted = numpy.asarray(fit(image.convert("L") if grey else image, size, crop))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return fitted if fitted.ndim == 3 else fitted[..., None]


def _read(path: Path) -> "Image.Image":
    """An image of mode L (grey) or RGB."""
    from PIL import Image, ImageOps

    try:
        with open(path, "rb") as opened:
            with Image.open(opened) as file:
                _refuse_wide(path, file)
                _expect_pixels(file, path.stat().st_size)
                if file.format == "PNG":
                    file.verify()  # reading the pixels compares no checksums
            opened.seek(0)
            with Image.open(opened) as file:
                ImageOps.exif_transpose(file, in_place=True)
                file.load()
                image: Image.Image = file
    except UsageError:
        raise
    except Exception as error:  # Pillow's plugins raise almost all of them
        raise UsageError(f"{path} is not a readable image: {error}") from error
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image if image.mode == mode else image.convert(mode)


def _expect_pixels(file: "ImageFile.ImageFile", size: int) -> None:
    """Raise ValueError if an unpacked file of this size cannot hold the pixels that its header promises.

    Otherwise memory would be taken for all of them first. A pixel is counted with the fewest bits
    that it may have. A PNG's header has a checksum, and other packed files have no such bound.
    """
    bits = file.width * file.height * {"RGB": 24, "RGBA": 16, "CMYK": 32}.get(file.mode, 1)
    if file.format in ("BMP", "PPM", "TIFF") and any(tile[0] == "raw" for tile in file.tile) and bits > 8 * size:
        raise ValueError(f"its {size} bytes cannot hold {file.height}x{file.width} pixels")


def _refuse_wide(path: Path, file: "Image.Image") -> None:
    """Raise UsageError for pixels of more than 8 bits per channel, some of which Pillow would cut to 8."""
    wide = any(";16" in str(tile[3]) or (tile[0] == "ppm" and tile[3][1] > 255) for tile in getattr(file, "tile", ()))
    if wide or file.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
        mode = f"{file.mode};16" if wide and ";" not in file.mode else file.mode
        raise UsageError(f"{path} has pixels of Pillow's mode {mode}, and only those of 8 bits per channel can be read")
