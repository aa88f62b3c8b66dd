"""Images that stay on disk: decoded when a batch needs them, by threads, ahead of the batch."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy

READ_AHEAD = 64  # images

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item], ahead: int = READ_AHEAD) -> Iterator[Result]:
    """read(item) of each item, in their order, computed by threads up to `ahead` items in advance.

    An exception of read is raised where its result would have been.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Streamed:
    """uint8 images (N, H, W, C) in files, which are read whenever they are needed.

    They stand for the array of all images, with its shape and dtype. Slices and arrays of rows give
    the images that an array would give, still on disk; `numpy.asarray` reads them.

    paths    the files
    read     read(path) gives the image of a file, (H, W, C)
    shape    (H, W, C)
    """

    dtype = numpy.dtype(numpy.uint8)
    ndim = 4

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], numpy.ndarray], shape: tuple[int, ...]) -> None:
        self.paths, self.read = paths, read
        self.shape = (len(paths), *shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: slice | numpy.ndarray) -> "Streamed":
        """These images, still on disk."""
        return Streamed([self.paths[i] for i in numpy.arange(len(self))[rows].tolist()], self.read, self.shape[1:])

    def __array__(self, dtype: object = None, copy: bool | None = None) -> numpy.ndarray:
        """All images, in memory. Raises ValueError if the array must not be a copy."""
        if copy is False:
            raise ValueError("streamed images have to be read into a new array")
        images = list(read_ahead(self.read, self.paths))
        return numpy.stack(images) if images else numpy.empty(self.shape, self.dtype)

    def map(self, change: Callable[[numpy.ndarray], numpy.ndarray]) -> "Streamed":
        """Each image changed as it is read. `change` takes and gives images (N, H, W, C)."""
        read = self.read
        shape = change(numpy.zeros((1, *self.shape[1:]), self.dtype)).shape[1:]
        return Streamed(self.paths, lambda path: change(read(path)[None])[0], shape)

    def batches(self, rows: Iterable[numpy.ndarray], ahead: int) -> Iterator[numpy.ndarray]:
        """The images of each array of rows, in memory, decoded up to `ahead` images in advance."""
        sizes: deque[int] = deque()

        def paths() -> Iterator[Path]:
            for batch in rows:
                sizes.append(len(batch))
                yield from (self.paths[i] for i in batch.tolist())

        images = read_ahead(self.read, paths(), ahead)
        for first in images:
            yield numpy.stack([first, *islice(images, sizes.popleft() - 1)])


Images = numpy.ndarray | Streamed
