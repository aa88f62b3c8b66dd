import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tinygen_kernels
from device_arrays import STAND_IN, need
from image_files import write_idx

from tinygen import backend
from tinygen.backend import to_device
from tinygen.command_line import UsageError
from tinygen.data import load_fashion_mnist, load_names, load_text


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; what is missing for one of them is the reason why its tests are skipped."""
    try:
        to_device(numpy.zeros(1), request.param)
    except UsageError as reason:
        pytest.skip(str(reason))
    return request.param


@pytest.fixture(scope="session")
def cuda_kernels() -> types.ModuleType:
    """tinygen_kernels.cuda. The test is skipped if there is neither a GPU nor its stand-in."""
    need("cuda")
    from tinygen_kernels import cuda

    return cuda


@pytest.fixture
def fast_kernels(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the stand-in, the CPU's kernels replace the simulated ones, which are slow."""
    if STAND_IN in sys.modules:
        from tests.stand_in.kernels import cpu_kernels

        monkeypatch.setattr(tinygen_kernels, "cuda", cpu_kernels())


@pytest.fixture
def fast_device(device: str, request: pytest.FixtureRequest) -> str:
    """Each device in turn, with `fast_kernels`."""
    if device != "cpu":
        request.getfixturevalue("fast_kernels")
    return device


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of arrays of each replay."""
    found: list[int] = []

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda captured, *arguments: (found.append(len(arguments)), call(captured, *arguments))[1]

    for captured in (backend.Captured, backend.CapturedOnHost):
        monkeypatch.setattr(captured, "__call__", counting(captured.__call__))
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose files a property may overwrite at each example."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def scratch_file(scratch: Path) -> Path:
    """A file that a property may overwrite at each example."""
    return scratch / "scratch"


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's own: 96 training and 30 test images, one file of them not zipped."""
    folder = tmp_path_factory.mktemp("few_images")
    data = load_fashion_mnist()
    write_idx(folder / "train-images-idx3-ubyte.gz", data.train_images[::41, :, :, 0][:96])
    write_idx(folder / "train-labels-idx1-ubyte", data.train_labels[::41][:96].astype(numpy.uint8))
    write_idx(folder / "t10k-images-idx3-ubyte.gz", data.test_images[::16, :, :, 0][:30])
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", data.test_labels[::16][:30].astype(numpy.uint8))
    return folder


@pytest.fixture(scope="session")
def few_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the user's own: 96 training and 11 test names."""
    file = tmp_path_factory.mktemp("few_names") / "names.txt"
    file.write_text("\n".join(load_names().train[::43][:107]))
    return file


@pytest.fixture(scope="session")
def few_data(few_images: Path, few_names: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The user's own data for an example; the text has 96 windows for training."""
    text = tmp_path_factory.mktemp("few_bytes") / "text.txt"
    text.write_bytes(load_text().train[:3460].tobytes())
    own = {"attention_names": few_names, "transformer": text}
    return lambda example: own.get(example, few_images)


def pytest_report_header() -> str:
    return "tinygen: in a fresh clone the first tests wait for the kernels to be compiled, once, for about a minute"
