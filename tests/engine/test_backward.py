"""grad() and backward(): every combination of inputs, outputs and options that means something."""

from functools import partial
from typing import Any

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, grad, no_grad, tensor
from tinygen.engine.fused import Fused
from tinygen.functional.norm import BatchNormFunction
from tinygen.testing import random_tensor


class Scaled(Fused):
    """x times a number, and nothing of an optional third."""

    def forward(self, x: Any, factor: float, absent: None) -> Any:
        return x * factor

    def composite(self, x: Tensor, factor: float, absent: None) -> Tensor:
        return x * factor

    def kernel_backward(self, g: Any, y: Any, x: Any, factor: float, absent: None) -> tuple[Any, None, None]:
        return g * factor, None, None


@pytest.fixture
def x() -> Tensor:
    return tensor([1.0, -2.0, 3.0], requires_grad=True)


def values(*tensors: Tensor) -> list[list[float]]:
    return [t.numpy().tolist() for t in tensors]


class TestInputs:
    def test_one_tensor_for_one_input_and_a_list_for_a_sequence(self, x: Tensor) -> None:
        y = (x * 2.0).sum()
        assert values(grad(y, x, create_graph=True)) == [[2, 2, 2]]
        assert values(*grad(y, [x], create_graph=True)) == [[2, 2, 2]]
        assert values(*grad(y, (x, x))) == [[2, 2, 2]] * 2

    def test_the_output_itself(self, x: Tensor) -> None:
        y = x.sum()
        assert grad(y, y).item() == 1
        assert values(grad(x, x, tensor([5.0, 6.0, 7.0]))) == [[5, 6, 7]]

    def test_inputs_that_are_ancestors_of_one_another(self, x: Tensor) -> None:
        """The gradient of x holds what goes through h, and what does not."""
        h = x * 2.0
        y = (h * h + x).sum()
        assert values(*grad(y, [x, h, y])) == [[9, -15, 25], [4, -8, 12], 1]

    def test_an_input_that_is_not_reached_gets_zeros(self, x: Tensor) -> None:
        other = tensor(numpy.ones((2, 2)), requires_grad=True)
        to_x, to_other = grad(x.sum(), [x, other])
        assert values(to_other) == [[[0, 0], [0, 0]]]
        assert to_other.dtype == other.dtype and values(to_x) == [[1, 1, 1]]

    def test_backward_into_a_tensor_that_is_no_leaf(self, x: Tensor) -> None:
        h = x * 2.0
        (h * h).sum().backward(inputs=[h])
        assert values(h.grad) == [[4, -8, 12]]
        assert x.grad is None

    def test_backward_leaves_what_is_not_reached_without_a_gradient(self, x: Tensor) -> None:
        other = tensor([1.0], requires_grad=True)
        x.sum().backward(inputs=[x, other])
        assert values(x.grad) == [[1, 1, 1]]
        assert other.grad is None


class TestOutputs:
    def test_the_gradients_of_several_are_added(self, x: Tensor) -> None:
        first, second = x * x, x.sum()
        starts = [tensor([1.0, 10.0, 100.0]), tensor(7.0)]
        assert values(grad([first, second], x, starts)) == [[9, -33, 607]]

    def test_an_output_that_is_an_ancestor_of_another_or_the_same(self, x: Tensor) -> None:
        h = (x * 2.0).sum()
        assert values(grad([h * 3.0, h, h], x)) == [[10, 10, 10]]

    def test_one_that_depends_on_nothing_is_passed_over(self, x: Tensor) -> None:
        assert values(grad([tensor(1.0), x.sum()], x)) == [[1, 1, 1]]

    def test_one_element_of_any_shape_needs_no_grad_output(self, x: Tensor) -> None:
        assert values(grad((x * x)[1:2].reshape(1, 1), x)) == [[0, -4, 0]]


