"""The checks that users write their tests with fail on what is wrong, and on nothing else."""

import subprocess
import sys
import traceback
from typing import Any

import numpy
import pytest
from hypothesis import given, settings

import tinygen.functional as F
from tinygen import Function, Tensor, nn, random_state, tensor
from tinygen.engine.mode import is_recording
from tinygen.testing import adjoint_check, gradcheck, gradcheck_module, gradgradcheck, random_tensor, tensors

modest = settings(deadline=None, max_examples=50)


class Square(Function):
    """Right to every order."""

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return x * x

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * 2.0 * x


class WrongSlope(Square):
    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * 2.001 * x


class RawSquare(Square):
    """Right to first order alone: it reaches x, on which the gradient depends smoothly, past the graph."""

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * Tensor(2.0 * x.data)


class RawGradient(Square):
    """Right where it is applied last; elsewhere the gradient that reaches it depends on the inputs, and it forgets that."""

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Tensor(g.data) * 2.0 * x


class OneElementWrong(Square):
    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        slope = numpy.full(x.shape, 2.0)
        slope.flat[-1] = 2.01
        return g * Tensor(slope) * x


class TwoGradients(Square):
    """Right where nothing is recorded. What is recorded is a function of its own, whose derivative is right, too."""

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (2.1 if is_recording() else 2.0) * x


class NoGradientToTheSecond(Function):
    def forward(self, a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
        return a * b

    def backward(self, g: Tensor, y: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        return g * b, None


class InPlace(Square):
    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        x += 1e-9
        return x * x


class WrongAdjoint(Function):
    """The cumulative sum, whose adjoint sums from the other end."""

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return x.cumsum()

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Tensor(g.data.cumsum())


class RightAdjoint(WrongAdjoint):
    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Tensor(g.data[::-1].cumsum()[::-1])


def some(*shape: int) -> Tensor:
    return random_tensor(shape, numpy.random.default_rng(0))


def applied(function: type[Function]) -> Any:
    return lambda *xs: function()(*xs)


class TestGradcheck:
    @modest
    @given(x=tensors())
    def test_passes_what_is_right(self, x: Tensor) -> None:
        gradcheck(applied(Square), x, order=3)
        gradgradcheck(applied(Square), x)
        gradcheck(applied(RawSquare), x)  # to first order it is

    def test_passes_what_bends_within_its_step(self) -> None:
        gradcheck(lambda x: F.tanh(x * 3e4) * (1 / 3e4), tensor([3e-6], "float64", requires_grad=True))

    @pytest.mark.parametrize("function", [WrongSlope, OneElementWrong])
    def test_fails_on_a_wrong_derivative(self, function: type[Function]) -> None:
        quotient_and_gradient = (
            r"order 1, input 0 \(4, 5\): along a random direction the difference quotient is -?\d.*, the gradient gives -?\d.*"
        )
        with pytest.raises(AssertionError, match=quotient_and_gradient):
            gradcheck(applied(function), some(4, 5))

    def test_takes_numbers_without_an_axis(self) -> None:
        x = tensor(numpy.array(0.7), requires_grad=True)
        gradgradcheck(applied(Square), x)
        for check in (gradcheck, gradgradcheck):
            with pytest.raises(AssertionError, match=r"order 1, input 0 \(\): .*\nWrongSlope: worst, .* It is 1\.0005 times"):
                check(applied(WrongSlope), x)

    def test_fails_on_a_gradient_that_is_missing(self) -> None:
        with pytest.raises(AssertionError, match=r"order 1, input 1 \(3,\): .* the gradient gives 0\.0"):
            gradcheck(applied(NoGradientToTheSecond), some(3), some(3))

    def test_fails_at_second_order_where_smooth_data_is_kept_raw(self) -> None:
        gradcheck(applied(RawSquare), some(4, 5))
        with pytest.raises(AssertionError, match=r"order 2, input 0 \(4, 5\)"):
            gradgradcheck(applied(RawSquare), some(4, 5))
        with pytest.raises(AssertionError, match=r"order 2, g \(4, 5\)"):
            gradgradcheck(applied(RawGradient), some(4, 5))

    def test_fails_where_a_recorded_gradient_is_another(self) -> None:
        gradcheck(applied(TwoGradients), some(4, 5))
        with pytest.raises(AssertionError, match=r"backward gives another gradient of order 1 with create_graph=True: -?[\d.]+ along"):
            gradgradcheck(applied(TwoGradients), some(4, 5))

    def test_fails_on_a_function_that_changes_its_input(self) -> None:
        with pytest.raises(AssertionError, match="the function changed its input 0"):
            gradcheck(applied(InPlace), some(4, 5))

    def test_fails_at_a_kink(self) -> None:
        with pytest.raises(AssertionError, match="order 1"):
            gradcheck(F.relu, tensor([0.0], "float64", requires_grad=True))

    def test_takes_float64_that_requires_gradients(self) -> None:
        for x, found in [
            (F.ones((2,), requires_grad=True), "float32 with requires_grad=True"),
            (F.ones((2,), "float64"), "float64 with .*=False"),
        ]:
            with pytest.raises(TypeError, match=f"gradcheck: input 0 must be float64 and require gradients, it is {found}"):
                gradcheck(F.exp, x)

    def test_takes_functions_whose_derivatives_end(self) -> None:
        """A second derivative that is zero has no graph; a first one that is zero neither."""
        gradcheck(lambda x: x * 3.0, some(2, 3), order=4)
        gradcheck(lambda x: tensor(numpy.ones(2)), some(3), order=2)


class TestAdjointCheck:
    def test_passes_what_is_right_and_fails_on_a_wrong_adjoint(self) -> None:
        adjoint_check(applied(RightAdjoint), some(6))
        with pytest.raises(AssertionError, match=r"<f\(x\), c> = -?\d.* but <x, f\*\(c\)> = -?\d"):
            adjoint_check(applied(WrongAdjoint), some(6))

    def test_fails_on_what_is_not_linear(self) -> None:
        with pytest.raises(AssertionError):
            adjoint_check(lambda x: x + 1e-6, some(6))


class TestScale:
    def test_a_small_function_s_wrong_gradient_fails(self) -> None:
        class Tiny(Square):
            def forward(self, x: numpy.ndarray) -> numpy.ndarray:
                return 1e-8 * x * x

            def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
                return g * (17e-8 * x)

        with pytest.raises(AssertionError, match="order 1, input 0"):
            gradcheck(applied(Tiny), some(4, 5))
        gradgradcheck(lambda x: Square()(x) * 1e-8, some(4, 5))

    def test_a_slope_beside_a_large_constant_is_seen(self) -> None:
        with pytest.raises(AssertionError, match="order 1, input 0"):
            gradcheck(lambda x: WrongSlope()(x) * 1e-2 + 1000.0, some(3))
        gradcheck(lambda x: Square()(x) * 1e-2 + 1000.0, some(3))

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: F.log_softmax(x.reshape(-1, 1)),
            lambda x: F.softmax(x.reshape(-1, 1)),
            lambda x: x - x,
            lambda x: (x + 1e4) - 1e4,
            lambda x: F.logsumexp(x) - F.logsumexp(x + 1.0),
            lambda x: F.tanh(x * 50.0),
            lambda x: F.exp(x * 10.0),
            lambda x: x.var() + x.mean(),
            lambda x: F.layer_norm(x.reshape(1, -1), F.ones((12,), "float64"), F.zeros((12,), "float64")),
        ],
        ids=["zero", "one", "nothing", "cancels", "constant", "steep", "large", "moments", "normalised"],
    )
    def test_right_functions_pass_for_any_seed(self, function: Any) -> None:
        for seed in range(200):
            gradgradcheck(function, random_tensor((12,), numpy.random.default_rng(seed)), seed=seed)

    def test_nan_fails(self) -> None:
        with pytest.raises(AssertionError):
            gradcheck(lambda x: x * numpy.nan, some(3))


