"""IDX, the file format of MNIST and its descendants: a header, then the numbers, big-endian, row-major.

    bytes 0-1       zero
    byte  2         the type of the elements, a key of ELEMENT_TYPES
    byte  3         the number of dimensions
    4 bytes each    the sizes of the dimensions, unsigned
    the rest        the elements

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits" (1998).
"""

import gzip
import re
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.contents import contents
from tinygen.data.readers.promised import read_array

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# EMNIST's names begin with that of the set, and call the test part test. Many programs unpack to
# names with a dot.
NAME = re.compile(r"(?P<set>.*?)-?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx(3|1)-ubyte(?P<zipped>\.gz)?")


def load_idx(folder: str | Path) -> ImageDataset:
    """Load the four FILES of MNIST and its descendants from a folder, each plain or gzipped (.gz).

    A dot before "idx" will do as well, "test" for "t10k", and the name of the set in front, as
    EMNIST has it. The classes are the labels that occur, named by their numbers.

    Raises FileNotFoundError if files are missing, and UsageError if files are damaged, hold something
    else or do not agree, or if there are several sets.
    """
    return ImageDataset.of_labels(*read_idx_folder(Path(folder)), str(folder))


def holds_idx(folder: Path) -> bool:
    """Whether there are files named as those of MNIST."""
    return bool(_named(folder))


def read_idx_folder(folder: Path) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """The images (N, H, W, 1) and labels (N,) of FILES, for training and for testing."""
    files = _named(folder)
    if len(sets := sorted({name for name, _, _ in files})) > 1:
        raise UsageError(f"{folder} holds the sets {', '.join(name or FILES[0] for name in sets)}; each needs a folder of its own")
    places = [(sets[0] if sets else "", part, kind) for part in ("train", "t10k") for kind in ("images", "labels")]
    if missing := [name for name, place in zip(FILES, places, strict=True) if place not in files]:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which may be plain or end in .gz; it holds {contents(folder)}")
    train_images, train_labels, test_images, test_labels = (files[place] for place in places)
    return _read_images(train_images), _read_labels(train_labels), _read_images(test_images), _read_labels(test_labels)


def _named(folder: Path) -> dict[tuple[str, str, str], Path]:
    """The files by set, part (train or t10k) and kind (images or labels). Of two, the gzipped one counts."""
    files = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.name.endswith(".gz"), path.name)):
        if (name := NAME.fullmatch(path.name)) and path.is_file() and path.name[0] != ".":
            files[name["set"], name["part"].replace("test", "t10k"), name["kind"]] = path
    return files


def read_idx(path: str | Path) -> numpy.ndarray:
    """Read an IDX file, gzipped or plain, into a new array in the machine's byte order.

    Its content tells whether it is gzipped. Raises UsageError if the file is damaged or not IDX,
    and OSError (FileNotFoundError, ...) if it cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as file:
        if file.peek(2)[:2] != b"\x1f\x8b":
            return _read(path, file)
        try:
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(path, unzipped)
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{path}, {path.stat().st_size} bytes, is a damaged gzip file: {error}") from error


def _read(path: Path, file: BufferedIOBase) -> numpy.ndarray:
    """The array in an unzipped file."""
    start = file.read(4)
    if len(start) < 4:
        raise UsageError(f"{path} holds {len(start)} bytes, fewer than the 4 that begin an IDX file")
    if start[:2] != b"\0\0":
        raise UsageError(f"{path} begins with the bytes 0x{start[:2].hex()} where an IDX file has 0x0000")
    code, dimensions = start[2], start[3]
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{known:02x}" for known in ELEMENT_TYPES)
        raise UsageError(f"{path} has elements of type 0x{code:02x}, and IDX knows only {known}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UsageError(f"{path} holds {4 + len(sizes)} bytes, fewer than the {4 + 4 * dimensions} of a header of {dimensions} dimensions")
    stored = numpy.dtype(ELEMENT_TYPES[code])
    try:
        elements = read_array(file, tuple(numpy.frombuffer(sizes, ">u4").tolist()), stored)
    except ValueError as error:
        raise UsageError(f"{path} holds {error}") from error
    return elements.astype(stored.newbyteorder("="), copy=False)


def _read_images(path: Path) -> numpy.ndarray:
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != numpy.uint8:
        raise UsageError(f"{path} holds {images.dtype} of shape {images.shape} where images are uint8 (N, H, W)")
    return images[..., None]


def _read_labels(path: Path) -> numpy.ndarray:
    labels = read_idx(path)
    if labels.ndim != 1 or labels.dtype != numpy.uint8:
        raise UsageError(f"{path} holds {labels.dtype} of shape {labels.shape} where labels are uint8 (N,)")
    return labels.astype(numpy.int64)
