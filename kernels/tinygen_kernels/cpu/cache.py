"""The machine code that Numba keeps from one run to the next.

Numba recompiles a function only if the file of that function has changed. But a kernel contains the
machine code of its helpers, some of which are in other files. So this cache recompiles every kernel
as soon as any file of this package has changed.
"""

import contextlib
import functools
import hashlib
import importlib.resources
import warnings
from collections.abc import Callable
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator


def _digest() -> str:
    """A digest of the source of this package. Kernels call no code outside it."""
    files = sorted(importlib.resources.files(__package__).iterdir(), key=lambda file: file.name)
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files if file.name.endswith(".py"))).hexdigest()


_SOURCES = _digest()


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
        self._cache_file._source_stamp = self._cache_file._source_stamp, _SOURCES

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
