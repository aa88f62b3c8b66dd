"""Every rung of the GPU's ladder is the same convolution, is timed on a GPU, and compiles for one."""

import types

import numpy
import pytest
from device_arrays import make_results_full_of_nan, on_device
from kernel_shapes import Convolution, error
from tinygen_kernels import reference
from tinygen_kernels.ladder import cuda

from tinygen.bench import ladder, ladder_cuda
from tinygen.bench.layers import Layer
from tinygen.bench.protocol import Protocol

pytestmark = pytest.mark.gpu

# One and several blocks in both directions, and no size a multiple of a block's.
CASES = {
    "plain": Convolution(3, (4, 4), 3, 5, (1, 2), (1, 1), ((1, 0), (1, 1)), (1, 1)),
    "bare": Convolution(2, (5, 4), 17, 4, (2, 1), (2, 1), ((0, 0), (0, 0)), (2, 1)),  # the last channel of x is its end
    "wide": Convolution(1, (2, 5), 2, 67, (1, 2), (1, 2), ((0, 0), (1, 0)), (1, 3)),
}


@pytest.fixture
def nan_results(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygen_kernels.cuda import launch

    make_results_full_of_nan(launch, monkeypatch)


@pytest.mark.usefixtures("nan_results")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rung", cuda.RUNGS[:-1])
def test_it_is_the_reference(rung: str, case: str) -> None:
    c = CASES[case]
    x, w, _ = map(numpy.ascontiguousarray, c.arrays(numpy.float32, 0))  # a copy would not end where on_device has a NaN
    b = w[0, 0, 0]
    y = cuda.conv2d(rung, on_device(x), on_device(w), on_device(b), *c.window)
    assert y.dtype == numpy.float32
    assert error(y.get(), reference.conv2d(*(a.astype(numpy.float64) for a in (x, w, b)), *c.window), c.terms["y"]) < 5e-6


GPU, SMALL = Protocol(1, wall_clock=True, device="cuda"), Layer(1, (2, 2), 1, 2, 2, 1, 1)


@pytest.fixture
def once(cuda_kernels: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder_cuda, "_REPEATS", 1)


@pytest.mark.usefixtures("once")
def test_a_wrong_rung_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cuda.conv2d
    monkeypatch.setattr(cuda, "conv2d", lambda *arguments: 2 * right(*arguments))
    with pytest.raises(ArithmeticError, match="coalesced does not compute the convolution of"):
        ladder_cuda.measure("coalesced", SMALL, GPU)


@pytest.mark.usefixtures("once")
def test_on_a_gpu_the_command_times(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ladder, "ideas", lambda package: {"pixel": "one each", "coalesced": "neighbours"})
    ladder_cuda._climb(lambda function, *arguments: function(*arguments), GPU, SMALL)
    printed = capsys.readouterr().out
    assert "timed on a GPU" in printed and "times the rung before" in printed
    heads, *rows = (line.split() for line in printed.splitlines()[-3:])
    assert "traffic" not in heads and [row[0] for row in rows] == ["pixel", "coalesced"]
    assert float(rows[0][1]) > 0
