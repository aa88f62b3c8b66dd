"""Images as files in the forms that users bring."""

import gzip
from pathlib import Path

import numpy
from PIL import Image

IDX_CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def as_idx(array: numpy.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    elements = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, IDX_CODES[array.dtype.name], array.ndim]) + sizes + elements


def write_idx(path: Path, array: numpy.ndarray) -> None:
    """A file of bytes, compressed if its name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = as_idx(array.astype(numpy.uint8))
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def random_images(seed: int, *shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(seed).integers(0, 256, shape, dtype=numpy.uint8)


def random_labels(seed: int, count: int) -> numpy.ndarray:
    """A label of every class, so that each has a training image, before random ones."""
    return numpy.append(numpy.arange(10), numpy.random.default_rng(seed).integers(0, 10, count))[:count]


def write_batch(path: Path, images: numpy.ndarray, labels: numpy.ndarray) -> None:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    path.write_bytes(numpy.concatenate([labels[:, None].astype(numpy.uint8), planes], axis=1).tobytes())


def write_cifar10(folder: Path, sizes: tuple[int, ...] = (10, 1, 3)) -> Path:
    """A batch of each size, the last one for testing."""
    folder.mkdir(exist_ok=True)
    names = [f"data_batch_{i + 1}.bin" for i in range(len(sizes) - 1)] + ["test_batch.bin"]
    for seed, (name, size) in enumerate(zip(names, sizes, strict=True)):
        write_batch(folder / name, random_images(seed, size, 32, 32, 3), random_labels(seed, size))
    return folder


def write_image(path: Path, image: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_classes(folder: Path, counts: dict[str, int], *shape: int) -> dict[str, list[numpy.ndarray]]:
    """A folder of images for each class, which are returned."""
    classes = {name: list(random_images(seed, count, *(shape or (4, 5, 3)))) for seed, (name, count) in enumerate(counts.items())}
    for name, images in classes.items():
        for i, image in enumerate(images):
            write_image(folder / name / f"{i:03}.png", image)
    return classes