class TestCreateGraph:
    def test_gradients_are_constants_without_it(self, x: Tensor) -> None:
        assert not grad((x * x * x).sum(), x).requires_grad

    def test_it_keeps_the_graph_and_gives_derivatives_of_every_order(self, x: Tensor) -> None:
        y = (x * x * x).sum()
        first = grad(y, x, create_graph=True)
        second = grad(first.sum(), x, create_graph=True)
        third = grad(second.sum(), x, create_graph=True)
        assert values(first, second, third) == [[3, 12, 27], [6, -12, 18], [6, 6, 6]]
        assert values(grad(y, x)) == [[3, 12, 27]]

    def test_it_records_even_within_no_grad(self, x: Tensor) -> None:
        y = (x * x).sum()
        with no_grad():
            first = grad(y, x, create_graph=True)
        assert values(grad(first.sum(), x)) == [[2, 2, 2]]

    def test_backward_with_it_stores_gradients_that_can_be_differentiated(self, x: Tensor) -> None:
        (x * x * x).sum().backward(create_graph=True)
        assert values(grad(x.grad.sum(), x)) == [[6, -12, 18]]

    def test_without_it_only_what_the_walk_passed_is_freed(self, x: Tensor) -> None:
        h = x * 2.0
        left, right = (h * h).sum(), (h * 5.0).sum()
        assert values(grad(left, h), grad(right, x)) == [[4, -8, 12], [10, 10, 10]]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_a_convolution_with_leaky_relu_equals_its_composite(transposed: bool, slope: float) -> None:
    """To the last bit and to second order, although its second derivatives are not made of it."""
    rng = numpy.random.default_rng(0)
    inputs = [random_tensor(shape, rng) for shape in ((2, 4, 3, 2), (3, 2, 2, 2), (2,))]
    convolution = F.conv_transpose2d if transposed else F.conv2d
    results = []
    fused = convolution(*inputs, negative_slope=slope)
    assert isinstance(fused.node, Fused)
    for y in fused, fused.node.composite(*inputs):
        c = random_tensor(y.shape, numpy.random.default_rng(1))
        first = grad(y, inputs, c, create_graph=True)
        results.append([y, *first, *grad(first, [*inputs, c], [g.detach() for g in first])])
    for a, b in zip(*results, strict=True):
        assert_array_equal(a.numpy(), b.numpy())


def test_silu_in_few_passes_equals_its_composite() -> None:
    x, c = (random_tensor((3, 4), numpy.random.default_rng(i)) for i in range(2))
    fused, composite = F.silu(x), x * F.sigmoid(x)
    assert isinstance(fused.node, Fused)
    assert_array_equal(fused.numpy(), composite.numpy())
    assert_allclose(grad(fused, x, c).numpy(), grad(composite, x, c).numpy(), rtol=1e-12)


class TestFused:
    """batch_norm has a kernel for its first derivatives; its composite is what they mean, and what the second ones are made of."""

    def arguments(self) -> list[Tensor]:
        rng = numpy.random.default_rng(0)
        return [random_tensor((5, 4, 3), rng), random_tensor((3,), rng), random_tensor((3,), rng)]

    def gradients(self, *, composite: bool, create_graph: bool, negative_slope: float = 1.0) -> list[Tensor]:
        inputs = self.arguments()
        fused = partial(F.batch_norm, eps=0.1, negative_slope=negative_slope)
        y = (BatchNormFunction(0.1, negative_slope).composite if composite else fused)(*inputs)
        c = random_tensor((5, 4, 3), numpy.random.default_rng(1))
        first = grad(y, inputs, c, create_graph)
        if not create_graph:
            return [y, *first]
        return [y, *first, *grad(first, [*inputs, c], [g.detach() for g in first])]

    @pytest.mark.parametrize("negative_slope", [0.0, 0.2, 1.0])
    @pytest.mark.parametrize("create_graph", [False, True], ids=["the kernel", "the composite, recorded"])
    def test_equals_its_composite(self, create_graph: bool, negative_slope: float) -> None:
        options: dict[str, Any] = {"create_graph": create_graph, "negative_slope": negative_slope}
        fused, composite = (self.gradients(composite=flag, **options) for flag in (False, True))
        for a, b in zip(fused, composite, strict=True):
            assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-12)

    def test_first_derivatives_run_the_kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Tensor) -> Tensor:
            raise AssertionError("the composite was used")

        monkeypatch.setattr(BatchNormFunction, "composite", refuse)
        self.gradients(composite=False, create_graph=False)
        with pytest.raises(AssertionError, match="the composite was used"):
            self.gradients(composite=False, create_graph=True)

    def test_inputs_that_are_one_tensor(self) -> None:
        """gamma and beta in one: what reaches either is added up, at both orders."""
        x, parameter, _ = self.arguments()
        for create_graph in (False, True):
            together = grad(F.batch_norm(x, parameter, parameter).sum(), parameter, create_graph=create_graph)
            twin = tensor(parameter, requires_grad=True)
            apart = grad(F.batch_norm(x, parameter, twin).sum(), [parameter, twin], create_graph=create_graph)
            assert_array_equal(together.numpy(), (apart[0] + apart[1]).numpy())

    def test_inputs_that_are_no_tensors(self) -> None:
        x = tensor([1.0, 2.0], requires_grad=True)
        assert values(grad(Scaled()(x, 3.0, None).sum(), x)) == [[3, 3]]
        first = grad((Scaled()(x, 3.0, None) * x).sum(), x, create_graph=True)
        assert values(first, grad(first.sum(), x)) == [[6, 12], [6, 6]]
