"""What must hold for every function, said once and asked of every row of the table."""

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from geometry_strategies import geometries
from hypothesis import find, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from op_row import Example, Op, derivatives
from op_table import CONSTANTS, OPS, Arguments
from tinygen_kernels.geometry import output_size

import tinygen.functional as F
from tinygen import Tensor, manual_seed, no_grad
from tinygen.backend import CapturedOnHost
from tinygen.functional.conv import Conv2DWeightFunction
from tinygen.testing import adjoint_check, gradcheck, gradgradcheck, tensors

modest = settings(deadline=None, max_examples=12)
every_op = pytest.mark.parametrize("op", OPS, ids=str)
every_op_with_an_oracle = pytest.mark.parametrize("op", [op for op in OPS if op.oracle], ids=str)
every_linear_op = pytest.mark.parametrize("op", [op for op in OPS if op.linear], ids=str)
every_convolution = pytest.mark.parametrize("op", [op for op in OPS if op.name.startswith("conv")], ids=str)

LAYOUTS: list[Callable[[numpy.ndarray], numpy.ndarray]] = [
    lambda a: numpy.array(a, order="F"),
    lambda a: numpy.flip(numpy.flip(a).copy()),
    lambda a: numpy.repeat(a, 2, -1)[..., ::2] if a.ndim else a,
]


def test_the_table_covers_every_public_function() -> None:
    random = {"rand", "randn"}
    constant = {"tensor", *(name for name, *_ in CONSTANTS)}
    assert not constant & {op.name for op in OPS}
    assert {op.name for op in OPS} | constant | random == set(F.__all__)


@pytest.mark.parametrize("name, arguments, expected", CONSTANTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_constant_means_what_numpy_says(name: str, arguments: Arguments, expected: numpy.ndarray, device: str) -> None:
    """Functions without a gradient, of which those of a Tensor take it to their device."""
    x, others = arguments
    y = getattr(F, name)(**others) if x is None else getattr(F, name)(F.tensor(x, device=device), **others)
    assert not y.requires_grad and y.node is None and y.device == ("cpu" if x is None else F.zeros(1, device=device).device)
    assert_array_equal(y.numpy(), expected, strict=True)


@every_op_with_an_oracle
@modest
@given(data=st.data())
def test_means_what_numpy_says(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    y = example.function(*example.tensors()).numpy()
    assert y.shape == example.expected.shape
    assert_allclose(y, example.expected, rtol=1e-12, atol=1e-12)


@every_op
@modest
@given(data=st.data())
def test_first_and_second_derivatives(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    gradgradcheck(example.function, *example.tensors())


@every_op
def test_derivatives_of_the_smallest_case(op: Op) -> None:
    """One pixel, one channel, one element, wherever the function allows it."""
    smallest = find(op.examples(), lambda example: True, settings=settings(database=None))
    gradgradcheck(smallest.function, *smallest.tensors())


@every_convolution
@modest
@given(data=st.data())
def test_third_derivatives_of_convolutions(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    gradcheck(example.function, *example.tensors(), order=3)


@modest
@given(geometry=geometries(), data=st.data())
def test_third_derivatives_of_the_convolution_to_the_weight(geometry: Any, data: st.DataObject) -> None:
    size, kernel_size, stride, _, dilation, padding = geometry
    made = output_size(size, kernel_size, stride, padding, dilation)
    x, g = data.draw(tensors((2, *size, 1))), data.draw(tensors((2, *made, 2)))
    gradcheck(lambda x, g: Conv2DWeightFunction(kernel_size, stride, padding, dilation)(x, g), x, g, order=3)


@every_linear_op
@modest
@given(data=st.data())
def test_backward_is_the_adjoint(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    x, *others = example.tensors()
    adjoint_check(lambda x: example.function(x, *others), x)


@every_op
@modest
@given(data=st.data())
def test_a_replay_computes_the_same_bits_from_other_numbers(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())

    def to_second_order(*arrays: numpy.ndarray) -> list[Tensor]:
        return derivatives(example.function, [Tensor(array, requires_grad=True) for array in arrays])

    arrays = [x.data for x in example.tensors("float32")]
    captured = CapturedOnHost(to_second_order, [numpy.array(numpy.flip(array)) for array in arrays])
    results = []
    for function in (captured, to_second_order):
        manual_seed(0)
        results.append(function(*arrays))
    for replayed, computed in zip(*results, strict=True):
        assert_array_equal(replayed.numpy(), computed.numpy(), strict=True)


@every_op
@modest
@given(data=st.data())
def test_float32_stays_float32_to_second_order(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    for single, double in zip(*(derivatives(example.function, example.tensors(dtype)) for dtype in ("float32", "float64")), strict=True):
        assert single.dtype == numpy.float32
        assert_allclose(single.numpy(), double.numpy(), rtol=1e-4, atol=1e-4 * max(1.0, abs(double.numpy()).max(initial=0.0)))


@every_op
@modest
@given(data=st.data())
def test_nothing_that_goes_in_is_changed(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    inputs = example.tensors()
    derivatives(example.function, inputs)
    for x, original in zip(inputs, example.arrays, strict=True):
        assert_array_equal(x.data, original)


@every_op
@modest
@given(data=st.data(), layout=st.sampled_from(LAYOUTS))
def test_the_layout_in_memory_does_not_matter(op: Op, data: st.DataObject, layout: Callable[[Any], Any]) -> None:
    example = data.draw(op.examples())
    plain = derivatives(example.function, example.tensors())
    for a, b in zip(plain, derivatives(example.function, example.tensors(layout=layout)), strict=True):
        assert_allclose(b.numpy(), a.numpy(), rtol=1e-11, atol=1e-11)


@every_op
@modest
@given(data=st.data())
def test_nothing_is_recorded_within_no_grad(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    recorded = example.function(*example.tensors())
    with no_grad():
        y = example.function(*example.tensors())
    assert recorded.requires_grad
    assert not y.requires_grad and y.node is None
    assert_array_equal(y.data, recorded.data)


@every_op
@settings(deadline=None, max_examples=3)
@given(data=st.data())
def test_every_device_gives_the_same_numbers_and_keeps_them(op: Op, data: st.DataObject, device: str) -> None:
    example = data.draw(op.examples())
    inputs = example.tensors(device=device)
    for found, expected in zip(derivatives(example.function, inputs), derivatives(example.function, example.tensors()), strict=True):
        assert found.device == inputs[0].device
        assert_allclose(found.numpy(), expected.numpy(), rtol=1e-11, atol=1e-11)


@every_op
@settings(deadline=None, max_examples=3)
@given(data=st.data())
def test_the_same_bits_every_time(op: Op, data: st.DataObject, device: str) -> None:
    example: Example = data.draw(op.examples())
    for a, b in zip(*(derivatives(example.function, example.tensors("float32", device)) for _ in range(2)), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
