"""Images in one .npz file, as `numpy.savez` writes it: a zip file with an array in each member."""

import io
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import ImageDataset

# What zipfile, and NumPy at a header that promises what cannot be, raise at damage.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, OverflowError, MemoryError, tokenize.TokenError,
)  # fmt: skip
KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def load_npz(path: str | Path) -> ImageDataset:
    """Load the arrays named by KEYS and, if present, `classes`; ignore others. Nothing is unpickled.

    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), labels integers (N,) or (N, 1).
    `classes` is an array of strings, which the labels count from 0; without it the classes are the
    different labels in ascending order.

    Raises UsageError if the file cannot be read, is damaged, lacks an array, or holds other ones.
    """
    path = Path(path)
    arrays = _read_arrays(path, (*KEYS, "classes"))
    if missing := [key for key in KEYS if key not in arrays]:
        raise UsageError(f"{path} lacks the arrays {', '.join(missing)}")
    train_images, test_images = (_images(path, key, arrays[key]) for key in ("train_images", "test_images"))
    train_labels, test_labels = (_labels(path, key, arrays[key]) for key in ("train_labels", "test_labels"))
    if "classes" in arrays:
        names = arrays["classes"]
        if names.ndim != 1 or names.dtype.kind != "U":
            raise UsageError(f"{path}: classes must be strings (K,), not {names.dtype} {names.shape}")
    else:
        names, indices = numpy.unique(numpy.concatenate([train_labels, test_labels]), return_inverse=True)
        train_labels, test_labels = numpy.split(indices, [len(train_labels)])
    return ImageDataset(train_images, train_labels, test_images, test_labels, tuple(map(str, names)), str(path))


def _read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, numpy.ndarray]:
    """The arrays of these names. A member is read whole first, so that its checksum is compared."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as file:
            for key in keys:
                if f"{key}.npy" in file.namelist():
                    content = io.BytesIO(file.read(f"{key}.npy"))
                    arrays[key] = numpy.lib.format.read_array(content, allow_pickle=False)
                    if rest := content.read():
                        raise ValueError(f"{len(rest)} bytes follow the array {key}")
    except DAMAGED as error:
        raise UsageError(f"{path} is not a readable .npz file: {error}") from error
    return arrays


def _images(path: Path, key: str, images: numpy.ndarray) -> numpy.ndarray:
    if images.dtype != numpy.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (1,), (3,)):
        raise UsageError(f"{path}: {key} must be uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), not {images.dtype} {images.shape}")
    return numpy.ascontiguousarray(images if images.ndim == 4 else images[..., None])


def _labels(path: Path, key: str, labels: numpy.ndarray) -> numpy.ndarray:
    if labels.dtype.kind not in "iu" or labels.shape not in ((labels.size,), (labels.size, 1)):
        raise UsageError(f"{path}: {key} must be integers (N,) or (N, 1), not {labels.dtype} {labels.shape}")
    return labels.reshape(-1).astype(numpy.int64)
