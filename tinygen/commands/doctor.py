"""What there is to compute with, what is missing, and the line that mends it.

    tinygen doctor

The CPU and each GPU compute a convolution, which is compared with the reference. The exit status is 1
if the CPU cannot be used, or a GPU that is there.
"""

import importlib
import os
import platform
import re
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata

import numpy
from tinygen_kernels import for_array, reference

from tinygen.backend import to_device
from tinygen.backend.driver import Driver, driver, pci_devices
from tinygen.version import __version__

TURING = (7, 5)  # the oldest compute capability that the compilers of CUDA 13 know


@dataclass
class DoctorOptions:
    pass


@dataclass(frozen=True)
class Part:
    """Something that a device needs."""

    name: str
    found: str  # with the name before it, a sentence
    cure: str = ""  # what mends it; nothing if it is as it should be


def main(options: DoctorOptions) -> None:
    devices = {"cpu": cpu_parts(), "cuda": cuda_parts()}
    rows = [("", "", "what is there", "what mends it")]
    rows += [(device, part.name, part.found, part.cure) for device, parts in devices.items() for part in parts]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    print()
    for device, parts in devices.items():
        print(f"{device}: {verdict(parts)}")
    if any(wrong(parts) for parts in devices.values()):
        raise SystemExit(1)


def verdict(parts: list[Part]) -> str:
    if part := wrong(parts):
        return f"not usable: {part.name} {part.found}; {part.cure}"
    return "ready" if parts[-1].name == "convolution" else "there is no NVIDIA GPU"


def wrong(parts: list[Part]) -> Part | None:
    """What keeps a device from being used: the first part that needs mending, unless the convolution is right all the same."""
    computes = parts[-1].name == "convolution" and not parts[-1].cure
    return None if computes else next((part for part in parts if part.cure), None)


