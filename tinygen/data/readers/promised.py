"""Reading as many bytes as a file's header promises."""

import math
from io import BufferedIOBase
from typing import IO

import numpy

CHUNK = 2**20  # bytes read at once


def read_array(file: BufferedIOBase | IO[bytes], shape: tuple[int, ...], dtype: numpy.dtype) -> numpy.ndarray:
    """A new array of this shape and dtype from the rest of a file, which must be as long as that.

    A damaged header may promise what no memory holds, and a few zipped bytes may unpack to any
    number. So memory is taken only for bytes that are there, and no more are read than the array
    has, and one. The file is read to its end, where unzipping compares checksums.

    Raises ValueError if there are more or fewer bytes, or if NumPy has no such arrays.
    """
    promised = math.prod(shape) * dtype.itemsize
    content = bytearray()
    while len(content) <= promised and (chunk := file.read(min(CHUNK, promised + 1 - len(content)))):
        content += chunk
    if len(content) != promised:
        there = f"more than {promised}" if len(content) > promised else f"{len(content)}"
        raise ValueError(f"{there} bytes of data where its header, {shape} of {dtype.name}, promises {promised}")
    try:
        return numpy.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:
        raise ValueError(f"the shape {shape} of {dtype.name}, which is beyond NumPy: {error}") from error