class TestGradcheckModule:
    def test_names_the_parameter_that_is_wrong(self) -> None:
        class Scale(nn.Module):
            def __init__(self) -> None:
                self.parts = [nn.Dense(3, 3), {"gain": nn.Parameter(F.ones((3,)))}]

            def forward(self, x: Tensor) -> Tensor:
                dense, part = self.parts
                return applied(NoGradientToTheSecond)(dense(x), F.broadcast_to(part["gain"], (4, 3)))

        with pytest.raises(AssertionError, match=r"order 1, parts\.1\.gain \(3,\): .*\nScale\(\): .* It is 0 everywhere"):
            gradcheck_module(Scale(), some(4, 3))

    def test_takes_a_module_with_several_outputs_and_a_shared_and_a_frozen_parameter(self) -> None:
        class Twice(nn.Module):
            def __init__(self) -> None:
                self.one = nn.Dense(3, 3)
                self.other = self.one
                self.frozen = nn.Dense(3, 2).requires_grad_(False)

            def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
                return self.frozen(self.one(x)), F.tanh(self.other(x))

        gradcheck_module(Twice(), some(4, 3), order=2)

    def test_leaves_the_module_and_the_random_numbers_as_they_are(self) -> None:
        module = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Dropout(0.5))
        state, random = module.state_dict(), random_state()
        gradcheck_module(module, some(6, 3))
        assert (random_state() == random).all()
        for name, array in module.state_dict().items():
            assert array.dtype == state[name].dtype and (array == state[name]).all()

    def test_the_traceback_ends_in_the_user_s_test(self) -> None:
        for check in (lambda x: gradgradcheck(applied(WrongSlope), x), lambda x: gradcheck_module(nn.Sequential(applied_layer()), x)):
            with pytest.raises(AssertionError) as raised:
                check(some(3))
            frames = [frame.f_locals for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
            assert all("__tracebackhide__" in shown for shown in frames[2:])


def applied_layer() -> nn.Module:
    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return WrongSlope()(x)

    return Layer()


def in_a_new_process(code: str, *options: str) -> str:
    result = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True)
    return result.stdout + result.stderr.strip().rpartition("\n")[2]


def test_a_wrong_gradient_fails_under_optimisation_too() -> None:
    code = """
import numpy, tinygen
from tinygen.testing import adjoint_check, gradcheck

class Wrong(tinygen.Function):
    def forward(self, x):
        return 2 * x

    def backward(self, g, y, x):
        return 17.0 * g

assert False
x = tinygen.tensor([1.0, 2.0], "float64", requires_grad=True)
for check in (gradcheck, adjoint_check):
    try:
        check(*{gradcheck: (lambda x: Wrong()(x), x), adjoint_check: (lambda x: Wrong()(x), x)}[check])
    except AssertionError:
        print("seen", end=" ")
"""
    assert in_a_new_process(code, "-O") == "seen seen "


def test_the_checks_need_no_hypothesis_and_the_strategies_say_that_they_do() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None; from tinygen.testing import gradcheck, gradgradcheck, adjoint_check, random_tensor"
    )
    assert in_a_new_process(code) == ""
    assert "hypothesis" in in_a_new_process(code + "; from tinygen.testing import tensors")
