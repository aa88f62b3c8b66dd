"""The walk over the graph: what accumulates where, and what is left out."""

import concurrent.futures
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import pytest
import tinygen_kernels.cpu
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from watched import Watched

import tinygen.functional as F
from tinygen import Function, Tensor, grad, manual_seed, no_grad, tensor
from tinygen.engine.mode import is_recording
from tinygen.testing import broadcastable_shapes, gradgradcheck, random_tensor

modest = settings(deadline=None, max_examples=50)


class Cube(Function):
    """What a user would write: three lines, and differentiable to any order."""

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return x**3

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g * (3.0 * x * x)


class TestAccumulation:
    @modest
    @given(sizes=broadcastable_shapes(3))
    def test_gradients_are_summed_to_the_shape_that_was_broadcast(self, sizes: Any) -> None:
        inputs = [tensor(numpy.ones(size), requires_grad=True) for size in sizes]
        y = inputs[0] * 2.0 + inputs[1] * 3.0 + inputs[2] * 5.0
        for x, factor, g in zip(inputs, (2, 3, 5), grad(y.sum(), inputs), strict=True):
            assert_array_equal(g.numpy(), numpy.full(x.shape, factor * y.size / x.size))

    def test_a_tensor_used_more_than_once(self) -> None:
        x = tensor([2.0, -3.0], requires_grad=True)
        for y, expected in [(x * x, [4, -6]), (x + x, [2, 2]), (x - x, [0, 0]), (x * x * x, [12, 27]), (F.concatenate([x, x]), [2, 2])]:
            assert_array_equal(grad(y.sum(), x).numpy(), expected)

    @pytest.mark.parametrize("create_graph", [False, True])
    def test_a_diamond_is_walked_once(self, create_graph: bool) -> None:
        """Both ways meet at h before its node is differentiated: 2^20 paths, 20 backward calls."""
        calls = []
        x = y = tensor(1.0, requires_grad=True)
        for _ in range(20):
            y = Watched(lambda node, g: calls.append(node))(y, y)
        assert grad(y, x, create_graph=create_graph).item() == 2**20
        assert len(calls) == 20

    def test_grad_adds_up_over_backward_calls_and_changes_no_gradient_it_handed_out(self) -> None:
        a, b = (tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        start = tensor([1.0, 1.0])
        (a + b).backward(start)
        first = a.grad
        (a * 10.0).sum().backward()
        assert_array_equal(a.grad.numpy(), [11, 11])
        for untouched in (first, b.grad, start):  # one array may serve all three
            assert_array_equal(untouched.numpy(), [1, 1])

    def test_backward_to_one_tensor_and_to_one_that_is_listed_twice(self) -> None:
        for once in (lambda w: w, lambda w: [w, w]):
            w = tensor([1.0, 2.0], requires_grad=True)
            (w * 2.0).sum().backward(inputs=once(w))
            assert_array_equal(w.grad.numpy(), [2, 2])

    def test_a_user_written_function_is_checked_to_second_order(self) -> None:
        gradgradcheck(lambda x: Cube()(x), random_tensor((2, 3), numpy.random.default_rng(0)))


class TestWorkSpared:
    def test_needs_says_which_gradients_lead_to_the_inputs(self) -> None:
        seen = []

        class Total(Function):
            def forward(self, *xs: Any) -> Any:
                return sum(xs)

            def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], *xs: Tensor) -> tuple[Tensor, ...]:
                seen.append(needs)
                return (g,) * len(xs)

        a, b = (tensor(1.0, requires_grad=True) for _ in range(2))
        for inputs, needs in [([a], [True, False, False]), ([b], [False, True, False]), ([a, b], [True, True, False])]:
            Total()(a, b, tensor(1.0)).backward(inputs=inputs)
            assert seen.pop() == needs

    def test_backward_with_inputs_leaves_other_branches_and_their_grad_alone(self) -> None:
        seen = []
        a, b = (tensor(1.0, requires_grad=True) for _ in range(2))
        (a * 2.0 + Watched(lambda node, g: seen.append(node))(b) * 3.0).backward(inputs=[a])
        assert a.grad.item() == 2
        assert b.grad is None and not seen

    def test_the_first_convolution_computes_no_gradient_of_the_images(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[str] = []
        for name in ("conv2d", "conv2d_data", "conv2d_weight"):
            kernel = getattr(tinygen_kernels.cpu, name)
            monkeypatch.setattr(tinygen_kernels.cpu, name, lambda *a, name=name, kernel=kernel: calls.append(name) or kernel(*a))
        images = F.ones((1, 5, 5, 2))
        w1, w2 = (F.ones((3, 3, 2, 2), requires_grad=True) for _ in range(2))
        F.conv2d(F.conv2d(images, w1), w2).sum().backward()
        assert sorted(calls) == ["conv2d", "conv2d", "conv2d_data", "conv2d_weight", "conv2d_weight"]

    def test_nothing_is_recorded_where_nothing_requires_gradients(self) -> None:
        x = tensor([1.0, 2.0], requires_grad=True)
        with no_grad():
            assert not is_recording()
            with no_grad():
                pass
            assert (x * x).node is None  # leaving the inner one does not switch recording on
        assert is_recording()
        assert (x.detach() * 2.0).node is None
        assert (x.detach() * x).node is not None
        assert x.detach().data is x.data

    def test_recording_comes_back_after_an_error(self) -> None:
        with pytest.raises(KeyError), no_grad():
            raise KeyError
        assert is_recording()

    def test_no_grad_is_entered_again_and_decorates(self) -> None:
        x, off = tensor([1.0], requires_grad=True), no_grad()
        with off:
            with off:
                assert not is_recording()
            assert not is_recording()
        assert is_recording()

        @off
        def sample(t: Tensor) -> Tensor:
            return t * 2.0

        assert sample(x).node is None and is_recording()

    def test_no_grad_refuses_to_decorate_a_generator(self) -> None:
        def batches() -> Iterator[int]:
            yield 1

        async def later() -> None:
            pass

        for function in (batches, later):
            with pytest.raises(TypeError, match=f"^{function.__name__} is a generator: the code that loops over it would run within"):
                no_grad()(function)

    def test_each_thread_has_its_own_switch(self) -> None:
        """Two threads that leave no_grad in the order in which they entered it."""
        entered, left = threading.Event(), threading.Event()

        def sample() -> bool:
            with no_grad():
                entered.set()
                left.wait(10)
            return is_recording()

        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            with no_grad():
                sampling = threads.submit(sample)
                assert entered.wait(10)
            assert is_recording()
            left.set()
            assert sampling.result()
        assert is_recording()


def test_two_identical_runs_give_the_same_bits() -> None:
    def run() -> list[bytes]:
        manual_seed(3)
        x, w = F.randn((8, 7, 7, 3)), F.randn((3, 3, 3, 16), requires_grad=True)
        for _ in range(3):
            loss = F.dropout(F.relu(F.conv2d(x, w, stride=2, padding="same")), 0.3).mean()
            loss.backward()
        return [loss.data.tobytes(), w.grad.data.tobytes()]

    assert run() == run()


def test_the_penalty_on_a_linear_critics_gradient() -> None:
    """The critic <w, x> has gradient w at every x. So the penalty (|w| - 1)^2 has the gradient 2 (|w| - 1) w / |w| to w."""
    rng = numpy.random.default_rng(0)
    w, x = random_tensor((5,), rng), random_tensor((7, 5), rng)
    slope = grad((x * w).sum(), x, create_graph=True)
    norms = F.sqrt((slope * slope).sum(axis=1))
    norm = numpy.linalg.norm(w.numpy())
    assert_allclose(norms.numpy(), numpy.full(7, norm), rtol=1e-14)
    deviation = norms - 1.0
    F.mean(deviation * deviation).backward()
    assert_allclose(w.grad.numpy(), 2 * (norm - 1) * w.numpy() / norm, rtol=1e-13)


def test_a_node_and_its_output_are_readable() -> None:
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    assert repr(y) == "tensor([2., 4.], node=Mul)"
    assert repr(y.node) == "<Mul of float32 (2,) on cpu, 2.0>"
    y.sum().backward()
    assert repr(y.node) == "<Mul>"
