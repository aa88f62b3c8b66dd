"""Named arrays and strings in one safetensors file, written atomically and never pickled.

The format (https://github.com/huggingface/safetensors):

    8 bytes    the length of the header, little-endian
    header     JSON: {"__metadata__": {name: text, ...},
                      name: {"dtype": ..., "shape": ..., "data_offsets": [begin, end]}, ...}
    the rest   the arrays' bytes, little-endian, in C order; offsets are relative to this point

One of the metadata, CHECKSUM, is the SHA-256 of all else in the file. It tells a damaged file, whose
arrays may look sound, from a whole one. Files of other programs have none.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import safetensors

from tinygen.command_line import UsageError

CHECKSUM = "tinygen/sha256"

# The format's name of each dtype that it shares with NumPy.
DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16", "uint32": "U32",
    "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip


class Damaged(UsageError):
    """A file that is there, but does not hold what was saved in it."""


def save(
    path: str | Path, arrays: Mapping[str, numpy.ndarray], metadata: Mapping[str, str] | None = None, previous: Path | None = None
) -> None:
    """Write arrays of any memory layout and strings to path, replacing the file that is there.

    Equal contents give equal files, byte for byte. After a crash or on a full disk, path holds
    either the old file or the new one, complete. `previous` is where the old file is kept. Memory:
    an array is copied only if it is not contiguous or not little-endian, one at a time. The byte
    order is not preserved.

    Raises ValueError for an array whose dtype is not in DTYPES or whose name is `__metadata__`, for
    text that is not Unicode, and for metadata named CHECKSUM; TypeError for metadata that are not
    strings; OSError if the file cannot be written.
    """
    metadata = metadata or {}
    if CHECKSUM in metadata:
        raise ValueError(f"checkpoint: no metadata can be named {CHECKSUM!r}, the name is taken by the checksum")
    ordered = _ordered(arrays)
    header = _header(ordered, {**metadata, CHECKSUM: _checksum(ordered, metadata)})
    with replacing(Path(path), previous) as file:
        file.write(header)
        for _, array in ordered:
            file.write(_content(array))


def load(path: str | Path) -> tuple[dict[str, numpy.ndarray], dict[str, str]]:
    """Read (arrays, metadata) from a safetensors file, whichever program wrote it.

    The arrays are new, writable and in no particular order. Raises UsageError if the file cannot be
    opened, has another format, or has an array whose dtype is not in DTYPES; Damaged, which is a
    UsageError, if it is not whole or does not have its checksum.
    """
    try:
        with open(path, "rb"):  # safetensors says of every file that it cannot open that it does not exist
            pass
    except OSError as error:
        raise UsageError(f"checkpoint: {path} cannot be loaded: {error.strerror}") from error
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    # The last three come from dtypes and shapes that the format allows and NumPy does not.
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise Damaged(f"checkpoint: {path} cannot be loaded: {error}") from error
    # NumPy knows bfloat16 and the like once another package has taught it.
    if strange := [f"{name} is of {array.dtype}" for name, array in arrays.items() if array.dtype.name not in DTYPES]:
        raise UsageError(f"checkpoint: {path} cannot be loaded: {', '.join(strange)}, and only {', '.join(DTYPES)} can be")
    if metadata.pop(CHECKSUM, None) not in (None, _checksum(_ordered(arrays), metadata)):
        raise Damaged(f"checkpoint: {path} cannot be loaded: it is damaged, its contents do not have their checksum")
    return arrays, metadata


def _ordered(arrays: Mapping[str, numpy.ndarray]) -> list[tuple[str, numpy.ndarray]]:
    """Large elements first, so that every array is aligned to its element size."""
    return sorted(((name, numpy.asarray(array)) for name, array in arrays.items()), key=lambda item: (-item[1].itemsize, item[0]))


def _content(array: numpy.ndarray) -> memoryview:
    """The bytes of an array in the file."""
    return numpy.asarray(array, array.dtype.newbyteorder("<"), order="C").data  # ascontiguousarray makes 0-d arrays 1-d


def _checksum(arrays: Iterable[tuple[str, numpy.ndarray]], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the file that would hold the arrays and metadata."""
    total = hashlib.sha256(_header(arrays, metadata))
    for _, array in arrays:
        total.update(_content(array))
    return total.hexdigest()


def _header(arrays: Iterable[tuple[str, numpy.ndarray]], metadata: Mapping[str, str]) -> bytes:
    """The header, behind its length, of a file that holds the arrays one after the other."""
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
    encoded += b" " * (-len(encoded) % 8)  # the format aligns the arrays to 8 bytes
    return len(encoded).to_bytes(8, "little") + encoded


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at path by content, atomically; it is on disk when this returns."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A temporary file that atomically replaces path at the end of the block, unless it fails.

    The file that was at path is then kept as `previous`. An OSError names path.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, previous)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # in a folder that has become read-only; the next start removes it
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _keep(path: Path, previous: Path) -> None:
    """Make `previous` another name of the file at path, or its only name where a file has but one."""
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:
        os.replace(path, previous)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote.

    No other process may be writing to the folder.
    """
    for path in folder.glob(".*.[0-9]*.tmp"):
        path.unlink(missing_ok=True)
