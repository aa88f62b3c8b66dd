"""Fashion-MNIST: 28x28 greyscale images of clothes in ten classes, in the file format and under the file names of MNIST.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms" (2017).
"""

from pathlib import Path

import numpy

from tinygen.data.dataset import ImageDataset
from tinygen.data.idx import read_idx

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

EMBEDDED_FOLDER = Path(__file__).parent / "fashion_mnist_mini"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_fashion_mnist(folder: str | Path | None = None) -> ImageDataset:
    """Load the images of the given folder, else the full set of Debian's package dataset-fashion-mnist, else the embedded subset.

    The folder holds the four FILES, each plain or with .gz appended. MNIST and its other descendants have files of these names
    too, so the classes of a given folder are named "0", "1", ... up to its greatest label; the garments' names are CLASSES.

    A folder that is there is never passed over: FileNotFoundError says which files it lacks, ValueError what is wrong in them.
    """
    if folder is not None:
        train_images, train_labels, test_images, test_labels = _read_folder(Path(folder))
        greatest = max(train_labels.max(initial=0), test_labels.max(initial=0))
        classes = tuple(str(label) for label in range(greatest + 1))
        return ImageDataset(train_images, train_labels, test_images, test_labels, classes, str(folder))
    if DEBIAN_FOLDER.is_dir():
        return ImageDataset(*_read_folder(DEBIAN_FOLDER), CLASSES, f"Fashion-MNIST in {DEBIAN_FOLDER}")
    return ImageDataset(*_read_folder(EMBEDDED_FOLDER), CLASSES, "embedded Fashion-MNIST subset")


def holds_idx(folder: Path) -> bool:
    """Whether there are files named as those of MNIST."""
    return any((folder / f"{name}{suffix}").is_file() for name in FILES for suffix in ("", ".gz"))


def _read_folder(folder: Path) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    candidates = [(folder / f"{name}.gz", folder / name) for name in FILES]
    missing = [plain.name for zipped, plain in candidates if not zipped.is_file() and not plain.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which may be plain or end in .gz")
    paths = [zipped if zipped.is_file() else plain for zipped, plain in candidates]
    return _read_images(paths[0]), _read_labels(paths[1]), _read_images(paths[2]), _read_labels(paths[3])


def _read_images(path: Path) -> numpy.ndarray:
    images = read_idx(path)
    if images.ndim != 3 or images.dtype != numpy.uint8:
        raise ValueError(f"{path} holds {images.dtype} of shape {images.shape} where images are uint8 (N, H, W)")
    return images[..., None]


def _read_labels(path: Path) -> numpy.ndarray:
    labels = read_idx(path)
    if labels.ndim != 1 or labels.dtype != numpy.uint8:
        raise ValueError(f"{path} holds {labels.dtype} of shape {labels.shape} where labels are uint8 (N,)")
    return labels.astype(numpy.int64)
