"""The machine code of the CPU's kernels, kept from one run to the next.

Numba's own cache compiles a function anew only if the file of that function has changed. But a
kernel contains the machine code of its helpers, some of which are in other files. Numba also
numbers the files of machine code and writes their numbers into an index first. If the process is
killed then, or another one writes at the same time, the index names the code of another signature
or of an older source. In this cache, the name of a file holds all that its machine code depends on.
"""

import contextlib
import functools
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from tinygen_kernels.code_files import CodeFiles, Folders, ReadOnly, digest, sources, warn_once

_SOURCES = sources(__package__)


class _Files(CodeFiles):
    def load(self, key: Any) -> Any:
        code = super().load(key)
        return code if code is None else pickle.loads(code)

    def save(self, key: Any, code: Any) -> None:
        super().save(key, dumps(code))


class Cache(FunctionCache):
    """The cache of one function. If it is damaged or cannot be written, the function still runs."""

    _impl_class = Folders

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        source = digest(_SOURCES.encode(), numba.__version__.encode(), repr(self._impl.locator.get_source_stamp()).encode())
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, source)

    def can_be_filled(self) -> bool:
        """Whether it is empty, and keeps what is compiled."""
        return self._cache_file.is_empty() and not isinstance(self._impl.locator, ReadOnly)

    def load_overload(self, signature: Any, context: Any) -> Any:
        code = None
        try:
            # Numba calls context.refresh() here, which also loads all that its compiler knows. That takes 10 MB
            # and a tenth of a second, and machine code needs only Numba's runtime.
            rtsys.initialize(context)
            with self._guard_against_spurious_io_errors():
                code = self._load_overload(signature, context)
        except Exception:  # of a damaged file; which one depends on the damage
            with contextlib.suppress(OSError):
                self.flush()
        if code is None:
            _tell_of_compiling()
        return code

    def save_overload(self, signature: Any, result: Any) -> None:
        try:
            super().save_overload(signature, result)
        except OSError:
            warn_once(self.cache_path, "CPU")


@functools.cache  # so once in a process
def _tell_of_compiling() -> None:
    print("tinygen: compiling the CPU kernels for this machine, which takes the first run about a quarter of a minute", file=sys.stderr)
