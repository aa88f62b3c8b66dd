"""IDX, the file format of MNIST and its descendants: a header that states type and shape, then the numbers, big-endian, row-major.

    bytes 0-1       zero
    byte  2         the type of the elements, a key of ELEMENT_TYPES
    byte  3         the number of dimensions
    4 bytes each    the sizes of the dimensions, unsigned
    the rest        the elements

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits" (1998).
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | Path) -> numpy.ndarray:
    """Read an IDX file, gzipped or plain (its content tells, not its name), into a new array of the machine's own byte order.

    Raises ValueError if the file is damaged or not IDX, OSError (FileNotFoundError, ...) if it cannot be opened.
    """
    content = _read_unzipped(Path(path))
    if len(content) < 4:
        raise ValueError(f"{path} holds {len(content)} bytes, fewer than the 4 that begin an IDX file")
    if content[:2] != b"\0\0":
        raise ValueError(f"{path} begins with the bytes 0x{content[:2].hex()} where an IDX file has 0x0000")
    code, dimensions = content[2], content[3]
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{known:02x}" for known in ELEMENT_TYPES)
        raise ValueError(f"{path} has elements of type 0x{code:02x}, and IDX knows only {known}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{path} holds {len(content)} bytes, fewer than the {start} of a header of {dimensions} dimensions")
    shape = tuple(numpy.frombuffer(content[4:start], ">u4").tolist())
    stored = numpy.dtype(ELEMENT_TYPES[code])
    promised = math.prod(shape) * stored.itemsize
    if len(content) - start != promised:
        raise ValueError(
            f"{path} holds {len(content) - start} bytes of data where its header, {shape} of {stored.name}, promises {promised}"
        )
    try:
        elements = numpy.frombuffer(content, stored, offset=start).reshape(shape)
    except ValueError as error:
        raise ValueError(f"{path} has the shape {shape}, which is beyond NumPy: {error}") from error
    return elements.astype(stored.newbyteorder("="))


def _read_unzipped(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}, {len(content)} bytes, is a damaged gzip file: {error}") from error
