"""Images and labels as NumPy arrays, and the batches made of them."""

from tinygen.data.dataset import ImageDataset, pad_to, to_float
from tinygen.data.fashion_mnist import CLASSES, load_fashion_mnist
from tinygen.data.idx import read_idx
from tinygen.data.loader import Loader

__all__ = ["CLASSES", "ImageDataset", "Loader", "load_fashion_mnist", "pad_to", "read_idx", "to_float"]
