"""Wrong ideas of a backward: gradgradcheck refuses each of them and says what is wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen.functional as F
from tinygen import Function, Tensor
from tinygen.functional.conv import Conv2DWeightFunction
from tinygen.testing import gradgradcheck, random_tensor


class Op(NamedTuple):
    """A function, its right backward, the shapes of its inputs, and wrong backwards with their diagnoses."""

    forward: Callable[..., numpy.ndarray]
    backward: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    wrong: dict[str, tuple[Callable[..., Any], str]]

    def applied(self, backward: Callable[..., Any]) -> Callable[..., Tensor]:
        forward = self.forward

        class Applied(Function):
            def forward(self, *xs: numpy.ndarray) -> numpy.ndarray:
                return forward(*xs)

            def backward(self, g: Tensor, y: Tensor, *xs: Tensor) -> Any:
                return backward(g, y, *xs)

        return lambda *xs: Applied()(*xs)

    def inputs(self, seed: int) -> list[Tensor]:
        rng = numpy.random.default_rng(seed)
        return [random_tensor(shape, rng) for shape in self.shapes]


def slope(x: Tensor) -> Tensor:
    """That of softsign."""
    return 1.0 / ((1.0 + F.abs(x)) * (1.0 + F.abs(x)))


def to_weight(x: Tensor, y: Tensor) -> Tensor:
    """The gradient of a convolution's weight (2, 2, C, K) at stride 2."""
    return Conv2DWeightFunction((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))(x, y)


def raw(x: Tensor) -> Tensor:
    return Tensor(x.data)


def column(values: list[float]) -> Tensor:
    return Tensor(numpy.array(values)[:, None])


SIGN = "-1 times what it should be: a wrong sign?"
FORGOTTEN = "does not change with the incoming gradient: is g forgotten?"
LEFT_OUT = "0 everywhere: is this input's gradient left out"
PAST_THE_GRAPH = "does backward use .data, NumPy, or a number that forward kept?"
SUM = "a sum that is missing, or over another axis?"
FORMULA = "is the formula another one"

