"""A lock that one process holds at a time, and that its death frees."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

from tinygen.command_line import UsageError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock that is the file at path. The file exists only that long, or until the next
    process holds the lock if this one is killed.

    On a file system that has no locks, none is held. Raises UsageError with the text `refusal` if
    another process holds the lock, and OSError if the file cannot be made.
    """
    file = _open_locked(path, refusal)
    while not _is_at(file, path):  # whoever held the lock has removed the file since it was opened
        file.close()
        file = _open_locked(path, refusal)
    with file:
        try:
            yield
        finally:
            if _is_at(file, path):
                with suppress(PermissionError):  # Windows removes no open file
                    path.unlink()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        _open_locked(path, "", "rb").close()
    except FileNotFoundError:
        return False
    except UsageError:
        return True
    return False


def _open_locked(path: Path, refusal: str, mode: Literal["ab", "rb"] = "ab") -> BinaryIO:
    file = open(path, mode)  # noqa: SIM115
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            file.close()
            raise UsageError(refusal) from None
    return file


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether path is the name of this open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
