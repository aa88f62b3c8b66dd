"""Fashion-MNIST: 28x28 greyscale images of clothes in ten classes, in files like those of MNIST.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms" (2017).
"""

from pathlib import Path

from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.idx import read_idx_folder

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

EMBEDDED_FOLDER = Path(__file__).parent / "fashion_mnist_mini"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load_fashion_mnist() -> ImageDataset:
    """Load the full set of Debian's package dataset-fashion-mnist if it is there, else the subset here.

    Raises FileNotFoundError if the package's folder exists but lacks files, and UsageError if they
    are damaged.
    """
    if DEBIAN_FOLDER.is_dir():
        return ImageDataset.of_labels(*read_idx_folder(DEBIAN_FOLDER), f"Fashion-MNIST in {DEBIAN_FOLDER}", CLASSES)
    return ImageDataset.of_labels(*read_idx_folder(EMBEDDED_FOLDER), "embedded Fashion-MNIST subset", CLASSES)
