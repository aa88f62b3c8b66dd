"""What a graph is protected from: two threads, changed parameters, errors, gradients that share memory."""

import copy
import pickle
import threading
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal

import tinygen as tg
from tinygen import Function, Tensor, grad, nn, optim, tensor
from tinygen.engine.fused import Fused


def leaf(*values: float) -> Tensor:
    return tensor(list(values), "float64", requires_grad=True)


class TestThreads:
    def test_two_threads_differentiate_one_graph_to_different_inputs(self) -> None:
        """Each thread is in the backward of the one node at the same time, and asks what is wanted after both have begun."""
        barrier = threading.Barrier(2)

        class Product(Function):
            def forward(self, a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
                return a * b

            def backward(self, g: Tensor, y: Tensor, needs: Any, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
                barrier.wait(10)
                return g * b if needs[0] else None, g * a if needs[1] else None

        a, b = leaf(2.0, 3.0), leaf(5.0, 7.0)
        y = Product()(a, b).sum()
        found: dict[Tensor, Tensor] = {}
        threads = [threading.Thread(target=lambda x=x: found.update({x: grad(y, x, create_graph=True)})) for x in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_array_equal(found[a].numpy(), b.numpy())
        assert_array_equal(found[b].numpy(), a.numpy())


class TestChanges:
    @pytest.mark.parametrize(
        "change, by",
        [
            (lambda layer: optim.SGD(layer.parameters(), lr=1.0).minimize((layer.weight * 2.0).sum()), "SGD.step"),
            (lambda layer: layer.load_state_dict(layer.state_dict()), "load_state_dict"),
            (lambda layer: nn.init.initialize(layer, nn.init.he), "initialize"),
            (lambda layer: layer.double(), "to"),
        ],
        ids=["a step", "loading", "initialising", "converting"],
    )
    def test_a_graph_older_than_its_parameters_is_refused(self, change: Any, by: str) -> None:
        layer, x = nn.Dense(3, 2, bias=False), tg.ones((1, 3), requires_grad=True)
        y = layer(x).sum()
        change(layer)
        with pytest.raises(ValueError) as refusal:
            y.backward()
        assert str(refusal.value) == (
            f"the tensor of shape (3, 2) was changed by {by} after MatMul had read it; "
            "differentiate before the change, or compute the output again"
        )
        assert x.grad is None
        layer.float()(x).sum().backward()

    def test_what_lies_off_the_path_may_have_changed(self) -> None:
        w, x, h = leaf(3.0), leaf(2.0), leaf(1.0)
        y = (w * w + x * h).sum()
        w.writable("me")[...] = 7
        assert grad(y, x, retain_graph=True).item() == 1
        with pytest.raises(ValueError, match="changed by me after Mul had read it"):
            grad(y, w)

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
    def test_a_copy_begins_anew(self, copied: Any) -> None:
        w = leaf(3.0)
        w.writable("me")
        w = copied(w)
        assert w.version == 0 and grad(w * w, w).item() == 6


class TestFailures:
    def test_a_graph_that_a_failed_backward_freed_says_what_failed(self) -> None:
        class Failing(Function):
            def forward(self, x: numpy.ndarray) -> numpy.ndarray:
                return 2 * x

            def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
                raise KeyError("what I forgot")

        x = leaf(1.0)
        y = Failing()(x).sum()
        with pytest.raises(KeyError, match="what I forgot"):
            y.backward()
        with pytest.raises(ValueError, match=r"^the graph behind Sum was freed by a backward that failed \('what I forgot'\); compute"):
            y.backward()
        assert x.grad is None


class TestRetainGraph:
    def test_it_keeps_the_graph_without_recording(self) -> None:
        x = leaf(2.0, 3.0)
        y = (x * x).sum()
        for _ in range(2):
            g = grad(y, x, retain_graph=True)
            assert g.numpy().tolist() == [4, 6] and not g.requires_grad
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.numpy().tolist() == [8, 12]
        with pytest.raises(ValueError, match=r"keep it there with retain_graph=True, or leave it out here with h\.detach"):
            y.backward()

    def test_fused_functions_keep_their_kernel(self) -> None:
        class Doubled(Fused):
            def forward(self, x: Any) -> Any:
                return 2 * x

            def kernel_backward(self, g: Any, y: Any, x: Any) -> tuple[Any]:
                return (2 * g,)

        x = leaf(1.0)
        assert grad(Doubled()(x), x, retain_graph=True).item() == 2


class Repeated(Function):
    """Gives a gradient that repeats one element, in a writable array, as CuPy's are."""

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return x.copy()

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return Tensor(numpy.lib.stride_tricks.as_strided(g.data.copy(), x.shape, (0,)))


class TestOwnGradients:
    def test_leaves_share_no_gradient(self) -> None:
        a, b = leaf(1.0, 2.0), leaf(1.0, 2.0)
        ((a + b) * tensor([3.0, 4.0], "float64")).sum().backward()
        a.grad.data *= 0.5
        assert b.grad.numpy().tolist() == [3, 4]

    @pytest.mark.parametrize(
        "function",
        [
            lambda w: w.sum(),
            lambda w: w.mean() * 2.0,
            lambda w: (tg.broadcast_to(w.reshape(2, 1), (2, 3)).mean(axis=1)).sum(),
            lambda w: (w.reshape(1, 2).sum(axis=0) * tensor([1.0, 1.0], "float64")).sum(),
            lambda w: Repeated()(w).sum(),
        ],
        ids=["a view of the start", "one number repeated", "sums", "a read-only view", "a writable repetition"],
    )
    def test_no_gradient_is_read_only_or_repeats_an_element(self, function: Any) -> None:
        w = leaf(1.0, 2.0)
        function(w).backward()
        w.grad.data *= 0.5
        w.grad.data[0] = 7
        assert w.grad.numpy().tolist() == [7, 0.5]

    def test_the_gradient_that_was_given_stays(self) -> None:
        w, start = leaf(1.0, 2.0), tensor([1.0, 1.0], "float64")
        w.backward(start)
        w.grad.data *= 0.5
        assert start.numpy().tolist() == [1, 1]

    def test_a_copied_gradient_can_be_differentiated(self) -> None:
        a, b, c = leaf(1.0, 2.0), leaf(3.0, 5.0), leaf(7.0, 11.0)
        ((a + b) * c * c).sum().backward(create_graph=True)
        assert not numpy.shares_memory(a.grad.data, b.grad.data)
        for x in (a, b):
            assert grad(x.grad.sum(), c, retain_graph=True).numpy().tolist() == [14, 22]

    def test_a_weight_s_gradient_is_not_copied(self) -> None:
        """Its array is new, and nobody else's; so is the sum that a bias gets, though it was reshaped."""
        made = []

        class Watched(Function):
            def forward(self, x: numpy.ndarray) -> numpy.ndarray:
                return 2 * x

            def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
                made.append(Tensor((g.data * 2).reshape(2, 1).reshape(2)))
                return made[0]

        w = leaf(1.0, 2.0)
        Watched()(w).sum().backward()
        assert w.grad.data is made[0].data


class Marked(Tensor):
    """A subclass with nothing of its own."""


class TestKindsOfTensors:
    def test_a_subclass_is_an_operand(self) -> None:
        x = Marked(numpy.array([1.0, 2.0]), requires_grad=True)
        y = (x * x + 1.0 - x).sum()
        y.backward()
        assert x.grad.numpy().tolist() == [1, 3]
        assert grad((x * 2.0).sum(), x).numpy().tolist() == [2, 2]

    def test_a_scalar_of_numpy_s_is_an_array_of_no_axes(self) -> None:
        assert Tensor(numpy.float32(1), requires_grad=True).data.shape == ()
        s = tensor(2.0, requires_grad=True)
        s.data = s.data * 0.5
        optim.SGD([s], lr=0.1).minimize(s * s)
        assert s.item() == pytest.approx(0.8)


class TestFused:
    def test_the_recorded_backward_computes_only_what_is_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[list[bool]] = []

        class Product(Function):
            def forward(self, a: Any, b: Any) -> Any:
                return a * b

            def backward(self, g: Tensor, y: Tensor, needs: Any, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
                seen.append(list(needs))
                return g * b if needs[0] else None, g * a if needs[1] else None

        class FusedProduct(Fused):
            def forward(self, a: Any, b: Any) -> Any:
                return a * b

            def composite(self, a: Tensor, b: Tensor) -> Tensor:
                return Product()(a, b)

        a, b = leaf(2.0), leaf(5.0)
        first = grad(FusedProduct()(a, b), a, create_graph=True)
        assert seen == [[True, False]]
        assert grad(first, b).item() == 1