OPS = {
    "softsign": Op(
        lambda x: x / (1 + abs(x)),
        lambda g, y, x: g * slope(x),
        [(3, 4)],
        {
            "sign": (lambda g, y, x: -g * slope(x), SIGN),
            "no g": (lambda g, y, x: slope(x), FORGOTTEN),
            "half": (lambda g, y, x: 0.5 * g * slope(x), "0.5 times what it should be: a constant factor?"),
            "nothing": (lambda g, y, x: g * 0.0, LEFT_OUT),
            "g twice": (lambda g, y, x: g * g * slope(x), "not proportional to the incoming gradient: is g used twice"),
            "no square": (lambda g, y, x: g / (1.0 + F.abs(x)), FORMULA),
            "no absolute value": (
                lambda g, y, x: g / ((1.0 + x) * (1.0 + x)),
                "elements are wrong, the rest is right: those where input 0 is negative",
            ),
            "slope at y": (lambda g, y, x: g * slope(y), FORMULA),
            "times x": (lambda g, y, x: g * slope(x) * x, "what it should be, times input 0: a factor too many"),
            "times y": (lambda g, y, x: g * slope(x) * y, "what it should be, times y: a factor too many"),
            "raw input": (lambda g, y, x: g * slope(raw(x)), "but not its dependence on input 0: " + PAST_THE_GRAPH),
            "raw g": (lambda g, y, x: raw(g) * slope(x), "but not its dependence on g: " + PAST_THE_GRAPH),
            "the mean over the batch": (
                lambda g, y, x: g * slope(x) / 3.0,
                "1/3 times what it should be, and axis 0 of input 0 has 3 elements",
            ),
            "one row": (lambda g, y, x: g * slope(x) * column([1.0, 1.0, 2.0]), "those with index 2 along axis 0; there it is 2 times"),
        },
    ),
    "leaky ReLU": Op(
        lambda x: numpy.where(x > 0, x, 0.2 * x),
        lambda g, y, x: g * Tensor(numpy.where(x.data > 0, 1.0, 0.2)),
        [(4, 3)],
        {
            "the slope of ReLU": (lambda g, y, x: g * Tensor(numpy.where(x.data > 0, 1.0, 0.0)), "the rest is right: those where"),
            "the slopes exchanged": (
                lambda g, y, x: g * Tensor(numpy.where(x.data > 0, 0.2, 1.0)),
                "5 times what it should be where input 0 is negative, and 0.2 times elsewhere: cases exchanged?",
            ),
            "a negative slope": (lambda g, y, x: g * Tensor(numpy.where(x.data > 0, 1.0, -0.2)), "is negative; there it is -1 times"),
        },
    ),
    "exp": Op(
        numpy.exp,
        lambda g, y, x: g * y,
        [(3, 4)],
        {
            "e^y": (lambda g, y, x: g * F.exp(y), FORMULA),
            "as a power": (lambda g, y, x: g * x * y, "what it should be, times input 0: a factor too many"),
            "without e^x": (lambda g, y, x: g * 1.0, "divided by y: a factor too many, or one that is missing?"),
            "the sum of g": (
                lambda g, y, x: F.broadcast_to(g.sum(), g.shape) * y,
                "divided by g: a factor too many, or one that is missing?",
            ),
            "raw output": (lambda g, y, x: g * raw(y), PAST_THE_GRAPH),
        },
    ),
    "product": Op(
        lambda a, b: a * b,
        lambda g, y, a, b: (g * b, g * a),
        [(3, 4), (3, 4)],
        {
            "exchanged": (lambda g, y, a, b: (g * a, g * b), "the gradient of input 1: are the gradients returned in the order"),
            "one left out": (lambda g, y, a, b: (g * b, None), LEFT_OUT),
            "one raw": (lambda g, y, a, b: (g * b, g * raw(a)), PAST_THE_GRAPH),
            "absolute": (lambda g, y, a, b: (F.abs(g * b), g * a), "the absolute value of what it should be: is a sign lost?"),
        },
    ),
    "scaled rows": Op(
        lambda x, s: x * s,
        lambda g, y, x, s: (g * s, (g * x).sum(axis=0)),
        [(3, 4), (4,)],
        {
            "the mean over rows": (lambda g, y, x, s: (g * s, (g * x).mean(axis=0)), "1/3 times what it should be, and axis 0 of input 0"),
            "one row": (lambda g, y, x, s: (g * s, (g * x)[0]), SUM),
            "summed over everything": (lambda g, y, x, s: (g * s, F.broadcast_to((g * x).sum(), (4,))), "the same all along axis 0"),
        },
    ),
    "softmax": Op(
        lambda x: numpy.exp(x) / numpy.exp(x).sum(axis=-1, keepdims=True),
        lambda g, y, x: y * (g - (g * y).sum(axis=-1, keepdims=True)),
        [(3, 4)],
        {
            "as sigmoid's": (lambda g, y, x: g * y * (1.0 - y), SUM),
            "without the sum": (lambda g, y, x: g * y, "differs by y times a number, another one for each index"),
            "the sum over rows": (lambda g, y, x: y * (g - (g * y).sum(axis=0, keepdims=True)), SUM),
            "raw output": (lambda g, y, x: raw(y) * (g - (g * raw(y)).sum(axis=-1, keepdims=True)), PAST_THE_GRAPH),
        },
    ),
    "softmax over two axes": Op(
        lambda x: numpy.exp(x) / numpy.exp(x).sum(axis=(1, 2), keepdims=True),
        lambda g, y, x: y * (g - (g * y).sum(axis=(1, 2), keepdims=True)),
        [(2, 3, 2)],
        {"without the sum": (lambda g, y, x: g * y, "differs by y times a number, another one for each index outside of the axes (1, 2)")},
    ),
    "matrix product": Op(
        lambda a, b: a @ b,
        lambda g, y, a, b: (g @ b.transpose(), a.transpose() @ g),
        [(3, 3), (3, 3)],
        {
            "b not transposed": (lambda g, y, a, b: (g @ b, a.transpose() @ g), FORMULA),
            "transposed result": (
                lambda g, y, a, b: ((g @ b.transpose()).transpose(), a.transpose() @ g),
                "transposed, with the axes (1, 0)?",
            ),
            "exchanged": (lambda g, y, a, b: (a.transpose() @ g, g @ b.transpose()), "the gradient of input 1"),
        },
    ),
    "cumulative sum": Op(
        lambda x: x.cumsum(axis=1),
        lambda g, y, x: F.flip(F.cumsum(F.flip(g, 1), 1), 1),
        [(2, 5)],
        {
            "not reversed": (lambda g, y, x: F.cumsum(g, 1), SUM),
            "reversed once": (lambda g, y, x: F.cumsum(F.flip(g, 1), 1), "reversed along the axes (1,)?"),
        },
    ),
    "reshape of the transposed": Op(
        lambda x: x.T.reshape(6),
        lambda g, y, x: g.reshape(3, 2).transpose(),
        [(2, 3)],
        {"not transposed": (lambda g, y, x: g.reshape(2, 3), "a wrong reshape, or indices in another order?")},
    ),
    "sum of squares": Op(
        lambda x: (x * x).sum(axis=1),
        lambda g, y, x: 2.0 * x * g.reshape(-1, 1),
        [(3, 4)],
        {
            "without 2": (lambda g, y, x: x * g.reshape(-1, 1), "0.5 times what it should be"),
            "of a sum": (lambda g, y, x: F.broadcast_to(g.reshape(-1, 1), x.shape) * 1.0, "the same all along axis 1"),
            "NaN": (lambda g, y, x: 2.0 * x * g.reshape(-1, 1) / Tensor(numpy.zeros(x.shape)), "are not finite: a division by 0?"),
        },
    ),
    "transposed convolution's weight": Op(
        lambda x, w: F.conv_transpose2d(Tensor(x), Tensor(w), stride=2).data,
        lambda g, y, x, w: (F.conv2d(g, w, stride=2), to_weight(g, x)),
        [(2, 3, 3, 2), (2, 2, 2, 2)],
        {
            "half a turn": (
                lambda g, y, x, w: (F.conv2d(g, w, stride=2), F.flip(to_weight(g, x), (0, 1))),
                "reversed along the axes (0, 1)?",
            ),
            "channels exchanged": (
                lambda g, y, x, w: (F.conv2d(g, w, stride=2), to_weight(g, x).transpose(0, 1, 3, 2)),
                "transposed, with the axes (0, 1, 3, 2)?",
            ),
        },
    ),
}

