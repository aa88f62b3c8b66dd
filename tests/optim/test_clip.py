"""Clipping by the norm scales all gradients alike, each once, and changes none in place."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal
from optimizer_table import leaf

from tinygen import Tensor, tensor
from tinygen.optim import clip_grad_norm

modest = settings(deadline=None, max_examples=25)


class TestClipGradNorm:
    @modest
    @given(
        gradients=st.lists(stn.arrays("float32", st.integers(1, 4), elements=st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=3),
        max_norm=st.floats(1e-2, 1e4),
    )
    def test_scales_all_gradients_alike(self, gradients: list[ndarray], max_norm: float) -> None:
        parameters = [leaf(0), *[leaf(*g) for g in gradients]]
        kept = [Tensor(g.copy()) for g in gradients]
        for p, g in zip(parameters[1:], kept, strict=True):
            p.grad = g
        norm = math.hypot(*numpy.concatenate(gradients).tolist())
        assert clip_grad_norm((p for p in parameters), max_norm) == pytest.approx(norm, rel=1e-12)
        assert parameters[0].grad is None
        for p, g, original in zip(parameters[1:], kept, gradients, strict=True):
            assert p.grad is not None and p.grad.dtype == numpy.float32
            assert_allclose(p.grad.numpy(), original * min(1, max_norm / max(norm, 1e-30)), rtol=1e-6, atol=1e-30)
            assert_array_equal(g.numpy(), original)  # whoever else holds the gradient keeps it
            assert norm > max_norm or p.grad is g

    def test_a_gradient_of_two_parameters_is_scaled_once(self) -> None:
        """As addition leaves it: the gradients of both terms are one Tensor."""
        a, b = leaf(1, 2), leaf(3, 4)
        ((a + b) * tensor([3.0, 4.0])).sum().backward()
        assert clip_grad_norm([a, b], 1.0) == pytest.approx(math.sqrt(50))
        for p in (a, b):
            assert p.grad is not None
            assert_allclose(p.grad.numpy(), numpy.array([3, 4]) / math.sqrt(50), rtol=1e-6)

    def test_what_is_frozen_does_not_count(self) -> None:
        p, frozen = leaf(1), leaf(1)
        p.grad, frozen.grad = leaf(3).detach(), leaf(4).detach()
        frozen.requires_grad = False
        assert clip_grad_norm([p, frozen], 1.0) == pytest.approx(3)
        assert frozen.grad is not None and frozen.grad.item() == 4