def cpu_parts() -> list[Part]:
    return [
        Part("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        Part("tinygen", __version__),
        Part("NumPy", numpy.__version__),
        package("Numba", "numba", "pip install --upgrade numba numpy"),
        tried("threads", _threads, ""),
        tried("cache of kernels", _cache, "set NUMBA_CACHE_DIR to a folder that can be written to"),
        *_environment("NUMBA_DISABLE_JIT", "TINYGEN_KERNELS"),
        tried("convolution", lambda: computed("cpu"), "pip install --upgrade --force-reinstall numba numpy"),
    ]


def cuda_parts() -> list[Part]:
    """Where there is no GPU, nothing is tried, and nothing needs mending."""
    driver_parts, found = _driver()
    gpus = found.gpus if found else ()
    newest = 13 if not found or (found.cuda >= (13, 0) and all(gpu.capability >= TURING for gpu in gpus)) else 12
    install = f"pip install 'tinygen[{'gpu' if newest == 13 else 'gpu-cuda12'}]'"
    devices = [f"cuda:{number}" for number, _ in enumerate(gpus)]
    # It comes first, as tinygen's kernels tell Numba how to behave before they import it.
    convolution = [tried("convolution", lambda: computed(*devices), f"{install} --upgrade --force-reinstall")] if gpus else []
    packages = [
        _cupy(newest, install),
        _numba_cuda(install),
        _bindings(newest, install),
        package("cuda-core", "cuda.core", install),
        tried("NVVM", _nvvm, f"{install}, or set CUDA_HOME to the folder of CUDA's toolkit"),
        tried("nvJitLink", _nvjitlink, install),
        *_environment("NUMBA_ENABLE_CUDASIM"),
    ]
    if not gpus and not any(part.cure for part in driver_parts):
        packages = [replace(part, cure="") for part in packages]
    return [*driver_parts, *packages, *convolution]


def tried(name: str, probe: Callable[[], str], cure: str) -> Part:
    """What the probe finds, or the error that it raises: everything may be broken here."""
    try:
        return Part(name, probe())
    except Exception as error:
        return Part(name, f"fails: {_one_line(error)}", cure)


def package(name: str, module: str, cure: str) -> Part:
    """A package of Python, which is imported."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Part(name, "is not installed", cure)
    try:
        importlib.import_module(module)
    except Exception as error:
        return Part(name, f"{version} cannot be imported: {_one_line(error)}", cure)
    return Part(name, version)


def computed(*devices: str) -> str:
    """Compute a convolution on the devices. Raises ArithmeticError if one differs from the reference."""
    generator = numpy.random.default_rng(0)
    x, w = (generator.standard_normal(shape, numpy.float32) for shape in ((1, 4, 4, 2), (2, 2, 2, 3)))
    geometry = (1, 1), ((1, 1), (1, 1)), (1, 1)
    expected = reference.conv2d(x, w, None, *geometry)
    for device in devices:
        there = to_device(x, device)
        y = to_device(for_array(there).conv2d(there, to_device(w, device), None, *geometry), "cpu")
        difference = float(abs(y - expected).max() / abs(expected).max())
        if not difference < 1e-5:
            raise ArithmeticError(f"{device} differs from the reference by {difference:.2g} of the largest result")
    return f"is right on {', '.join(devices)}"


def _threads() -> str:
    from tinygen_kernels.cpu import team

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{team.threads()} on {cores} cores"


def _cache() -> str:
    from tinygen_kernels.cpu import cache, conv2d

    folder = cache.Cache(conv2d).cache_path
    with tempfile.TemporaryFile(dir=folder):
        return folder


def _environment(*names: str) -> list[Part]:
    """Variables that replace the compiled kernels by something else, where they are set."""
    found = [name for name in names if name in os.environ]
    return (
        [Part("environment", f"has {', '.join(f'{name}={os.environ[name]}' for name in found)}", f"unset {' '.join(found)}")]
        if found
        else []
    )


def _driver() -> tuple[list[Part], Driver | None]:
    """The parts that are no packages: the driver and the GPUs."""
    there = pci_devices()
    try:
        found = driver()
    except OSError as error:
        return [Part("driver", f"fails: {error}", "restart the machine; if that does not help, install NVIDIA's driver again")], None
    if found is None:
        cure = "install NVIDIA's driver; a container sees it if it is started with --gpus all" if there else ""
        return [Part("driver", "is not found", cure)], None
    serves = "serves CUDA {}.{}".format(*found.cuda)
    parts = [Part("driver", serves, "" if found.cuda >= (12, 0) else "install NVIDIA's driver 580 or later, or at least 525")]
    if found.gpus:
        return [*parts, Part("GPUs", ", ".join("{} ({}.{})".format(gpu.name, *gpu.capability) for gpu in found.gpus))], found
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if there and hidden is not None:
        return [*parts, Part("GPUs", f'are hidden by CUDA_VISIBLE_DEVICES="{hidden}"', "unset CUDA_VISIBLE_DEVICES")], found
    return [*parts, Part("GPUs", "are not found", "start the container with --gpus all, or restart the machine" if there else "")], found


def _cupy(newest: int, install: str) -> Part:
    """CuPy is one of several packages, each for one version of CUDA."""
    names = {name for each in metadata.distributions() if re.fullmatch(r"cupy(-cuda\d+x)?", name := each.metadata["Name"] or "")}
    reinstall = f"pip uninstall --yes {' '.join(sorted(names))} && {install}"
    if len(names) != 1:
        return Part("CuPy", f"is there as {' and '.join(sorted(names))}", reinstall) if names else Part("CuPy", "is not installed", install)
    (name,) = names
    part = replace(package(name, "cupy", install), name="CuPy")
    cuda = re.search(r"\d+", name)  # not in a CuPy that was compiled here
    return _for_cuda(part, int(cuda[0]), newest, reinstall) if cuda else part


def _bindings(newest: int, install: str) -> Part:
    part = package("cuda-bindings", "cuda.bindings", install)
    return part if part.cure else _for_cuda(part, int(part.found.partition(".")[0]), newest, install)


def _for_cuda(part: Part, cuda: int, newest: int, cure: str) -> Part:
    """The part, which is for this version of CUDA; the machine takes none that is newer than `newest`."""
    if part.cure or cuda <= newest:
        return part
    return replace(part, found=f"{part.found} is for CUDA {cuda}, but the driver or the GPU takes at most CUDA {newest}", cure=cure)


def _numba_cuda(install: str) -> Part:
    """numba-cuda takes the place of numba.cuda by a .pth file, which Python reads in an environment's own folder only."""
    part = package("numba-cuda", "numba.cuda", install)
    if not part.cure and "numba_cuda" not in (importlib.import_module("numba.cuda").__file__ or ""):
        cure = f"{install} in the environment of this Python, without --target and PYTHONPATH"
        return replace(part, found=f"{part.found} does not take the place of Numba's own numba.cuda", cure=cure)
    return part


def _nvvm() -> str:
    paths = importlib.import_module("numba.cuda.cuda_paths").get_cuda_paths()
    for part in ("nvvm", "libdevice"):
        if not paths[part].info:
            raise FileNotFoundError(f"numba-cuda does not find its {part}")
    return f"{paths['nvvm'].info} ({paths['nvvm'].by})"


def _nvjitlink() -> str:
    return "{}.{}".format(*importlib.import_module("cuda.bindings.nvjitlink").version())


def _one_line(error: BaseException) -> str:
    cause = error.__cause__ or error  # CuPy has a page of advice around it
    return textwrap.shorten(f"{type(cause).__name__}: {cause}", 120, placeholder=" ...")
