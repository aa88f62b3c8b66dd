import re
import threading
import time
from collections.abc import Callable

import numba
import numpy
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.engine.function import Function
from tinygen.engine.listeners import everywhere
from tinygen.engine.mode import switches
from tinygen.inspection.profile import OUTSIDE, Cost, Profile

IMAGES, CLASSES = 4, 3


def model() -> nn.Sequential:
    """(4, 6, 6, 2) -> (4, 6, 6, 5) -> (4, 180) -> (4, 3)."""
    return nn.Sequential(nn.Conv2D(2, 5, 3, padding=1), nn.Sequential(nn.Tanh(), nn.Flatten()), nn.Dense(180, CLASSES, bias=False))


CONVOLUTION = 2 * IMAGES * 6 * 6 * 5 * (3 * 3 * 2)
PRODUCT = 2 * IMAGES * 180 * CLASSES
CONV_LAYER = "Sequential.layers.0 Conv2D(2 -> 5, 3x3, stride 1, padding 1)"


@pytest.fixture
def step() -> Callable[[], object]:
    network, x = model(), tg.rand((IMAGES, 6, 6, 2))
    return lambda: tg.grad(network(x).sum(), network.parameters())


def spans(profile: Profile) -> list[Cost]:
    return [cost for costs in profile.ops.values() for cost in (costs.forward, costs.backward)]


class TestOps:
    def test_calls_and_flops_are_exact(self, step: Callable[[], object]) -> None:
        with tg.profile() as profile:
            step()
            step()
        calls = {name: (costs.forward.calls, costs.backward.calls) for name, costs in profile.ops.items()}
        # Flatten and Dense both reshape.
        assert calls == {"Conv2D": (2, 2), "Tanh": (2, 2), "Reshape": (2, 2), "MatMul": (2, 2), "Sum": (2, 2)}
        flops = {name: (costs.forward.flops, costs.backward.flops) for name, costs in profile.ops.items() if costs.forward.flops}
        # The images want no gradient: of the convolution's three kernels the data gradient is not run.
        assert flops == {"Conv2D": (2 * CONVOLUTION, 2 * CONVOLUTION), "MatMul": (2 * PRODUCT, 4 * PRODUCT)}

    @pytest.mark.parametrize("transposed", [False, True])
    @pytest.mark.parametrize("slope", [1.0, 0.2])
    def test_the_three_convolutions_cost_the_same(self, transposed: bool, slope: float) -> None:
        x, w = tg.rand((2, 5, 5, 3)), tg.rand((3, 3, 7, 3) if transposed else (3, 3, 3, 7))
        x.requires_grad = w.requires_grad = True
        with tg.profile() as profile:
            y = (tg.conv_transpose2d if transposed else tg.conv2d)(x, w, stride=2, padding=1, negative_slope=slope)
            y.sum().backward()
        costs = profile.ops["ConvLeakyReLU" if slope != 1 else "Conv2DData" if transposed else "Conv2D"]
        places = 5 * 5 if transposed else 3 * 3  # of the convolution's output, which a transposed one has as its input
        assert costs.forward.flops == 2 * 2 * places * (3 * 3 * 3 * 7)
        assert costs.backward.flops == 2 * costs.forward.flops

    def test_bytes_are_those_of_inputs_and_outputs(self) -> None:
        a, b = tg.ones((10, 20), requires_grad=True), tg.ones((20,))
        with tg.profile() as profile:
            (a * b).sum().backward()
        assert profile.ops["Mul"].forward.bytes == 4 * (200 + 20 + 200)
        assert profile.ops["Mul"].backward.bytes == 4 * (200 + 200 + 20 + 200)  # g, a and b, and the gradient of a

    def test_products_of_many_matrices(self) -> None:
        with tg.profile() as profile:
            tg.matmul(tg.ones((6, 2, 3)), tg.ones((3, 5)))
        assert profile.ops["MatMul"].forward.flops == 2 * 6 * 2 * 3 * 5


class TestTime:
    def test_no_moment_counts_twice(self, step: Callable[[], object]) -> None:
        with tg.profile() as profile:
            step()
        assert 0 < sum(cost.seconds for cost in spans(profile)) <= profile.total.seconds
        layers = sum(costs.forward.seconds + costs.backward.seconds for costs in profile.layers.values())
        assert 0 < layers <= profile.total.seconds

    def test_a_function_within_a_forward_takes_its_time_out_of_the_outer_one(self) -> None:
        class Twice(Function):
            def forward(self, x: numpy.ndarray) -> numpy.ndarray:
                return tg.exp(tg.exp(tg.Tensor(x))).data

        with tg.profile() as profile:
            Twice()(tg.ones((2,)))
        assert {name: costs.forward.calls for name, costs in profile.ops.items()} == {"Twice": 1, "Exp": 2}
        assert sum(cost.seconds for cost in spans(profile)) <= profile.total.seconds

    def test_what_a_backward_calls_is_its_own(self) -> None:
        x = tg.ones((2, 3), requires_grad=True)
        with tg.profile() as profile:
            tg.tanh(x).sum().backward()
        assert set(profile.ops) == {"Tanh", "Sum"}


