"""How the C library keeps the memory of freed arrays.

Where the C library is glibc, importing this module tells it to keep the memory of freed arrays for the next ones, which a training step
asks for in the same sizes again and again: new memory from the system is paid for with one page fault for every 4 KiB. Elsewhere the
kernels keep that of their own results (`tinygen_kernels.cpu.memory`).
"""

import ctypes
import platform


def _keep_memory() -> None:
    """Have malloc serve arrays of up to 32 MiB, the most that it takes, from memory that it never gives back."""
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 32 * 2**20)


_keep_memory()
