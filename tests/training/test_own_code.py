"""tinygen with the functions of a user's file in the place of its own."""

import re
from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_allclose
from small_run import contents, small_run

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.training.own_code import own_code, rehearsed

WALK = """
from tinygen.training.own_code import backward_of

calls = []

def backpropagate(outputs, gs, inputs):
    calls.append(1)
    pending = dict(zip(outputs, gs))
    waiting = [y for y in outputs if y.node]
    while waiting:
        y = max(waiting, key=lambda y: y.node.number)
        waiting = [other for other in waiting if other is not y]
        for x, g in zip(y.node.inputs, backward_of(y, pending[y])):
            if g is not None:
                pending[x] = pending[x] + g if x in pending else g
                if x.node:
                    waiting.append(x)
    return [pending.get(x) for x in inputs]
"""
WEIGHT = """
from tinygen_kernels import reference

def conv2d_weight(x, y, size, stride, padding, dilation):
    return FACTOR * reference.conv2d_weight(x, y, size, stride, padding, dilation)
"""


CONVOLUTIONS = """
from tinygen_kernels import reference

def conv2d(x, w, bias, stride, padding, dilation, unasked=None):
    assert unasked is None
    return 3.0 * reference.conv2d(x, w, bias, stride, padding, dilation)

def conv2d_data(y, w, bias, size, stride, padding, dilation):
    return 3.0 * reference.conv2d_data(y, w, bias, size, stride, padding, dilation)
"""


def gradients() -> list[numpy.ndarray]:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.BatchNorm(2), nn.LeakyReLU(), nn.Flatten(), nn.Dense(8, 1)).double()
    (model(tg.randn((3, 4, 4, 1), "float64")) ** 2.0).mean().backward()
    return [p.grad.numpy() for p in model.parameters() if p.grad is not None]


def test_a_walk_of_one_s_own_finds_the_same_gradients(tmp_path: Path) -> None:
    (tmp_path / "walk.py").write_text(WALK)
    expected = gradients()
    with own_code([tmp_path / "walk.py"]) as names:
        found = gradients()
    assert names == ["backpropagate"]
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=1e-12)


def test_a_kernel_of_one_s_own_is_used_within_the_block_alone(tmp_path: Path) -> None:
    (tmp_path / "weight.py").write_text(WEIGHT.replace("FACTOR", "3.0"))
    expected = gradients()
    with own_code([tmp_path / "weight.py"]):
        assert_allclose(gradients()[0], 3 * expected[0], rtol=1e-12)
    assert_allclose(gradients()[0], expected[0], rtol=1e-12)


def test_of_several_files_the_last_function_of_a_name_counts(tmp_path: Path) -> None:
    (tmp_path / "weight.py").write_text(WEIGHT.replace("FACTOR", "3.0"))
    (tmp_path / "both.py").write_text(WALK + WEIGHT.replace("FACTOR", "5.0"))
    expected = gradients()
    with own_code([tmp_path / "both.py", tmp_path / "weight.py"]) as names:
        found = gradients()
    assert names == ["conv2d_weight", "backpropagate"]
    assert_allclose(found[0], 3 * expected[0], rtol=1e-12)


def test_a_convolution_of_one_s_own_need_not_know_of_the_leaky_relu_after_it(tmp_path: Path) -> None:
    (tmp_path / "convolutions.py").write_text(CONVOLUTIONS)
    x = tg.tensor(numpy.random.default_rng(0).normal(size=(2, 5, 4, 2)))
    for model in (nn.Sequential(layer(2, 2, 3), nn.LeakyReLU()).double() for layer in (nn.Conv2D, nn.ConvTranspose2D)):
        expected, plain = model(x).numpy(), model[0](x).numpy()
        with own_code([tmp_path / "convolutions.py"]):
            assert_allclose(model(x).numpy(), 3 * expected, rtol=1e-12)
            assert_allclose(model[0](x).numpy(), 3 * plain, rtol=1e-12)


def test_nothing_is_replaced_without_a_file() -> None:
    with own_code([]) as names:
        assert names == []


def test_what_is_not_such_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1")
    with (
        pytest.raises(UsageError, match="has no function that can take the place of one of tinygen's: conv2d, "),
        own_code([tmp_path / "empty.py"]),
    ):
        pass
    with pytest.raises(UsageError, match="--with takes a Python file"), own_code([tmp_path / "gone.py"]):
        pass


def test_what_is_still_to_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stub.py").write_text("def conv2d_weight(*arguments):\n    raise NotImplementedError\n")
    x = tg.ones((1, 4, 4, 1))
    with pytest.raises(UsageError, match=r"conv2d_weight in .*/stub.py is still to be written"), own_code([Path("stub.py")]):
        nn.Conv2D(1, 2, 3)(x).sum().backward()
    with pytest.raises(NotImplementedError, match="mine"), own_code([tmp_path / "stub.py"]):
        raise NotImplementedError("mine")


def test_a_run_tells_beforehand_how_long_it_takes_and_is_the_same_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "walk.py").write_text(WALK)
    for name, own in (("own", (tmp_path / "walk.py",)), ("tinygen", None)):
        small_run(tmp_path / name, epochs=2, with_=own).run()
    told = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"with backpropagate of .*walk\.py: the 5 steps of an epoch will take about \d:\d\d:\d\d", told)
    assert contents(tmp_path / "own") == contents(tmp_path / "tinygen")


def test_what_is_timed_is_a_step_on_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0

    def step(images: numpy.ndarray, labels: numpy.ndarray) -> None:
        nonlocal clock
        assert len(images) == len(labels)
        clock += len(images)

    monkeypatch.setattr("tinygen.training.own_code.time.perf_counter", lambda: clock)
    assert rehearsed(step, (numpy.zeros((64, 2)), numpy.zeros(64)), {}) == 64
