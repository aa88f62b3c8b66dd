"""A tensor as a number, a list, NumPy's array or another dtype: what the first hour with tinygen takes for granted."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal

import tinygen as tg
from tinygen import Tensor, grad
from tinygen.engine import tensor as tensor_module
from tinygen.testing import gradgradcheck

X = numpy.array([[1.5, -2, 3], [0.25, 0, -1]], "float32")
ONE = tg.tensor([[1.23456]])


def test_a_number_is_formatted_and_rounded() -> None:
    assert f"{ONE:.3f}, {ONE:8.1e}|" == "1.235,  1.2e+00|"
    assert f"{ONE}" == str(ONE)
    assert f"{tg.tensor(True):d}" == "1"
    assert (int(ONE), round(ONE), type(round(ONE))) == (1, 1, int)
    assert round(ONE, 2) == 1.23
    assert f"loss {(tg.tensor([3.0], requires_grad=True) * 2.0).sum():.1f}" == "loss 6.0"


def test_lists() -> None:
    assert tg.tensor(X).tolist() == X.tolist()
    assert tg.tensor(3).tolist() == 3
    assert tg.tensor([[True], [False]]).tolist() == [[True], [False]]


@pytest.mark.parametrize("values", [[True, False, True, True], numpy.arange(12).reshape(3, 4), numpy.full((2, 300), 200, "uint8"), 5])
@pytest.mark.parametrize("axis", [None, -1])
def test_sums_and_means_of_what_is_not_floating(values: Any, axis: int | None) -> None:
    x, a = tg.tensor(values), numpy.asarray(values)
    if axis == -1 and not a.ndim:
        return
    assert_array_equal(x.sum(axis).numpy(), numpy.asarray(a.sum(axis)), strict=True)
    assert_array_equal(x.mean(axis).numpy(), numpy.asarray(a.mean(axis), "float32"), strict=True)


def test_accuracy_is_the_mean_of_a_comparison() -> None:
    a, b = tg.tensor([1, 2, 3, 4]), tg.tensor([1, 0, 3, 4])
    assert (a == b).mean().item() == 0.75 and (a == b).mean().dtype == numpy.float32
    logits = tg.tensor(X, requires_grad=True)
    assert f"{(logits.argmax(axis=1) == tg.tensor([2, 1])).mean():.0%}" == "50%"


class TestAsType:
    def test_gradients_travel_back_between_floating_dtypes(self) -> None:
        x = tg.tensor(X, requires_grad=True)
        y = x.astype("float64")
        assert y.dtype == numpy.float64 and y.requires_grad
        g = grad((y * y).sum(), x)
        assert g.dtype == numpy.float32
        assert_array_equal(g.numpy(), 2 * X)

    def test_to_second_order(self) -> None:
        gradgradcheck(lambda x: (x.astype("float64") ** 3).astype(x.dtype), tg.tensor(X, "float64", requires_grad=True))

    @pytest.mark.parametrize("dtype", ["int64", bool, "uint8", numpy.int32])
    def test_what_is_not_floating_has_no_gradient(self, dtype: Any) -> None:
        y = tg.tensor(abs(X), requires_grad=True).astype(dtype)
        assert not y.requires_grad
        assert_array_equal(y.numpy(), abs(X).astype(dtype), strict=True)
        assert_array_equal(y.astype("float32").numpy(), abs(X).astype(dtype).astype("float32"), strict=True)

    def test_the_result_is_a_copy(self) -> None:
        x = tg.tensor(X)
        x.astype("float32").data[...] = 0
        assert_array_equal(x.numpy(), X)


class TestFunctionsOfNumPy:
    """They give what they give for the arrays."""

    @pytest.mark.parametrize(
        "function",
        [
            numpy.sum, numpy.mean, numpy.max, numpy.min, numpy.var, numpy.std, numpy.abs, numpy.exp, numpy.argmax, numpy.cumsum,
            numpy.round, numpy.transpose, numpy.squeeze, numpy.isfinite, numpy.linalg.norm, numpy.sort,
            lambda x: numpy.reshape(x, (3, 2)), lambda x: numpy.sum(x, axis=0, keepdims=True), lambda x: numpy.stack([x, x]),
            lambda x: numpy.concatenate((x, x), axis=1), lambda x: numpy.add(x, 1), lambda x: numpy.maximum(X, x),
            lambda x: numpy.clip(x, 0, 1), lambda x: numpy.where(x > 0, x, 0), lambda x: numpy.einsum("ij->j", x),
            lambda x: numpy.allclose(x, X),
        ],
    )  # fmt: skip
    def test_on_a_tensor(self, function: Callable[[Any], Any]) -> None:
        for x in (tg.tensor(X), tg.tensor(X, requires_grad=True)):
            found, expected = function(x), function(X)
            assert type(found) is type(expected)
            assert_array_equal(found, expected, strict=isinstance(expected, numpy.ndarray))

    @pytest.mark.parametrize("function", [numpy.sum, numpy.exp, numpy.asarray, lambda y: numpy.stack([y, y]), lambda y: numpy.add(1, y)])
    def test_would_lose_gradients(self, function: Callable[[Any], Any]) -> None:
        y = tg.tensor(X, requires_grad=True) * 2.0
        with pytest.raises(
            TypeError, match=r"^NumPy's functions record no gradients, and this tensor of shape \(2, 3\) is part of a graph; "
        ):
            function(y)
        assert_array_equal(function(y.numpy()), function(2 * X))


def declared() -> dict[str, list[str]]:
    """The methods that type checkers see, and the names of their parameters."""
    tree = ast.parse(Path(tensor_module.__file__).with_name("methods.pyi").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {f.name: [a.arg for a in [*f.args.args, *filter(None, [f.args.vararg])]][1:] for f in functions}


@pytest.mark.parametrize("name, parameters", [pair for pair in declared().items() if not pair[0].startswith("__")])
def test_type_checkers_see_the_methods_that_there_are(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(Tensor, name)).parameters)[1:] == parameters
    function = getattr(tg, name, None)
    assert function is None or inspect.signature(function) == inspect.signature(getattr(Tensor, name))


def test_each_method_of_tensor_is_declared() -> None:
    bound = {name for name in vars(Tensor) if not name.startswith("_") and inspect.isfunction(vars(Tensor)[name])}
    assert bound - set(declared()) == {"detach", "numpy", "writable"}  # which tensor.py defines
