"""How the functions of this package are compiled.

Numba optimises a function when it has compiled it, and once more, as a part, in each function that
calls it. A kernel with its helpers would be optimised four times that way, for nothing: the last
time counts. Here functions that Python does not call are optimised as parts only, which halves the
time that the first run takes to compile.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.extending import register_jitable

from tinygen_kernels.cpu.cache import Cache


class _Part(JITCodeLibrary):
    """The code of a function as it is linked into others: neither optimised nor translated into machine code by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # so Python has nothing to call

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Nothing: the environment holds what Python needs for a call."""


class _Whole(JITCodeLibrary):
    """The code of a function that Python calls. Since nothing links it, names are all that is kept of it beside machine code."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.enable_object_caching()

    def _get_module_for_linking(self) -> Any:
        names = [function.name for function in self.get_defined_functions()]
        return llvm.parse_assembly("\n".join(f'define void @"{name}"() {{ ret void }}' for name in names))


class PartCompiler(Compiler):
    """Compiles functions that only compiled functions call. Numba's parameters."""

    def __init__(self, typingctx: Any, targetctx: Any, _library: Any, args: Any, return_type: Any, flags: Any, locals: Any):
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typingctx, targetctx, _Part(targetctx.codegen(), "part"), args, return_type, flags, locals)


class _WholeCompiler(Compiler):
    def __init__(self, typingctx: Any, targetctx: Any, _library: Any, *others: Any):
        super().__init__(typingctx, targetctx, _Whole(targetctx.codegen(), "kernel"), *others)


# Decorator of a function that kernels call. The function is compiled into each of them.
helper = functools.cache(register_jitable(error_model="numpy", pipeline_class=PartCompiler))


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function, compiled at its first call. The machine code is kept for the next run."""
    dispatcher: Any = numba.njit(function, error_model="numpy", pipeline_class=_WholeCompiler, **options)
    dispatcher._cache = Cache(function)
    return dispatcher
