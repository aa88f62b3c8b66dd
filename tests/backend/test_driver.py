"""What the driver's library says, by a library that says it."""

import ctypes
from pathlib import Path
from typing import Any

import pytest

from tinygen.backend import driver as module
from tinygen.backend.driver import GPU, Driver, driver, pci_devices


class Library:
    """libcuda with two GPUs, by the signatures of CUDA's driver API."""

    def __init__(self, started: int = 0) -> None:
        self.started = started  # what cuInit returns

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12040
        return 0

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.started

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = 40 + number
        return 0

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:
        name.value = {40: b"NVIDIA H200", 41: b"Tesla P100"}[device.value][: length - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = {(40, 75): 9, (40, 76): 0, (41, 75): 6, (41, 76): 1}[device.value, attribute]
        return 0

    def cuGetErrorString(self, status: int, text: Any) -> int:
        text._obj.value = {803: b"system has unsupported display driver / cuda driver combination"}.get(status)
        return 0


@pytest.mark.parametrize(("started", "gpus"), [(0, (GPU("NVIDIA H200", (9, 0)), GPU("Tesla P100", (6, 1)))), (100, ())])
def test_the_driver_tells_its_cuda_and_the_gpus(started: int, gpus: tuple[GPU, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library(started))
    assert driver() == Driver((12, 4), gpus)


@pytest.mark.parametrize(("started", "says"), [(803, "error 803, system has unsupported display driver"), (9, "error 9, unknown")])
def test_a_driver_that_does_not_work_says_why(started: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library(started))
    with pytest.raises(OSError, match=f"^{says}"):
        driver()


def test_without_a_library_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert driver() is None


def test_gpus_are_found_on_the_bus_without_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, device in {"gpu": ("0x030200", "0x10de"), "sound": ("0x040300", "0x10de"), "other": ("0x030000", "0x1002")}.items():
        (tmp_path / name).mkdir()
        for file, content in zip(("class", "vendor"), device, strict=True):
            (tmp_path / name / file).write_text(f"{content}\n")
    (tmp_path / "gone").mkdir()
    monkeypatch.setattr(module, "Path", lambda path: tmp_path)
    assert pci_devices() == 1
