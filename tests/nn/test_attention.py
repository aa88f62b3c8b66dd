"""What attention means: who looks where, and what does not matter."""

import os
import subprocess
import sys
from unittest.mock import patch

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, detect_anomaly, nn
from tinygen.engine.tensor import Shape
from tinygen.functional import linalg
from tinygen.testing import broadcastable_shapes, gradgradcheck, random_tensor, tensors

modest = settings(deadline=None, max_examples=20)
seeds = st.integers(0, 2**32 - 1)


@modest
@given(x=tensors((2, 5, 4)), step=st.integers(0, 4), causal=st.booleans(), similarity=st.sampled_from(["dot", "cosine"]))
def test_a_causal_step_sees_none_that_come_later(x: Tensor, step: int, causal: bool, similarity: str) -> None:
    layer = nn.SelfAttention(4, 2, causal, similarity).double()
    with detect_anomaly():
        before, weights = layer(x).numpy(), layer.weights(x).numpy()
    changed = x.numpy().copy()
    changed[:, step] += 1
    moved = abs(layer(Tensor(changed)).numpy() - before).max((0, 2)) > 1e-12
    assert_array_equal(moved, numpy.arange(5) >= step if causal else True)
    assert weights.shape == (2, 2, 5, 5)
    assert_allclose(weights.sum(-1), 1, rtol=1e-12)
    assert ((numpy.triu(weights, 1) == 0).all()) == causal


@modest
@given(x=tensors((2, 5, 4)), causal=st.booleans(), similarity=st.sampled_from(["dot", "cosine"]))
def test_the_last_step_alone_is_the_last_of_all(x: Tensor, causal: bool, similarity: str) -> None:
    layer = nn.SelfAttention(4, 2, causal, similarity).double()
    assert_allclose(layer(x, last=True).numpy(), layer(x).numpy()[:, -1:], atol=1e-12)
    assert_allclose(layer.weights(x, last=True).numpy(), layer.weights(x).numpy()[:, :, -1:], atol=1e-12)


@modest
@given(x=tensors((2, 3, 4)), causal=st.booleans(), seed=seeds)
def test_a_mask_of_numbers_far_down_hides_what_one_of_booleans_does(x: Tensor, causal: bool, seed: int) -> None:
    layer = nn.SelfAttention(4, 2, causal).double()
    mask = numpy.random.default_rng(seed).random((2, 1, 3, 3)) < 0.5
    mask[..., 0] = True
    weights = layer.weights(x, mask).numpy()
    assert_allclose(layer.weights(x, numpy.where(mask, 0.0, -1e9)).numpy(), weights, rtol=1e-12)
    assert_array_equal(weights > 0, numpy.broadcast_to(mask & numpy.tri(3, dtype=bool) if causal else mask, weights.shape))
    assert_allclose(weights.sum(-1), 1, rtol=1e-12)


@modest
@given(x=tensors((2, 3, 4)), context=tensors((2, 5, 2)), hidden=st.integers(1, 4))
def test_cross_attention_sees_what_the_mask_shows_of_the_context(x: Tensor, context: Tensor, hidden: int) -> None:
    layer = nn.CrossAttention(4, 2, 2).double()
    shown = numpy.arange(5) >= hidden
    assert layer.weights(x, context, shown).shape == (2, 2, 3, 5)
    assert_allclose(layer(x, context, shown).numpy(), layer(x, context[:, hidden:]).numpy(), rtol=1e-9, atol=1e-12)


@modest
@given(x=tensors((1, 6, 4)), order=st.permutations(range(6)))
def test_without_a_mask_it_knows_no_order(x: Tensor, order: list[int]) -> None:
    layer = nn.SelfAttention(4).double()
    assert_allclose(layer(x[:, order]).numpy(), layer(x).numpy()[:, order], rtol=1e-9, atol=1e-12)


@modest
@given(x=tensors((1, 4, 4)), factor=st.floats(1, 100))
def test_cosines_do_not_see_lengths(x: Tensor, factor: float) -> None:
    layer = nn.SelfAttention(4, 2, similarity="cosine").double()
    assert_allclose(layer.weights(x * factor).numpy(), layer.weights(x).numpy(), rtol=1e-6)


@modest
@given(x=tensors((2, 3, 4, 8)), gamma=st.floats(-2, 2))
def test_in_two_dimensions_it_starts_as_the_identity_and_adds_gamma_times_what_it_sees(x: Tensor, gamma: float) -> None:
    layer = nn.SelfAttention2D(8).double()
    assert_array_equal(layer(x).numpy(), x.numpy())
    layer.gamma.data[...] = gamma
    weights = layer.weights(x).numpy()
    assert weights.shape == (2, 12, 12)
    seen = weights @ layer.value(x).numpy().reshape(2, 12, 8)
    assert_allclose(layer(x).numpy(), x.numpy() + gamma * seen.reshape(x.shape), rtol=1e-10, atol=1e-12)


def test_a_query_that_may_look_nowhere_looks_everywhere_alike() -> None:
    x = Tensor(numpy.random.default_rng(0).standard_normal((3, 2)))
    mask = numpy.tri(3, k=-1, dtype=bool)
    weights = F.attention_weights(x, x, mask=mask).numpy()
    assert_allclose(weights[0], 1 / 3)
    assert_array_equal(weights[1], [1, 0, 0])


@modest
@given(sizes=st.tuples(*[st.integers(1, 4)] * 3), stacks=broadcastable_shapes(2, max_dims=2, max_side=3), seed=seeds)
def test_stacks_of_products_are_the_same_one_by_one(sizes: tuple[int, int, int], stacks: tuple[Shape, Shape], seed: int) -> None:
    (m, k, n), rng = sizes, numpy.random.default_rng(seed)
    a, b = random_tensor((*stacks[0], k, m), rng), random_tensor((*stacks[1], k, n), rng)
    with patch.object(linalg, "_MANY", 1):
        assert_allclose((a.swapaxes(-1, -2) @ b).numpy(), a.numpy().swapaxes(-1, -2) @ b.numpy(), rtol=1e-12, atol=1e-12)
        gradgradcheck(lambda a, b: a.swapaxes(-1, -2) @ b, a, b)


def test_large_products_have_the_same_bits_whatever_threads_blas_may_use() -> None:
    code = (
        "import hashlib, numpy, tinygen as tg; tg.manual_seed(0); a, b = tg.randn((2, 3, 96, 70)), tg.randn((3, 70, 96));"
        "y = a @ b; assert abs(y.numpy() - a.numpy() @ b.numpy()).max() < 1e-4; print(hashlib.sha256(y.numpy().tobytes()).hexdigest())"
    )
    digests = set()
    for threads in "12":
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
        digests.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 1
