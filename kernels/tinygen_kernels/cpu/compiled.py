"""How the functions of this package are compiled."""

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.extending import register_jitable

from tinygen_kernels.cpu.cache import Cache

# Decorator of a function that kernels call. The function is compiled into each of them.
helper = functools.cache(register_jitable(error_model="numpy"))


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function, compiled at its first call. The machine code is kept for the next run."""
    dispatcher: Any = numba.njit(function, error_model="numpy", **options)
    dispatcher._cache = Cache(function)
    return dispatcher
