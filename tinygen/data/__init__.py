"""Images, labels and names as NumPy arrays, and the batches made of them."""

from tinygen.data.colour import to_colour
from tinygen.data.dataset import ImageDataset, pad_to, to_float
from tinygen.data.fashion_mnist import CLASSES, load_fashion_mnist
from tinygen.data.load import load_images
from tinygen.data.loader import Loader
from tinygen.data.readers.cifar import load_cifar10
from tinygen.data.readers.folder import load_image_folder
from tinygen.data.readers.idx import load_idx, read_idx
from tinygen.data.readers.names import NameDataset, load_names
from tinygen.data.readers.npz import load_npz

__all__ = [
    "CLASSES",
    "ImageDataset",
    "Loader",
    "NameDataset",
    "load_cifar10",
    "load_fashion_mnist",
    "load_idx",
    "load_image_folder",
    "load_images",
    "load_names",
    "load_npz",
    "pad_to",
    "read_idx",
    "to_colour",
    "to_float",
]
