"""Images in one .npz file, as `numpy.savez` writes it: a zip file with an array in each member."""

import zipfile
from pathlib import Path
from typing import IO

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset
from tinygen.data.readers.contents import listed
from tinygen.data.readers.promised import read_array

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
HEADERS = {(1, 0): numpy.lib.format.read_array_header_1_0, (2, 0): numpy.lib.format.read_array_header_2_0}
KERAS_KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: str | Path) -> ImageDataset:
    """Load the arrays named by KEYS or KERAS_KEYS and, if present, `classes`. Nothing is unpickled.

    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), labels integers (N,) or (N, 1).
    `classes` is an array of strings, which the labels count from 0; without it a class has the number
    of its label as its name. The classes are those whose labels occur. Other arrays are ignored.

    Raises UsageError if the file cannot be read, is damaged, lacks an array, or holds other ones.
    """
    path = Path(path)
    keys, arrays = _read_arrays(path)
    train_images, test_images = (_images(path, keys[i], arrays[keys[i]]) for i in (0, 2))
    train_labels, test_labels = (_labels(path, keys[i], arrays[keys[i]]) for i in (1, 3))
    names = arrays.get("classes")
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise UsageError(f"{path}: classes must be strings (K,), not {names.dtype} {names.shape}")
    classes = None if names is None else tuple(map(str, names))
    return ImageDataset.of_labels(train_images, train_labels, test_images, test_labels, str(path), classes)


def _read_arrays(path: Path) -> tuple[tuple[str, ...], dict[str, numpy.ndarray]]:
    """The names of the four arrays, and the arrays."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as file:
            there = [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
            keys = KERAS_KEYS if set(KERAS_KEYS) <= set(there) else KEYS
            for key in (key for key in (*keys, "classes") if key in there):
                with file.open(f"{key}.npy") as member:
                    arrays[key] = _read_member(member, key)
    except Exception as error:  # zipfile, what it unpacks by, and NumPy's reading of headers raise almost all of them
        raise UsageError(f"{path} is not a readable .npz file: {str(error)[:400]}") from error  # zipfile quotes names, however long
    if missing := [key for key in keys if key not in arrays]:
        own = f"its arrays are {listed(there)}" if there else "it holds no arrays"
        raise UsageError(f"{path} lacks the arrays {', '.join(missing)} (or {', '.join(KERAS_KEYS)}); {own}")
    return keys, arrays


def _read_member(member: IO[bytes], key: str) -> numpy.ndarray:
    """The array in a file as `numpy.save` writes it."""
    version = numpy.lib.format.read_magic(member)
    if version not in HEADERS:
        raise ValueError(f"{key} is of version {version} of the .npy format, which names of fields in other scripts need")
    shape, columns_first, dtype = HEADERS[version](member)
    if dtype.hasobject:
        raise ValueError(f"{key} holds Python objects, which would have to be unpickled")
    try:
        return read_array(member, shape[::-1], dtype).T if columns_first else read_array(member, shape, dtype)
    except ValueError as error:
        raise ValueError(f"{key} holds {error}") from error


def _images(path: Path, key: str, images: numpy.ndarray) -> numpy.ndarray:
    if images.dtype != numpy.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise UsageError(f"{path}: {key} must be uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), not {images.dtype} {images.shape}")
    return numpy.ascontiguousarray(images if images.ndim == 4 else images[..., None])


def _labels(path: Path, key: str, labels: numpy.ndarray) -> numpy.ndarray:
    if labels.dtype.kind not in "iu" or labels.shape not in ((labels.size,), (labels.size, 1)):
        raise UsageError(f"{path}: {key} must be integers (N,) or (N, 1), not {labels.dtype} {labels.shape}")
    return labels.reshape(-1).astype(numpy.int64)
