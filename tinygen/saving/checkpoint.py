"""Named arrays and strings in one safetensors file, written atomically and never pickled.

The format (https://github.com/huggingface/safetensors):

    8 bytes    the length of the header, little-endian
    header     JSON: {"__metadata__": {name: text, ...},
                      name: {"dtype": ..., "shape": ..., "data_offsets": [begin, end]}, ...}
    the rest   the arrays' bytes, little-endian, in C order; offsets are relative to this point
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import safetensors

from tinygen.command_line import UsageError

# The format's name of each dtype that it shares with NumPy.
DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16", "uint32": "U32",
    "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip


def save(path: str | Path, arrays: Mapping[str, numpy.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays of any memory layout and strings to path, replacing the file that is there.

    Equal contents give equal files, byte for byte. After a crash or on a full disk, path holds
    either the old file or the new one, complete. Memory: an array is copied only if it is not
    contiguous or not little-endian, one at a time. The byte order is not preserved.

    Raises ValueError for an array whose dtype is not in DTYPES or whose name is `__metadata__`, and
    for text that is not Unicode; TypeError for metadata that are not strings; OSError if the file
    cannot be written.
    """
    # Large elements first, so that every array is aligned to its element size.
    ordered = sorted(((name, numpy.asarray(array)) for name, array in arrays.items()), key=lambda item: (-item[1].itemsize, item[0]))
    header = _header(ordered, metadata or {})
    with replacing(Path(path)) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _, array in ordered:
            file.write(numpy.asarray(array, array.dtype.newbyteorder("<"), order="C").data)  # ascontiguousarray makes 0-d arrays 1-d


def load(path: str | Path) -> tuple[dict[str, numpy.ndarray], dict[str, str]]:
    """Read (arrays, metadata) from a safetensors file, whichever program wrote it.

    The arrays are new, writable and in no particular order. Raises UsageError if the file does not
    exist, is damaged, has another format, or has an array whose dtype is not in DTYPES.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    # The last three come from dtypes and shapes that the format allows and NumPy does not.
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"checkpoint: {path} cannot be loaded: {error}") from error
    # NumPy knows bfloat16 and the like once another package has taught it.
    if strange := [f"{name} is of {array.dtype}" for name, array in arrays.items() if array.dtype.name not in DTYPES]:
        raise UsageError(f"checkpoint: {path} cannot be loaded: {', '.join(strange)}, and only {', '.join(DTYPES)} can be")
    return arrays, metadata


def _header(arrays: Iterable[tuple[str, numpy.ndarray]], metadata: Mapping[str, str]) -> bytes:
    """The JSON header of a file that holds the arrays one after the other."""
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"checkpoint: metadata must be strings, not {key!r}: {value!r}")
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name, array in arrays:
        if name == "__metadata__":
            raise ValueError("checkpoint: no array can be named '__metadata__', the name is taken by the file format")
        if array.dtype.name not in DTYPES:
            raise ValueError(f"checkpoint: array {name!r} is of {array.dtype}, and only {', '.join(DTYPES)} can be saved")
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": array.shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()  # escapes would hide text that is not Unicode
    return encoded + b" " * (-len(encoded) % 8)  # the format aligns the arrays to 8 bytes


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at path by content, atomically; it is on disk when this returns."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file that atomically replaces path at the end of the block, unless it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
