"""The benchmark of a GPU compares, counts and prints correctly. No test depends on times."""

import re
import sys
import types
from pathlib import Path

import pytest

from tinygen.bench import command, kernels, steps
from tinygen.bench.layers import DIRECTIONS, Direction, Layer
from tinygen.bench.protocol import Protocol

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels", "planned_as_for_a_gpu")]

GPU = Protocol(1, wall_clock=True, device="cuda")
OTHERS = "conv2d_data", "conv2d_weight"
SMALL = [Layer(2, (5, 6), 3, 4, 3, 1, 1), Layer(2, (4, 3), 5, 2, 4, 2, 1, transposed=True)]


@pytest.fixture(autouse=True)
def without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("layer", SMALL, ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_both_engines_are_right_and_timed(layer: Layer, direction: Direction) -> None:
    timing = kernels.measure(layer, direction, "float32", 1, GPU)
    assert timing.wrong == {}
    assert set(timing.seconds) == {kernels.OURS, kernels.IM2COL} and min(timing.seconds.values()) > 0
    assert timing.predicted is not None and timing.predicted > 3e-6
    heads, line = (re.split(r" {2,}", line) for line in command.report([timing], 67e3)[:2])
    assert line[heads.index("predicted")] == f"{timing.predicted * 1e3:.3f}"


def test_a_wrong_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import tinygen_kernels

    right = tinygen_kernels.cuda
    wrong = types.SimpleNamespace(conv2d=lambda *arguments: right.conv2d(*arguments) * 1.01, **{n: getattr(right, n) for n in OTHERS})
    monkeypatch.setattr(tinygen_kernels, "cuda", wrong)
    assert kernels.measure(SMALL[0], "forward", "float32", 1, GPU).wrong == {kernels.OURS: pytest.approx(0.01, rel=1e-3)}


def test_the_machine_is_known_and_starting_a_kernel_takes_time() -> None:
    machine = kernels.machine(GPU, "float32")
    assert 1e3 < machine.gflops < 1e6 and 100 < machine.gigabytes < 1e5
    assert min(kernels.launch_seconds(calls=10)) > 0


def test_steps_run_there() -> None:
    steps.prepare("cnn", steps.OURS, GPU)
    assert steps.step().seconds > 0
    assert steps.peak_memory() > 0.1
