"""Spectral normalisation against NumPy's singular values."""

from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinygen import Tensor, grad, manual_seed, nn, no_grad, zeros
from tinygen.engine.tensor import Shape
from tinygen.testing import gradgradcheck, random_tensor, tensors

modest = settings(deadline=None, max_examples=20)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 4)
layers = st.one_of(
    st.builds(lambda i, o: (nn.Dense(i, o), (1, i)), sizes, sizes),
    st.builds(lambda k, i, o: (nn.Conv2D(i, o, k), (1, 4, 4, i)), sizes, sizes, sizes),
    st.builds(lambda k, i, o: (nn.ConvTranspose2D(i, o, k), (1, 4, 4, i)), sizes, sizes, sizes),
)


def with_gap(shape: Shape, seed: int) -> numpy.ndarray:
    """A random weight whose largest singular value is 3 and whose others are from 1 to 2, so that few iterations settle it."""
    rng = numpy.random.default_rng(seed)
    left, s, right = numpy.linalg.svd(rng.standard_normal((int(numpy.prod(shape[:-1])), shape[-1])), full_matrices=False)
    s[0], s[1:] = 3, rng.uniform(1, 2, len(s) - 1)
    return (left * s @ right).reshape(shape)


def normalized(layer: nn.Module, seed: int, shape: Shape, forwards: int) -> nn.SpectralNorm:
    """The layer with such a weight, after so many forwards in training."""
    manual_seed(seed)
    model = nn.SpectralNorm(layer).double()
    layer.weight.data = with_gap(layer.weight.shape, seed)
    for _ in range(forwards):
        model(zeros(shape, "float64"))
    return model


@modest
@given(made=layers, seed=seeds)
def test_the_largest_singular_value_tends_to_one(made: tuple[nn.Module, Shape], seed: int) -> None:
    layer, shape = made
    model = normalized(layer, seed, shape, 60)
    x = Tensor(numpy.random.default_rng(seed).standard_normal(shape))
    effective = layer.weight.numpy() / model.sigma().item()
    assert_allclose(numpy.linalg.svd(effective.reshape(-1, effective.shape[-1]))[1].max(), 1, rtol=1e-9)
    y = model(x)
    layer.weight.data = effective
    assert_allclose(y.numpy(), layer(x).numpy(), rtol=1e-9, atol=1e-9)


@modest
@given(seed=seeds)
def test_the_estimate_grows_to_the_singular_value_and_never_beyond(seed: int) -> None:
    model = normalized(nn.Dense(4, 3), seed, (1, 4), 0)
    estimates = []
    with no_grad():
        for _ in range(60):
            estimates.append(model.sigma().item())
            model(zeros((1, 4), "float64"))
    assert (numpy.diff(estimates) >= -1e-12).all()
    assert estimates[-1] == pytest.approx(3, rel=1e-9) and max(estimates) <= 3 + 1e-9


@modest
@given(seed=seeds, forwards=st.integers(0, 2), x=tensors((2, 3, 3, 2)))
def test_its_derivatives_are_those_of_the_estimate_to_second_order(seed: int, forwards: int, x: Tensor) -> None:
    model = normalized(nn.Conv2D(2, 2, 2), seed, x.shape, forwards).eval()

    def applied(x: Tensor, weight: Tensor) -> Tensor:
        vars(model.layer)["weight"] = weight
        return model(x)

    gradgradcheck(applied, x, model.layer.weight)


@modest
@given(seed=seeds)
def test_once_exact_the_gradient_is_the_outer_product_of_the_singular_vectors(seed: int) -> None:
    model = normalized(nn.Dense(4, 3), seed, (1, 4), 60)
    left, _, right = numpy.linalg.svd(model.layer.weight.numpy())
    assert_allclose(grad(model.sigma(), model.layer.weight).numpy(), numpy.outer(left[:, 0], right[0]), atol=1e-8)


def test_a_later_forward_leaves_the_graph_of_an_earlier_one_right() -> None:
    x = random_tensor((2, 4), numpy.random.default_rng(0))
    found = []
    for later in (False, True):
        model = normalized(nn.Dense(4, 3), 0, (1, 4), 1)
        y = (model(x) * model(x)).sum()
        if later:
            model(x)
        found.append(grad(y, model.layer.weight).numpy())
    assert_array_equal(*found)


def test_outside_training_u_stays() -> None:
    model = nn.SpectralNorm(nn.Dense(4, 3))
    before = model.u.numpy().copy()
    model.eval()(zeros((1, 4)))
    assert_array_equal(model.u.numpy(), before)
    model.train()(zeros((1, 4)))
    assert abs(model.u.numpy() - before).max() > 1e-3


def test_its_layer_keeps_the_parameter_while_it_runs() -> None:
    class Watched(nn.Dense):
        def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
            seen.append([name for name, _ in model.named_parameters()])
            return super().forward(x, weight)

    seen = list[list[str]]()
    model = nn.SpectralNorm(Watched(4, 3))
    weight = model.layer.weight
    model(zeros((1, 4))).sum().backward()
    assert seen == [["layer.weight", "layer.bias"]]
    assert model.layer.weight is weight and weight.grad is not None


def test_threads_share_it_in_evaluation() -> None:
    model = nn.SpectralNorm(nn.Dense(4, 3)).eval()
    state, x = model.state_dict(), random_tensor((2, 4), numpy.random.default_rng(0), dtype="float32")
    expected = model(x).numpy()

    def wrong(_: int) -> int:
        return sum((model(x).numpy() != expected).any() for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, range(4))) == [0] * 4
    assert model.state_dict().keys() == state.keys() and len(model.parameters()) == 2


def test_to_look_at_sigma_changes_nothing() -> None:
    model = nn.SpectralNorm(nn.Dense(4, 3))
    before = model.u.numpy().copy()
    assert model.sigma().item() == model.sigma().item()
    assert_array_equal(model.u.numpy(), before)


def test_a_weight_of_zeros_gives_zeros() -> None:
    model = nn.SpectralNorm(nn.Dense(4, 3, bias=False))
    model.layer.weight.data[...] = 0
    y = model(random_tensor((2, 4), numpy.random.default_rng(0), dtype="float32"))
    assert_array_equal(y.numpy(), 0)
    assert numpy.isfinite(grad(y.sum(), model.layer.weight).numpy()).all()
