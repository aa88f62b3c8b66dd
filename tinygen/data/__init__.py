"""Images, labels, names and texts as NumPy arrays, and the batches made of them."""

from tinygen.data.augment import Augmentation
from tinygen.data.dataset import ImageDataset, pad_to, to_float
from tinygen.data.emoji import load_emoji
from tinygen.data.fashion_mnist import CLASSES, load_fashion_mnist
from tinygen.data.load import load_images
from tinygen.data.loader import Loader
from tinygen.data.readers.cifar import load_cifar10, load_cifar100
from tinygen.data.readers.folder import load_image_folder
from tinygen.data.readers.idx import load_idx, read_idx
from tinygen.data.readers.names import NameDataset, load_names
from tinygen.data.readers.npz import load_npz
from tinygen.data.readers.text import TextDataset, load_text
from tinygen.data.stream import Images, Streamed

__all__ = [
    "CLASSES",
    "Augmentation",
    "ImageDataset",
    "Images",
    "Loader",
    "NameDataset",
    "Streamed",
    "TextDataset",
    "load_cifar10",
    "load_cifar100",
    "load_emoji",
    "load_fashion_mnist",
    "load_idx",
    "load_image_folder",
    "load_images",
    "load_names",
    "load_npz",
    "load_text",
    "pad_to",
    "read_idx",
    "to_float",
]
