"""How the C library keeps the memory of freed arrays.

A training step asks for arrays of the same sizes again and again, and new memory from the system
costs one page fault for every 4 KiB. Where the C library is glibc, importing this module tells it
to keep the memory of freed arrays for the next ones. Elsewhere the kernels keep that of their own
results (`tinygen_kernels.cpu.memory`).

The setting holds for the whole process. Whoever has set one of glibc's own variables for it,
MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or glibc.malloc in GLIBC_TUNABLES, keeps that
instead.
"""

import ctypes
import os
import platform

_GLIBC = platform.libc_ver()[0] == "glibc"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


def _keep_memory() -> None:
    """Let malloc serve arrays of up to 32 MiB, its limit, from memory that it never gives back."""
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & set(os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    if _GLIBC and not chosen:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)


def give_memory_back() -> None:
    """Give the memory of freed arrays back to the system, where the C library is glibc."""
    if _GLIBC:
        ctypes.CDLL(None).malloc_trim(0)


_keep_memory()
