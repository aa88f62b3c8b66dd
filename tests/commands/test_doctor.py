"""`tinygen doctor` on machines where everything is there, where parts are missing or broken, and on this one."""

import importlib
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from device_arrays import STAND_IN, need
from repository import ROOT

from tinygen.backend.driver import GPU, Driver
from tinygen.commands import doctor

H200 = Driver((13, 0), (GPU("NVIDIA H200", (9, 0)),))
PACKAGES = {"numba": "0.68.1", "cupy-cuda13x": "14.2.0", "numba-cuda": "0.30.4", "cuda-bindings": "13.5.0", "cuda-core": "1.2.2"}
INSTALL, INSTALL_12 = "pip install 'tinygen[gpu]'", "pip install 'tinygen[gpu-cuda12]'"


class Machine:
    """A machine with a GPU on which everything works, until a test takes something away. Its CPU is this machine's."""

    def __init__(self) -> None:
        self.driver: Driver | OSError | None = H200
        self.pci = 1
        self.packages = dict(PACKAGES)
        self.broken: dict[str, Exception] = {}
        self.numba_cuda = "/site-packages/numba_cuda/numba/cuda/__init__.py"
        self.paths: dict[str, str | None] = {"nvvm": "/site-packages/libnvvm.so", "libdevice": "/site-packages/libdevice.10.bc"}
        self.error: Exception | None = None

    def ask_driver(self) -> Driver | None:
        if isinstance(self.driver, OSError):
            raise self.driver
        return self.driver

    def version(self, name: str) -> str:
        try:
            return self.packages[name.lower()]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    def distributions(self) -> list[Any]:
        return [SimpleNamespace(metadata={"Name": name}) for name in [*self.packages, None]]

    def import_module(self, name: str) -> Any:
        if name in self.broken:
            raise self.broken[name]
        paths = {part: SimpleNamespace(by="site-packages", info=path) for part, path in self.paths.items()}
        return SimpleNamespace(__file__=self.numba_cuda, get_cuda_paths=lambda: paths, version=lambda: (13, 5))

    def computed(self, *devices: str) -> str:
        if devices != ("cpu",) and self.error:
            raise self.error
        return f"is right on {', '.join(devices)}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    parts = {"version": machine.version, "distributions": machine.distributions}
    monkeypatch.setattr(doctor, "metadata", SimpleNamespace(PackageNotFoundError=metadata.PackageNotFoundError, **parts))
    monkeypatch.setattr(doctor, "importlib", SimpleNamespace(import_module=machine.import_module))
    monkeypatch.setattr(doctor, "driver", machine.ask_driver)
    monkeypatch.setattr(doctor, "pci_devices", lambda: machine.pci)
    monkeypatch.setattr(doctor, "computed", machine.computed)
    for variable in ("CUDA_VISIBLE_DEVICES", "NUMBA_ENABLE_CUDASIM", "NUMBA_DISABLE_JIT", "TINYGEN_KERNELS"):
        monkeypatch.delenv(variable, raising=False)
    return machine


def told(capsys: pytest.CaptureFixture[str]) -> tuple[list[list[str]], list[str], int]:
    """The table without its heading, the verdicts, and the exit status."""
    try:
        doctor.main(doctor.DoctorOptions())
        status = 0
    except SystemExit as stopped:
        status = int(str(stopped.code))
    table, verdicts = capsys.readouterr().out.split("\n\n")
    return [re.split(r" {2,}", line) for line in table.splitlines()[1:]], verdicts.splitlines(), status


