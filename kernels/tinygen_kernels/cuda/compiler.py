# mypy: allow-untyped-defs
"""From the Python function of a kernel to machine code: all that this package asks of a compiler.

Numba compiles a kernel to PTX, an assembly language that all NVIDIA GPUs share, for one compute
capability. NVIDIA's linker turns PTX into machine code, a *cubin*, which is kept on disk.
"""

import functools
import importlib
import inspect
import os
import re
import types
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy
from numba import cuda

from tinygen_kernels.code_files import CodeFiles, Folders, digest, sources, warn_once

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0"  # Numba's simulator runs the kernels, and nothing is compiled
_PARTS = re.compile("numba|cuda|nvidia")  # of the compiler: how the names of their packages begin

if not (SIMULATED or hasattr(numpy, "row_stack")):
    # numba-cuda 0.30 looks this function up when it is imported in full. NumPy 2.5 does not have it.
    vars(numpy)["row_stack"] = numpy.vstack
    importlib.import_module("numba.cuda.np.arrayobj")
    del vars(numpy)["row_stack"]

device: Any = cuda.jit(device=True, inline="always")  # a function that kernels call


def ptx(kernel: Callable[..., None], signature: tuple[Any, ...], capability: tuple[int, int]) -> str:
    """The kernel in PTX. The signature is the Numba types of its arguments."""
    return cuda.compile(kernel, signature, device=False, abi="numba", cc=capability)[0]


def machine_code(kernel: Callable[..., None], signature: tuple[Any, ...], capability: tuple[int, int]) -> tuple[str, bytes]:
    """The name of the kernel in its cubin, and the cubin: the one on disk, or a new one."""
    folders = Folders(kernel)
    folder = folders.locator.get_cache_path()
    files, key = CodeFiles(folder, folders.filename_base, _source(kernel.__module__)), (description(kernel), signature, capability)
    check, _, code = (files.load(key) or b"").partition(b"\n")
    if check.decode(errors="replace") != digest(code):  # none, or damaged
        text = ptx(kernel, signature, capability)
        code = _entry(text).encode() + b"\n" + _link(text, capability)
        try:
            folders.locator.ensure_cache_path()
            files.save(key, digest(code).encode() + b"\n" + code)
        except OSError:
            warn_once(folder, "GPU")
    entry, _, cubin = code.partition(b"\n")
    return entry.decode(), cubin


def description(value: Any) -> str:
    """The name of a function and, in turn, of its defaults and of what it closes over.

    Kernels of one source differ in nothing else. A function of a module without a package, whose
    source is in no digest, is described by its own text.
    """
    function = getattr(value, "py_func", value)
    if isinstance(function, types.FunctionType):
        closed_over = [cell.cell_contents for cell in function.__closure__ or ()]
        text = "" if "." in function.__module__ else inspect.getsource(function)
        return f"{function.__module__}.{function.__qualname__}{description((*closed_over, *(function.__defaults__ or ())))}{text}"
    if isinstance(value, tuple):
        return f"({', '.join(map(description, value))})"
    return value.__name__ if isinstance(value, type) else repr(value)


def _entry(text: str) -> str:
    found = re.search(r"\.entry\s+([\w$]+)", text)
    assert found, "a kernel's PTX has an entry"
    return found[1]


def _link(text: str, capability: tuple[int, int]) -> bytes:
    from cuda.core import Linker, LinkerOptions, ObjectCode

    options = LinkerOptions(arch=f"sm_{capability[0]}{capability[1]}")
    return Linker(ObjectCode.from_ptx(text.encode()), options=options).link("cubin").code


@functools.cache
def _source(module: str) -> str:
    """A digest of this package, of that of the kernel's module, and of the parts of the compiler."""
    packages = [sources(package).encode() for package in (__package__, module.rpartition(".")[0]) if package]
    parts = {f"{part.name} {part.version}" for part in metadata.distributions() if _PARTS.match(part.name or "")}
    return digest(*packages, *(part.encode() for part in sorted(parts)))
