"""Kernels of one's own on the ladder. How fast they are decides nothing here."""

from pathlib import Path
from typing import Any

import pytest
from tinygen_kernels.cpu.vector import VECTOR_BYTES
from tinygen_kernels.ladder import block, innermost

from tinygen.bench import command, ladder, own
from tinygen.bench.layers import Layer
from tinygen.command_line import UsageError

SMALL = Layer(2, (8, 8), 4, 16, 3, 1, 1)

CONVOLVE = """
def convolve(x, w, stride, dilation, y):
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for a in range(w.shape[0]):
                    for b in range(w.shape[1]):
                        for c in range(w.shape[2]):
                            for k in range(y.shape[3]):
                                y[n, i, j, k] += x[n, i * stride[0] + a, j * stride[1] + b, c] * w[a, b, c, k]
"""
STEP = """
def step(tile, sums, pixels, channel, weights, vectors):
    for total, pixel in zip(sums, pixels):
        loaded = [tile.load(weights, j) for j in range(vectors)]
        tile.multiply_add(total, tile.splat(pixel, channel), loaded)
"""
WEIGHT = "from tinygen_kernels.reference import conv2d_weight"


@pytest.fixture(autouse=True)
def without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "torch_version", lambda device: None)


def test_each_function_is_counted_and_timed_and_tinygen_s_own_come_back(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(CONVOLVE + STEP + WEIGHT)
    before = innermost.convolve, block.step
    rungs = own.measured(tmp_path / "own.py", SMALL)
    assert [rung.name for rung in rungs] == ["your convolve", "your step", "your conv2d_weight", "ours, weight"]
    assert all(rung.gflops > 0 for rung in rungs)
    assert (innermost.convolve, block.step) == before
    lanes = VECTOR_BYTES / 4
    assert [rung.traffic for rung in rungs] == [4.0, pytest.approx((6 + 6 * 2 * lanes) / (6 * 2 * lanes)), None, None]


@pytest.mark.parametrize("name", ["convolve", "step", "conv2d"])
def test_what_is_not_written_yet_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.py").write_text(f"def {name}(*arguments):\n    raise NotImplementedError")
    with pytest.raises(UsageError, match=f"{name} in .*own.py is still to be written"):
        own.measured(tmp_path / "own.py", SMALL)


@pytest.mark.parametrize(
    ("source", "name"), [(STEP.replace("splat(pixel", "splat(pixels[0]"), "step"), ("def conv2d(x, *rest):\n    return x", "conv2d")]
)
def test_what_computes_something_else_is_refused(tmp_path: Path, source: str, name: str) -> None:
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(UsageError, match=f"{name} in .* does not compute the convolution of"):
        own.measured(tmp_path / "own.py", SMALL)


def test_with_climbs_the_ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    climbed: list[Any] = []
    monkeypatch.setattr(ladder, "main", lambda *arguments: climbed.append(arguments))
    (tmp_path / "own.py").write_text("def walk(): ...")
    command.command_line(["--with", str(tmp_path / "own.py"), "--layer", "2,8,8,4,16,3,1,1"])
    [(layer, plot, beside)] = climbed
    assert (layer, plot) == (SMALL, None)
    with pytest.raises(UsageError, match=r"has no function .*: convolve, step, conv2d, conv2d_data or conv2d_weight"):
        beside(layer)


def test_others_stand_below_the_rungs() -> None:
    rows = ladder.report([ladder.Rung("loops", 0.5, 4.0), ladder.Rung("tile", 50.0, 0.5)], 100.0, [ladder.Rung("yours", 5.0)])
    assert rows[2:] == [("tile", "50", "50.00%", "100", "", "0.5"), ("yours", "5", "5.00%", "", "", "")]
