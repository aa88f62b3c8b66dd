"""Named arrays and strings in one safetensors file, which is written whole or not at all, and never pickled.

The format: 8 bytes that give the length of a JSON header, the header, the arrays' bytes (https://github.com/huggingface/safetensors).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy
import safetensors
import safetensors.numpy

from tinygen.command_line import UsageError

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip


def save(path: str | Path, arrays: Mapping[str, numpy.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays of any memory layout and strings to path, replacing what is there. Equal contents make equal files, byte for byte.

    Whatever happens, a crash or a full disk, path holds the old file or the new one, whole. Byte order is not kept: arrays are
    stored little-endian. Raises ValueError for an array whose dtype is none of DTYPES or whose name is the format's own
    and for text that is not Unicode, TypeError for metadata that are not strings, OSError if the file cannot be written.
    """
    for name, array in arrays.items():
        if name == "__metadata__":
            raise ValueError("checkpoint: no array can be named '__metadata__', the name is taken by the file format")
        if array.dtype.name not in DTYPES:
            raise ValueError(f"checkpoint: array {name!r} is of {array.dtype}, and only {', '.join(DTYPES)} can be saved")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"checkpoint: metadata must be strings, not {key!r}: {value!r}")
    # safetensors copies memory as it lies, whatever the strides say. (ascontiguousarray would make 0-d arrays 1-d.)
    contiguous = {name: numpy.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    write_whole(Path(path), _with_metadata(safetensors.numpy.save(contiguous), metadata))


def load(path: str | Path) -> tuple[dict[str, numpy.ndarray], dict[str, str]]:
    """Read (arrays, metadata) from a safetensors file, tinygen's or another's; the arrays are new, writable and in no particular order.

    Raises UsageError if there is no such file, or it is damaged, foreign, or has an array whose dtype is none of DTYPES.
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


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """The safetensors file with metadata in its header, sorted: safetensors would write them in another order each time."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(content[8:start])}
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()  # escapes could hide what is not Unicode
    encoded += b" " * (-len(encoded) % 8)  # the format wants the arrays aligned to 8 bytes
    return len(encoded).to_bytes(8, "little") + encoded + content[start:]


def write_whole(path: Path, content: bytes) -> None:
    """Make content the file at path in one step, on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
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
