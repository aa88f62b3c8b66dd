"""The files of machine code that are kept from one run to the next.

The name of a file holds a digest of all that its machine code depends on: the source of the
package, the compiler's version, the function, the types of its arguments and the processor. So a
file is never stale. It is written under another name and renamed, so nobody ever reads half a file.
"""

import functools
import hashlib
import importlib.resources
import os
import threading
import warnings
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, InTreeCacheLocator


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def sources(package: str) -> str:
    """A digest of the source of a package whose kernels call no code outside it."""
    files = sorted(importlib.resources.files(package).iterdir(), key=lambda file: file.name)
    return digest(*(file.read_bytes() for file in files if file.name.endswith(".py")))


class CodeFiles:
    """The files of one function: one for each key, which is a signature and a processor."""

    def __init__(self, folder: str, function: str, source: str):
        self._folder, self._function, self._of_source = Path(folder), function, f"{function}.{source}."

    def is_empty(self) -> bool:
        """Whether there is no file of these sources."""
        return not any(self._folder.glob(f"{self._of_source}*"))

    def load(self, key: Any) -> Any:
        """The code, or None where there is none that can be read."""
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def save(self, key: Any, code: Any) -> None:
        """Write the file, and remove those of older sources."""
        path = self._path(key)
        unfinished = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        unfinished.write_bytes(code)
        unfinished.replace(path)
        self._remove(but=self._of_source)

    def flush(self) -> None:
        self._remove()

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._of_source}{digest(repr(key).encode())}.nbc"

    def _remove(self, but: str | None = None) -> None:
        for file in self._folder.glob(f"{self._function}.*"):
            if but is None or not file.name.startswith(but):
                file.unlink(missing_ok=True)


class ReadOnly(InTreeCacheLocator):
    """The folder __pycache__ beside the source. It is used if Numba can write to no folder."""

    def ensure_cache_path(self) -> None:
        pass


class Folders(CompileResultCacheImpl):
    """Which folder the files of a function are in: NUMBA_CACHE_DIR, or the first that Numba can write to."""

    # The base class declares this as an attribute of instances.
    _locator_classes = [*CompileResultCacheImpl._locator_classes, ReadOnly]  # noqa: RUF012


@functools.cache
def warn_once(folder: str, kernels: str) -> None:
    warnings.warn(
        f"the compiled {kernels} kernels cannot be kept in {folder}, so the next run compiles them again; "
        "set NUMBA_CACHE_DIR to a folder that can be written to",
        RuntimeWarning,
        stacklevel=1,
    )