class TestLayers:
    def test_are_named_by_their_way_and_timed_both_ways(self, step: Callable[[], object]) -> None:
        with tg.profile() as profile:
            step()
        assert list(profile.layers) == [
            CONV_LAYER,
            "Sequential.layers.1.layers.0 Tanh()",
            "Sequential.layers.1.layers.1 Flatten()",
            "Sequential.layers.2 Dense(180 -> 3, no bias)",
            OUTSIDE,
        ]
        assert all(costs.forward.calls == 1 and costs.backward.seconds > 0 for name, costs in profile.layers.items() if name != OUTSIDE)

    def test_a_layer_and_the_activation_in_its_pass_are_one(self) -> None:
        with tg.profile() as profile:
            nn.Sequential(nn.Conv2D(2, 3, 1), nn.ReLU())(tg.ones((1, 2, 2, 2))).sum().backward()
        assert list(profile.layers) == ["Sequential.layers.0 Conv2D(2 -> 3, 1x1, stride 1, padding 0) + ReLU()", OUTSIDE]

    @pytest.mark.parametrize(("layer", "gates"), [(nn.RNN(3, 5), 1), (nn.GRU(3, 5), 3), (nn.LSTM(3, 5), 4)], ids=["RNN", "GRU", "LSTM"])
    def test_the_products_of_a_recurrence(self, layer: nn.Module, gates: int) -> None:
        steps, examples = 4, 2
        with tg.profile() as profile:
            layer(tg.ones((examples, steps, 3))).sum().backward()
        costs = profile.ops[type(layer).__name__]
        assert costs.forward.flops == 2 * steps * examples * 5 * (gates * 5)
        assert costs.backward.flops == 2 * costs.forward.flops

    def test_two_models_of_one_class_are_told_apart(self) -> None:
        with tg.profile() as profile:
            for _ in range(2):
                nn.Sequential(nn.Tanh())(tg.ones((1,)))
        assert list(profile.layers) == ["Sequential.layers.0 Tanh()", "Sequential#2.layers.0 Tanh()"]

    def test_second_order_gradients_belong_to_the_layer_that_began_them(self) -> None:
        network, x = model(), tg.rand((IMAGES, 6, 6, 2))
        x.requires_grad = True
        with tg.profile() as profile:
            penalty = (tg.grad(network(x).sum(), x, create_graph=True) ** 2).sum()
            once = profile.layers[CONV_LAYER].backward.seconds
            penalty.backward()
        assert profile.layers[CONV_LAYER].backward.seconds > once
        # conv2d's data gradient was recorded in its backward, and its own backward then runs conv2d
        # and the weight gradient.
        assert profile.ops["Conv2D"].backward.flops >= CONVOLUTION
        assert profile.ops["Conv2DData"].forward.calls == 0
        assert profile.ops["Conv2DData"].backward.flops == 2 * CONVOLUTION
        assert sum(cost.seconds for cost in spans(profile)) <= profile.total.seconds

    def test_a_fused_function_s_composite_is_its_own_backward(self) -> None:
        x = tg.rand((8, 3))
        x.requires_grad = True
        layer = nn.BatchNorm(3)
        with tg.profile() as profile:
            tg.grad((layer(x) ** 3).sum(), x, create_graph=True)
        assert profile.ops["BatchNorm"].backward.calls == 1
        assert set(profile.ops) == {"BatchNorm", "Pow", "Sum"}


def test_a_part_that_refers_to_its_model() -> None:
    model = nn.Sequential(nn.Sequential(nn.Tanh()))
    model[0].parent = model
    with tg.profile() as profile:
        model(tg.ones((1, 2)))
    assert list(profile.layers) == ["Sequential.layers.0.layers.0 Tanh()"]


def test_the_same_bits_come_out_with_a_profile() -> None:
    network, x = model(), tg.rand((IMAGES, 6, 6, 2))
    plain = tg.grad(network(x).sum(), network.parameters())
    with tg.profile():
        profiled = tg.grad(network(x).sum(), network.parameters())
    assert [g.data.tobytes() for g in plain] == [g.data.tobytes() for g in profiled]


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails: bool) -> None:
    try:
        with tg.profile():
            assert everywhere and switches.listeners
            if fails:
                nn.Dense(2, 2)(tg.ones((3, 3)))
    except ValueError as error:
        assert fails and "dense: x (3, 3)" in str(error)
    assert not everywhere and not switches.listeners


