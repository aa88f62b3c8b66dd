"""What NVIDIA's driver says of itself and of the GPUs. No package is needed to ask it."""

import ctypes
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True)
class GPU:
    name: str
    capability: tuple[int, int]


@dataclass(frozen=True)
class Driver:
    cuda: tuple[int, int]  # the newest version of CUDA that it serves
    gpus: tuple[GPU, ...]  # without those that CUDA_VISIBLE_DEVICES hides


def driver() -> Driver | None:
    """The driver, or None where there is none. Raises OSError if it does not work."""
    try:
        library: Any = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    _checked(library, library.cuDriverGetVersion(ctypes.byref(version)))
    if (status := library.cuInit(0)) != _NO_DEVICE:
        _checked(library, status)
        _checked(library, library.cuDeviceGetCount(ctypes.byref(count)))
    cuda = version.value // 1000, version.value % 1000 // 10
    return Driver(cuda, tuple(_gpu(library, number) for number in range(count.value)))


def pci_devices() -> int:
    """The number of NVIDIA's GPUs on the PCI bus, with or without a driver. Only Linux lists them."""
    found = 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        with suppress(OSError):
            display = (device / "class").read_text().startswith("0x03")
            found += display and (device / "vendor").read_text().strip() == "0x10de"
    return found


def _gpu(library: Any, number: int) -> GPU:
    device, name, value = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_int()
    _checked(library, library.cuDeviceGet(ctypes.byref(device), number))
    _checked(library, library.cuDeviceGetName(name, len(name), device))
    capability = []
    for attribute in _CAPABILITY:
        _checked(library, library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
        capability.append(value.value)
    return GPU(name.value.decode(errors="replace"), (capability[0], capability[1]))


def _checked(library: Any, status: int) -> None:
    if status:
        text = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(text))
        raise OSError(f"error {status}, {(text.value or b'unknown').decode()}")
