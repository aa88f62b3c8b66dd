"""How long anything lives: the graph, its tensors, and what training holds."""

import gc
import itertools
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from traced_memory import peak_memory
from watched import Watched

import tinygen.functional as F
from tinygen import Tensor, grad, tensor
from tinygen.testing import random_tensor


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Only reference counts free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def live_tensors() -> int:
    return sum(type(thing) is Tensor for thing in gc.get_objects())


@pytest.mark.usefixtures("without_collector")
class TestLife:
    def test_a_chain_of_ten_thousand_nodes(self) -> None:
        x = y = tensor(1.0, requires_grad=True)
        for _ in range(10_000):
            y = y + 1.0
        y.backward()
        assert x.grad.item() == 1
        for _ in range(10_000):
            y = y + x
        before = live_tensors()
        del y  # an unused graph is as deep
        assert live_tensors() == before - 10_000 - 1  # with the output of the freed chain

    @pytest.mark.parametrize("create_graph", [False, True])
    def test_a_graph_dies_with_its_output(self, create_graph: bool) -> None:
        x, gamma = random_tensor((2, 3, 3, 2), numpy.random.default_rng(0)), tensor(numpy.ones(2), requires_grad=True)

        def use() -> None:
            y = F.batch_norm(F.max_pool2d(x * x, 2, 1), gamma, gamma).sum()
            grad(y, x, create_graph=create_graph)

        use()
        gc.collect()  # what compiling the kernels, if this was the first time, has left behind
        before = live_tensors()
        use()
        assert live_tensors() == before

    def test_the_walk_frees_what_it_has_passed(self) -> None:
        """At the beginning of the chain, the tensor and the gradient at its end are gone."""
        alive = []
        x = tensor([1.0, 2.0], requires_grad=True)
        h = F.exp(Watched(lambda node, g: alive.extend(reference() is not None for reference in references))(x))
        references = [weakref.ref(h)]
        y = Watched(lambda node, g: references.append(weakref.ref(g)))(h * h).sum()
        del h
        y.backward()
        assert alive == [False, False]

    def test_training_keeps_nothing(self) -> None:
        """Fifty steps later as much memory is held as after one. A graph that were kept would hold 10 kB more at each."""
        rng = numpy.random.default_rng(0)
        images, w, gamma, beta = (random_tensor(size, rng) for size in [(4, 6, 6, 1), (3, 3, 1, 4), (4,), (4,)])
        running = tensor(numpy.zeros(4)), tensor(numpy.ones(4))

        def step() -> None:
            y = F.leaky_relu(F.batch_norm(F.conv2d(images.detach(), w), gamma, beta, *running))
            slope = grad(y.sum(), w, create_graph=True)
            ((y * y).mean() + (slope * slope).mean()).backward()
            for p in (w, gamma, beta):
                p.data -= 0.01 * p.grad.data
                p.grad = None

        tracemalloc.start()
        try:
            step()
            gc.collect()
            live, memory = live_tensors(), [tracemalloc.get_traced_memory()[0]]
            for _ in range(3):
                for _ in range(50):
                    step()
                assert live_tensors() == live
                assert gc.collect() == 0  # no cycles; and Python's free lists, which count as memory, are emptied
                memory.append(tracemalloc.get_traced_memory()[0])
            # Other threads of the process may take memory of their own once.
            assert min(after - before for before, after in itertools.pairwise(memory)) < 10_000
        finally:
            tracemalloc.stop()


class TestAConvolution:
    """Of a size for which a CPU takes Winograd's algorithm, which has matrices of its own to hold."""

    images, weight = (random_tensor(size, numpy.random.default_rng(0), dtype="float32") for size in [(64, 16, 16, 64), (3, 3, 64, 64)])

    def test_holds_its_result_once(self) -> None:
        def peak(n: int) -> int:
            return peak_memory(lambda: F.conv2d(self.images.detach()[:n], self.weight.detach(), padding=1))

        more, result = peak(64) - peak(32), self.images.data[32:].nbytes
        assert more < 1.1 * result

    @pytest.mark.parametrize("convolution", [F.conv2d, F.conv_transpose2d])
    def test_holds_no_gradient_of_images_while_it_computes_that_of_the_weight(self, convolution: Any) -> None:
        x, w = self.images, self.weight
        y = convolution(x, w, padding=1)
        g = tensor(y.numpy())

        def peak(inputs: Any) -> int:
            return peak_memory(lambda: grad(y, inputs, g, retain_graph=True))

        both, of_images, of_weight, result = peak([x, w]), peak(x), peak(w), w.data.nbytes
        assert both < max(of_images + 1.1 * result, 1.01 * of_weight)