WRONG = [pytest.param(op, *wrong, id=f"{name}: {idea}") for name, op in OPS.items() for idea, wrong in op.wrong.items()]


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")  # of a backward that returns NaN
@pytest.mark.parametrize(("op", "backward", "diagnosis"), WRONG)
def test_a_wrong_backward_is_named(op: Op, backward: Callable[..., Any], diagnosis: str) -> None:
    with pytest.raises(AssertionError) as raised:
        gradgradcheck(op.applied(backward), *op.inputs(seed=1))
    assert diagnosis in str(raised.value)


def test_there_are_forty_wrong_ideas_and_few_without_a_name() -> None:
    assert len(WRONG) >= 40
    assert sum(diagnosis == FORMULA for _, _, diagnosis in (param.values for param in WRONG)) <= len(WRONG) // 10


@pytest.mark.parametrize("name", OPS)
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_right_backward_is_never_accused(name: str, seed: int) -> None:
    op = OPS[name]
    gradgradcheck(op.applied(op.backward), *op.inputs(seed), seed=seed)


def test_one_element_tells_little() -> None:
    op = next(op for op in OPS.values() if "half" in op.wrong)
    backward, _ = op.wrong["half"]
    with pytest.raises(AssertionError, match=r"It is 0\.5 times what it should be; of one element this tells little"):
        gradgradcheck(op.applied(backward), F.tensor(0.7, dtype="float64", requires_grad=True))
