"""How the functions of this package are compiled.

Numba optimises each function by itself, and again with every function that calls it. Only the last
time counts, which is that of the function that Python calls. So here all others are *parts*, which
are optimised nowhere but inside of it, and compiling takes 0.7 of the time.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.errors import TypingError
from numba.extending import register_jitable

from tinygen_kernels.cpu.cache import Cache


class _Part(JITCodeLibrary):
    """The code of a part, which is linked into others, and never becomes machine code by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0  # so Python has nothing to call

    @property
    def codegen(self) -> Any:
        return self  # for Numba calls library.codegen.set_env

    def set_env(self, name: str, environment: Any) -> None:
        """Set the variable with what `print` and exceptions need. It is defined here, since a part has no machine code of its own."""
        codegen: Any = self._codegen
        if not codegen._engine.is_symbol_defined(name):
            module = llvm.parse_assembly(f'@"{name}" = common global ptr null')
            module.data_layout = codegen._data_layout
            codegen._engine.add_module(module)
        codegen._engine.finalize_object()
        codegen.set_env(name, environment)


class _Whole(JITCodeLibrary):
    """The code of a function that Python calls. Nothing may link it, so the cache holds its machine code and names, and no LLVM code."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.enable_object_caching()

    def _get_module_for_linking(self) -> Any:
        names = [function.name for function in self.get_defined_functions()]
        return llvm.parse_assembly("\n".join(f'define void @"{name}"() {{ ret void }}' for name in names))


class PartCompiler(Compiler):
    """Compiles a part, without the code by which Python and C would call it."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.flags.no_cpython_wrapper = self.state.flags.no_cfunc_wrapper = True
        self.state.library = _Part(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


class _WholeCompiler(Compiler):
    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.library = _Whole(self.state.targetctx.codegen(), func.__qualname__)
        return super().compile_extra(func)


# Decorator of a function that kernels call. The function is compiled into each of them.
helper = functools.cache(register_jitable(error_model="numpy", pipeline_class=PartCompiler))


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function, compiled at its first call. The machine code is kept for the next run.

    Compiled functions cannot call it. Numba then raises a TypingError.
    """
    dispatcher: Any = numba.njit(function, error_model="numpy", pipeline_class=_WholeCompiler, **options)

    def refuse(_args: Any, _kws: Any) -> None:
        raise TypingError(f"{function.__qualname__} is `compiled`, so only Python can call it; mark it with `@helper` instead")

    dispatcher.get_call_template = refuse
    dispatcher._cache = Cache(function)
    return dispatcher
