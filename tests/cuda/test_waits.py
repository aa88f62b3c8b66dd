"""A step of training starts work on the device and goes on: only the progress bar, now and then, waits for numbers."""

import functools
import io
from pathlib import Path
from typing import Any

import numpy
import pytest
from test_cuda_training import train
from test_examples import EXAMPLES, OF_NAMES, write_idx
from tqdm import tqdm

import tinygen.functional as F
from tinygen import optim, training
from tinygen.data import Loader, load_fashion_mnist, load_names

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels")]

STEPS = 25


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many batches of four as there are steps, and a few images to test on."""
    folder = tmp_path_factory.mktemp("images")
    data = load_fashion_mnist()
    for name, images, labels in (("train", data.train_images, data.train_labels), ("t10k", data.test_images, data.test_labels)):
        write_idx(folder / f"{name}-images-idx3-ubyte", images[: 4 * STEPS, :, :, 0])
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels[: 4 * STEPS].astype(numpy.uint8))
    return folder


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many batches of four names, every tenth name being for testing."""
    file = tmp_path_factory.mktemp("names") / "names.txt"
    file.write_text("\n".join(load_names().train[: 4 * STEPS * 10 // 9 + 1]))
    return file


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_epoch_waits_once_each_time_the_bar_is_refreshed(
    example: str, images: Path, names: Path, waits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_epochs = []
    epoch, close = Loader.epoch, training.Training._close_epoch

    def from_here(*arguments: Any, **keywords: Any) -> Any:
        waits.clear()
        return epoch(*arguments, **keywords)

    def up_to_here(*arguments: Any) -> None:
        during_epochs.append(list(waits))
        close(*arguments)

    monkeypatch.setattr(Loader, "epoch", from_here)
    monkeypatch.setattr(training.Training, "_close_epoch", up_to_here)
    monkeypatch.setattr(training, "tqdm", functools.partial(_shown_bar, file=io.StringIO()))
    train(example, out=tmp_path / "run", epochs=1, batch_size=4, data=names if example in OF_NAMES else images, device="cuda")
    assert during_epochs == [["get"] * (STEPS // 10)]


def _shown_bar(*arguments: Any, disable: None, file: io.StringIO, **keywords: Any) -> tqdm:
    """The bar as on a terminal."""
    return tqdm(*arguments, disable=False, file=file, **keywords)


def test_a_loss_of_labels_on_the_device_does_not_look_at_them(waits: list[str]) -> None:
    logits, labels = F.zeros((3, 4), device="cuda", requires_grad=True), F.tensor(numpy.array([0, 3, 1]), device="cuda")
    F.cross_entropy(logits, labels).backward()
    assert waits == []


def test_the_norm_of_all_gradients_is_one_read(waits: list[str]) -> None:
    parameters = [F.ones((n,), device="cuda", requires_grad=True) for n in (4, 12)]
    for p in parameters:
        p.grad = p.detach()
    assert optim.clip_grad_norm(parameters, 1.0) == 4.0
    assert waits == ["get"]
