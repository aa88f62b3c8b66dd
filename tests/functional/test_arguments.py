"""Every function of tensors refuses an argument of a wrong type in one sentence of tinygen's, or computes what is meant."""

import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from hypothesis import Phase, find, settings
from op_table import CONSTANTS, OPS
from wrong_arguments import ARRAY, try_each

import tinygen as tg
import tinygen.functional as F
from tinygen import Tensor, nn

ONE = settings(database=None, derandomize=True, max_examples=1, phases=[Phase.generate])
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def calls() -> Iterator[tuple[str, Call]]:
    """A call of each public function of tinygen.functional that works."""
    a = numpy.ones((2, 3), "float32")
    x = tg.tensor(a, requires_grad=True)
    for name, (array, others), _ in {name: row for row in CONSTANTS for name in row[:1]}.values():
        yield name, (getattr(F, name), () if array is None else (tg.tensor(array),), others)
    for op in {op.name: op for op in OPS if op.function is None}.values():
        example = find(op.examples(), lambda example: True, settings=ONE)
        yield op.name, (example.function.func, tuple(example.tensors()), example.function.keywords)  # type: ignore[attr-defined]
    state, gates = tg.zeros((2, 3)), tg.zeros((4, 2, 12))
    yield "astype", (F.astype, (x, "float64"), {})
    yield "clip", (F.clip, (x, 0, 1), {})
    yield "concatenate", (F.concatenate, ([x, x],), {"axis": 0})
    yield "dropout", (F.dropout, (x, 0.5), {"training": True})
    yield "einsum", (F.einsum, ("ij,kj->ik", x, x), {})
    yield "getitem", (F.getitem, (x, 0), {})
    yield "gradient_penalty", (F.gradient_penalty, (F.sum, x, x), {})
    yield "hinge_discriminator_loss", (F.hinge_discriminator_loss, (x, x), {})
    yield "huber_loss", (F.huber_loss, (x, x), {"delta": 1.0})
    yield "lstm", (F.lstm, (gates, tg.zeros((3, 12)), state, state), {})
    yield "rand", (F.rand, ((2, 3),), {"dtype": "float32", "device": "cpu", "requires_grad": False})
    yield "randn", (F.randn, ((2, 3),), {"dtype": "float32", "device": "cpu", "requires_grad": False})
    yield "reshape", (F.reshape, (x, (3, 2)), {})
    yield "split", (F.split, (x, 3), {"axis": 1})
    yield "stack", (F.stack, ([x, x],), {"axis": 0})
    yield "straight_through", (F.straight_through, (x, x), {})
    yield "tensor", (F.tensor, (a,), {"dtype": "float32", "device": "cpu", "requires_grad": False})
    yield "to", (F.to, (x, "cpu"), {})
    yield "transpose", (F.transpose, (x, 1, 0), {})
    yield "where", (F.where, (a > 0, x, x), {})


CALLS = dict(calls())


def test_there_is_a_call_of_every_function() -> None:
    assert set(CALLS) == set(F.__all__)
    for function, arguments, options in CALLS.values():
        function(*arguments, **options)


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_a_wrong_type(name: str) -> None:
    function, arguments, options = CALLS[name]
    given = inspect.signature(function).bind(*arguments, **options)
    given.apply_defaults()

    def call(*args: Any, **kwargs: Any) -> None:
        result = function(*args, **kwargs)
        assert all(isinstance(y, Tensor) for y in (result if isinstance(result, list | tuple) else [result])), result

    try_each(call, given.args, given.kwargs)


def test_the_methods_of_tensor_are_the_checked_functions() -> None:
    methods = [name for name in F.__all__ if name in vars(Tensor)]
    assert len(methods) > 30
    for name in methods:
        assert vars(Tensor)[name] is getattr(F, name)


def test_a_checked_function_is_still_itself() -> None:
    assert pickle.loads(pickle.dumps(F.conv2d)) is F.conv2d is tg.conv2d
    assert list(inspect.signature(F.conv2d).parameters)[:3] == ["x", "weight", "bias"]


def test_an_error_of_another_kind_keeps_its_words_and_its_traceback() -> None:
    def critic(x: Tensor) -> Tensor:
        return x.no_such_method()  # type: ignore[attr-defined, no-any-return]

    x = tg.ones((2, 3))
    with pytest.raises(AttributeError, match="no_such_method") as caught:
        tg.gradient_penalty(critic, x, x)
    assert caught.traceback[-1].name == "critic"


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda: tg.relu([1.0, -2.0]), "relu: x must be a Tensor, got list [1.0, -2.0]; make one with tinygen.tensor(...)"),
        (lambda: tg.abs(ARRAY), "abs: x must be a Tensor, got an array float32 (2, 3); make one with tinygen.tensor(...)"),
        (lambda: tg.relu(nn.ReLU), "relu: x must be a Tensor, got the class ReLU"),
        (lambda: tg.sum(tg.ones(3), "x"), "sum: axis must be an integer, a tuple of integers or None, got str 'x'"),
        (lambda: tg.ones(3).mean("x"), "mean: axis must be an integer, a tuple of integers or None, got str 'x'"),
        (lambda: tg.ones(3).mean(dim=0), "mean: got an unexpected keyword argument 'dim'; it takes (x, axis, keepdims)"),
        (
            lambda: tg.where((1, 0), tg.ones(2), 0),
            "where: condition must be a Tensor or an array, got tuple (1, 0); make one with tinygen.tensor(...)",
        ),
        (lambda: tg.pad(tg.ones(3), 1), "pad: widths must be a list of (an integer, an integer), got int 1"),
        (
            lambda: tg.stack([tg.ones(1), 2.0]),
            "stack: xs must be a list of Tensors, got list [tensor([1.]), 2.0]; make one with tinygen.tensor(...)",
        ),
        (lambda: tg.gradient_penalty("f", tg.ones((1, 2)), tg.ones((1, 2))), "gradient_penalty: critic must be a function, got str 'f'"),
    ],
)
def test_the_sentence(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        ask()
    assert str(caught.value) == message