def test_an_error_that_is_caught_leaves_the_clocks_right(step: Callable[[], object]) -> None:
    with tg.profile() as profile:
        with pytest.raises(ValueError):
            nn.Dense(2, 2)(tg.ones((3, 3)))
        step()
    assert not profile._op_watch.open and not profile._layer_watch.open
    assert profile.layers[CONV_LAYER].forward.calls == 1


def test_the_work_of_other_threads_is_not_counted(step: Callable[[], object]) -> None:
    with tg.profile() as profile:
        other = threading.Thread(target=step)
        other.start()
        other.join()
        step()
    assert profile.ops["Conv2D"].forward.calls == profile.ops["Conv2D"].backward.calls == 1
    assert profile.layers[CONV_LAYER].forward.calls == 1


def test_a_clock_that_stands_still(monkeypatch: pytest.MonkeyPatch, step: Callable[[], object]) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    with tg.profile() as profile:
        step()
    assert "Conv2D forward" in str(profile)


def doubled(x: float) -> float:
    """What Numba compiles by `doubled_when_compiled`."""
    return x * 2.0


def test_compilation_is_no_op_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that moves while Numba compiles, and stands still otherwise."""
    clock = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock)

    @numba.extending.overload(doubled)
    def doubled_when_compiled(x: float) -> Callable[[float], float]:
        nonlocal clock
        clock += 1.0
        return doubled

    @numba.njit
    def slow_to_compile(x: float) -> float:
        return doubled(x)

    class Compiled(Function):
        def forward(self, x: numpy.ndarray) -> numpy.ndarray:
            return x * slow_to_compile(1.0)

    class Layer(nn.Module):
        def forward(self, x: tg.Tensor) -> tg.Tensor:
            return Compiled()(x)

    layer = Layer()
    with tg.profile() as profile:
        layer(tg.ones((2,)))
    assert profile.compilation.seconds == profile.total.seconds == clock > 0
    assert profile.ops["Compiled"].forward.seconds == profile.layers["Layer Layer()"].forward.seconds == 0
    assert re.search(r"^\(compiling or loading kernels\) +[\d.]+ +[\d.]+%$", str(profile), re.MULTILINE)
    with tg.profile() as again:
        layer(tg.ones((2,)))
    assert again.compilation.seconds == 0 and "compiling" not in str(again)


def test_compilation_in_another_thread_is_left_out() -> None:
    @numba.njit
    def slow_to_compile(x: float) -> float:
        return x * 2.0

    with tg.profile() as profile:
        other = threading.Thread(target=slow_to_compile, args=(1.0,))
        other.start()
        other.join()
    assert profile.compilation.seconds == 0


def test_layers_of_nodes_that_died_are_not_mixed_up() -> None:
    """A node may get the memory, and so the id, of one that another layer applied."""
    tanh, network = nn.Sequential(nn.Tanh()), nn.Sequential(nn.Sigmoid())
    x = tg.ones((2,), requires_grad=True)
    with tg.profile() as profile:
        for _ in range(50):
            tanh(x)
        y = x * 2.0
        y.sum().backward()
        network(x)
    assert profile.layers["Sequential.layers.0 Tanh()"].backward.calls == 0
    assert profile.layers[OUTSIDE].backward.seconds > 0


def test_one_at_a_time() -> None:
    with tg.profile(), pytest.raises(RuntimeError, match="a profile is running already"), tg.profile():
        pass


def test_the_tables(step: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    with tg.profile():
        step()
    ops, layers, total = capsys.readouterr().out.split("\n\n")
    assert ops.splitlines()[0].split() == ["op", "calls", "ms", "share", "GFLOP/s", "MB"]
    assert re.search(r"^Conv2D backward +1 +[\d.]+ +[\d.]+% +[\d.]+ +[\d.]+$", ops, re.MULTILINE)
    assert re.search(r"^\(the rest\) +[\d.]+ +[\d.]+%$", ops, re.MULTILINE)
    assert re.search(rf"^{re.escape(CONV_LAYER)} +1 +[\d.]+ +[\d.]+ +[\d.]+%$", layers, re.MULTILINE)
    assert re.fullmatch(r"[\d.]+ ms in all\n", total)


def test_nothing_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    with tg.profile() as profile:
        pass
    assert not profile.ops and not profile.layers
    assert "(the rest)" in capsys.readouterr().out
