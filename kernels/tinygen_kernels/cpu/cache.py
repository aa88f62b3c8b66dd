"""The machine code that is kept from one run to the next.

Numba's own cache compiles a function anew only if the file of that function has changed. But a
kernel contains the machine code of its helpers, some of which are in other files. Numba also
numbers the files of machine code and writes their numbers into an index first. If the process is
killed then, or another one writes at the same time, the index names the code of another signature
or of an older source. In this cache, the name of a file holds all that its machine code depends on.
"""

import contextlib
import functools
import hashlib
import importlib.resources
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator
from numba.core.serialize import dumps


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def _package_digest() -> str:
    """A digest of the source of this package. Kernels call no code outside it."""
    files = sorted(importlib.resources.files(__package__).iterdir(), key=lambda file: file.name)
    return _digest(*(file.read_bytes() for file in files if file.name.endswith(".py")))


_SOURCES = _package_digest()


class _Files:
    """The files of one function: one for each signature and processor."""

    def __init__(self, folder: str, function: str, source: str):
        self._folder, self._function, self._of_source = Path(folder), function, f"{function}.{source}."

    def load(self, key: Any) -> Any:
        try:
            return pickle.loads(self._path(key).read_bytes())
        except FileNotFoundError:
            return None

    def save(self, key: Any, code: Any) -> None:
        """Write the file, and remove those of older sources."""
        path = self._path(key)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(dumps(code))
        unfinished.replace(path)  # in one step, so that nobody ever reads half a file
        self._remove(but=self._of_source)

    def flush(self) -> None:
        self._remove()

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._of_source}{_digest(repr(key).encode())}.nbc"

    def _remove(self, but: str | None = None) -> None:
        for file in self._folder.glob(f"{self._function}.*"):
            if but is None or not file.name.startswith(but):
                file.unlink(missing_ok=True)


class _ReadOnly(InTreeCacheLocator):
    """The folder __pycache__ beside the source. It is used if Numba can write to no folder."""

    def ensure_cache_path(self) -> None:
        pass


class _Folders(CompileResultCacheImpl):
    # The base class declares this as an attribute of instances.
    _locator_classes = [*CompileResultCacheImpl._locator_classes, _ReadOnly]  # noqa: RUF012


class Cache(FunctionCache):
    """The cache of one function. If it is damaged or cannot be written, the function still runs."""

    _impl_class = _Folders

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        source = _digest(_SOURCES.encode(), numba.__version__.encode(), repr(self._impl.locator.get_source_stamp()).encode())
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, source)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # of a damaged file; which one depends on the damage
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        try:
            super().save_overload(signature, result)
        except OSError:
            _warn_once(self.cache_path)


@functools.cache
def _warn_once(folder: str) -> None:
    warnings.warn(
        f"the compiled CPU kernels cannot be kept in {folder}, so the next run compiles them again; "
        "set NUMBA_CACHE_DIR to a folder that can be written to",
        RuntimeWarning,
        stacklevel=1,
    )