def test_a_machine_with_everything_is_ready(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    table, verdicts, status = told(capsys)
    assert verdicts == ["cpu: ready", "cuda: ready"] and status == 0
    assert [row for row in table if len(row) > 3] == [], "nothing needs mending"
    for row in ["driver", "serves CUDA 13.0"], ["GPUs", "NVIDIA H200 (9.0)"], ["CuPy", "14.2.0"], ["nvJitLink", "13.5"]:
        assert ["cuda", *row] in table
    assert ["cuda", "NVVM", "/site-packages/libnvvm.so (site-packages)"] in table
    assert table[-1] == ["cuda", "convolution", "is right on cuda:0"]


@pytest.mark.parametrize("driver", [None, Driver((13, 0), ())])
def test_without_a_gpu_nothing_is_wrong(machine: Machine, capsys: pytest.CaptureFixture[str], driver: Driver | None) -> None:
    machine.driver, machine.pci, machine.packages = driver, 0, {"numba": "0.68.1"}
    machine.broken = dict.fromkeys(("numba.cuda.cuda_paths", "cuda.bindings.nvjitlink"), ModuleNotFoundError("No module named 'cuda'"))
    table, verdicts, status = told(capsys)
    assert verdicts == ["cpu: ready", "cuda: there is no NVIDIA GPU"] and status == 0
    assert [row for row in table if len(row) > 3] == []
    assert ["cuda", "CuPy", "is not installed"] in table
    assert ["cuda", "nvJitLink", "fails: ModuleNotFoundError: No module named 'cuda'"] in table


def cases() -> dict[str, tuple[dict[str, Any], str]]:
    """What is different from a machine with everything, and the verdict on its GPU."""
    pascal, old = Driver((13, 0), (GPU("Tesla P100", (6, 0)),)), Driver((12, 4), H200.gpus)
    cuda12 = {**PACKAGES, "cupy-cuda12x": "14.2.0", "cuda-bindings": "12.9.10"}
    del cuda12["cupy-cuda13x"]
    only_13 = "is for CUDA 13, but the driver or the GPU takes at most CUDA 12"
    instead = f"pip uninstall --yes cupy-cuda13x && {INSTALL_12}"

    def without(name: str) -> dict[str, str]:
        return {package: version for package, version in PACKAGES.items() if package != name}

    def library(name: str) -> Exception:
        error = ImportError("=" * 80 + "\nFailed to import CuPy.")
        error.__cause__ = ImportError(f"{name}: cannot open shared object file")
        return error

    return {
        "no driver": (
            {"driver": None},
            "driver is not found; install NVIDIA's driver; a container sees it if it is started with --gpus all",
        ),
        "a broken driver": (
            {"driver": OSError("error 803, x")},
            "driver fails: error 803, x; restart the machine; if that does not help, ",
        ),
        "a driver of CUDA 11": ({"driver": Driver((11, 4), H200.gpus)}, "driver serves CUDA 11.4; install NVIDIA's driver 580 or later, "),
        "a GPU that the driver does not see": (
            {"driver": Driver((13, 0), ())},
            "GPUs are not found; start the container with --gpus all, ",
        ),
        "no CuPy": ({"packages": without("cupy-cuda13x")}, f"CuPy is not installed; {INSTALL}"),
        "no CuPy, a driver of CUDA 12": ({"packages": without("cupy-cuda13x"), "driver": old}, f"CuPy is not installed; {INSTALL_12}"),
        "a CuPy that is too new": ({"driver": old}, f"CuPy 14.2.0 {only_13}; {instead}"),
        "a GPU that is too old": ({"driver": pascal}, f"CuPy 14.2.0 {only_13}; {instead}"),
        "two CuPys": (
            {"packages": {**PACKAGES, "cupy-cuda12x": "14.2.0"}},
            f"CuPy is there as cupy-cuda12x and cupy-cuda13x; pip uninstall --yes cupy-cuda12x cupy-cuda13x && {INSTALL}",
        ),
        "a broken CuPy": (
            {"broken": {"cupy": library("libcublas.so.13")}},
            f"CuPy 14.2.0 cannot be imported: ImportError: libcublas.so.13: cannot open shared object file; {INSTALL}",
        ),
        "no numba-cuda": ({"packages": without("numba-cuda")}, f"numba-cuda is not installed; {INSTALL}"),
        "a numba-cuda that Numba does not see": (
            {"numba_cuda": "/site-packages/numba/cuda/__init__.py"},
            f"numba-cuda 0.30.4 does not take the place of Numba's own numba.cuda; {INSTALL} in the environment of this Python, ",
        ),
        "bindings that are too new": (
            {"driver": old, "packages": {**cuda12, "cuda-bindings": "13.5.0"}},
            f"cuda-bindings 13.5.0 {only_13}; {INSTALL_12}",
        ),
        "a broken cuda-core": (
            {"broken": {"cuda.core": RuntimeError("x")}},
            f"cuda-core 1.2.2 cannot be imported: RuntimeError: x; {INSTALL}",
        ),
        "no NVVM": (
            {"broken": {"numba.cuda.cuda_paths": RuntimeError("no libnvvm")}},
            f"NVVM fails: RuntimeError: no libnvvm; {INSTALL}, or set CUDA_HOME to the folder of CUDA's toolkit",
        ),
        "no libdevice": (
            {"paths": {"nvvm": "a", "libdevice": None}},
            f"NVVM fails: FileNotFoundError: numba-cuda does not find its libdevice; {INSTALL}, ",
        ),
        "no nvJitLink": ({"broken": {"cuda.bindings.nvjitlink": RuntimeError("x")}}, f"nvJitLink fails: RuntimeError: x; {INSTALL}"),
        "wrong results": ({}, f"convolution fails: ArithmeticError: cuda:0 differs; {INSTALL} --upgrade --force-reinstall"),
    }


@pytest.mark.parametrize("case", cases())
def test_what_is_wrong_is_told_with_its_cure(machine: Machine, capsys: pytest.CaptureFixture[str], case: str) -> None:
    differences, expected = cases()[case]
    vars(machine).update(differences, error=ArithmeticError("cuda:0 differs"))
    table, verdicts, status = told(capsys)
    assert verdicts[0] == "cpu: ready" and verdicts[1].startswith(f"cuda: not usable: {expected}") and status == 1
    cures = [row[-1] for row in table if len(row) == 4]
    assert verdicts[1].endswith(f"; {cures[0]}")


def test_a_gpu_that_a_variable_hides_is_told(machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine.driver = Driver((13, 0), ())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    _, verdicts, status = told(capsys)
    assert verdicts[1] == 'cuda: not usable: GPUs are hidden by CUDA_VISIBLE_DEVICES="-1"; unset CUDA_VISIBLE_DEVICES' and status == 1


@pytest.mark.parametrize(("device", "variable"), [(0, "NUMBA_DISABLE_JIT"), (1, "NUMBA_ENABLE_CUDASIM")])
def test_a_variable_that_turns_the_compiler_off_is_told(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: int, variable: str
) -> None:
    def computed(*devices: str) -> str:
        raise NotImplementedError

    monkeypatch.setattr(doctor, "computed", computed)
    monkeypatch.setenv(variable, "1")
    _, verdicts, status = told(capsys)
    assert verdicts[device].endswith(f": not usable: environment has {variable}=1; unset {variable}") and status == 1


def test_a_gpu_that_computes_is_ready_whatever_is_odd(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.packages["cupy-cuda12x"] = "14.2.0"
    table, verdicts, status = told(capsys)
    assert verdicts[1] == "cuda: ready" and status == 0
    assert [row[1] for row in table if len(row) == 4] == ["CuPy"]


def test_a_cupy_that_was_compiled_here_is_taken_as_it_is(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    del machine.packages["cupy-cuda13x"]
    machine.packages["cupy"] = "14.2.0"
    table, _, status = told(capsys)
    assert ["cuda", "CuPy", "14.2.0"] in table and status == 0


def test_a_convolution_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygen_kernels import reference

    assert doctor.computed("cpu") == "is right on cpu"
    wrong = SimpleNamespace(conv2d=lambda *arguments: reference.conv2d(*arguments) + 1e-3)
    monkeypatch.setattr(doctor, "for_array", lambda x: wrong)
    with pytest.raises(ArithmeticError, match=r"^cpu differs from the reference by "):
        doctor.computed("cpu")


def test_a_cache_that_cannot_be_written_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(dir: str) -> None:
        raise PermissionError(f"Permission denied: {dir!r}")

    monkeypatch.setattr(doctor, "tempfile", SimpleNamespace(TemporaryFile=refused))
    parts = {part.name: part for part in doctor.cpu_parts()}
    assert parts["cache of kernels"].found.startswith("fails: PermissionError: Permission denied: ")
    assert parts["cache of kernels"].cure == "set NUMBA_CACHE_DIR to a folder that can be written to"
    assert doctor.verdict(list(parts.values())) == "ready"


def test_the_program_runs_without_numba_and_says_so(tmp_path: Path) -> None:
    code = "import sys; sys.modules['numba'] = None; from tinygen.commands import program; program.run()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    version = importlib.metadata.version("numba")
    assert f"cpu: not usable: Numba {version} cannot be imported: ModuleNotFoundError: import of numba halted" in process.stdout


@pytest.mark.gpu
def test_the_gpu_of_this_machine_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    need("cuda")
    if STAND_IN in sys.modules:
        monkeypatch.setattr(doctor, "driver", lambda: H200)
    assert doctor.verdict(doctor.cuda_parts()) == "ready"
