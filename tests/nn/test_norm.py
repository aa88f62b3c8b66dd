"""The running statistics of batch normalisation against their recursion."""

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygen import Tensor, nn
from tinygen.testing import tensors

modest = settings(deadline=None, max_examples=5)


class TestRunningStatistics:
    @modest
    @given(batches=st.lists(tensors((4, 2, 3), dtype="float32"), min_size=1, max_size=4), momentum=st.floats(0, 0.99))
    def test_move_towards_those_of_each_batch(self, batches: list[Tensor], momentum: float) -> None:
        layer, mean, var = nn.BatchNorm(3, momentum), numpy.zeros(3), numpy.ones(3)
        held = layer.running_mean, layer.running_var, layer.running_mean.data, layer.running_var.data
        for x in batches:
            layer(x).sum().backward()
            mean = momentum * mean + (1 - momentum) * x.numpy().astype("float64").mean((0, 1))
            var = momentum * var + (1 - momentum) * x.numpy().astype("float64").var((0, 1))
        assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
        assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
        now = layer.running_mean, layer.running_var, layer.running_mean.data, layer.running_var.data
        assert all(a is b for a, b in zip(now, held, strict=True))
        assert all(t.node is None and not t.requires_grad and t.grad is None for t in held[:2])

    def test_become_those_of_the_data_and_serve_outside_training(self) -> None:
        layer, data = nn.BatchNorm(2), numpy.random.default_rng(0).normal([3, -1], [0.5, 4], (64, 2)).astype("float32")
        for _ in range(200):  # 0.9^200 is 7e-10
            layer(Tensor(data))
        assert_allclose(layer.running_mean.numpy(), data.mean(0), rtol=1e-4)
        assert_allclose(layer.running_var.numpy(), data.var(0), rtol=1e-4)
        one = layer.eval()(Tensor(data[:1])).numpy()
        assert_allclose(one, (data[:1] - data.mean(0)) / numpy.sqrt(data.var(0) + 1e-5), rtol=1e-3)
