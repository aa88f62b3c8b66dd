import math
from collections.abc import Callable
from functools import partial

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinygen import manual_seed, nn, random_state
from tinygen.engine.tensor import Shape
from tinygen.nn import init
from tinygen.testing import shapes

modest = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
INITIALIZERS = [init.glorot, init.he, init.normal, init.orthogonal]

# (kh, kw, in, out), and the variance that the papers ask for. The shapes are large enough to measure it.
kernel, channels = st.integers(1, 4), st.integers(30, 60)
large = st.tuples(kernel, kernel, channels, channels)
VARIANCES: list[tuple[init.Initializer, Callable[[int, int, int, int], float]]] = [
    (init.glorot, lambda kh, kw, i, o: 2 / (kh * kw * i + kh * kw * o)),
    (init.he, lambda kh, kw, i, o: 2 / (kh * kw * i)),
    (init.normal, lambda kh, kw, i, o: 0.02**2),
    (partial(init.normal, std=0.5), lambda kh, kw, i, o: 0.25),
]


@pytest.mark.parametrize(("initializer", "variance"), VARIANCES, ids=["glorot", "he", "normal", "normal of 0.5"])
@modest
@given(shape=large, seed=seeds)
def test_mean_and_variance(initializer: init.Initializer, variance: Callable[..., float], shape: Shape, seed: int) -> None:
    """Within six standard errors, which one sample in 500 million exceeds; those of normal numbers, at least 900 of them."""
    manual_seed(seed)
    weight, expected = initializer(shape).astype("float64"), variance(*shape)
    assert abs(weight.mean()) < 6 * math.sqrt(expected / weight.size)
    assert abs(weight.var() / expected - 1) < 6 * math.sqrt(2 / weight.size)


@modest
@given(shape=large, seed=seeds)
def test_glorot_fills_its_bounds_evenly(shape: Shape, seed: int) -> None:
    manual_seed(seed)
    weight = init.glorot(shape)
    limit = math.sqrt(6 / (shape[0] * shape[1] * (shape[2] + shape[3])))
    assert abs(weight).max() <= limit * (1 + 1e-6)
    # A quarter of the numbers in each quarter of the bounds, within six standard errors.
    shares = numpy.histogram(weight, 4, (-limit, limit))[0] / weight.size
    assert_allclose(shares, 0.25, atol=6 * math.sqrt(0.25 * 0.75 / weight.size))


@modest
@given(shape=shapes(2, 4, 9), seed=seeds)
def test_orthogonal_rows_or_columns_are_orthonormal(shape: Shape, seed: int) -> None:
    manual_seed(seed)
    matrix = init.orthogonal(shape).reshape(-1, shape[-1]).astype("float64")
    rows, columns = matrix.shape
    gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    assert_allclose(gram, numpy.eye(min(rows, columns)), atol=1e-6)


def test_orthogonal_prefers_no_direction() -> None:
    """QR alone gives a diagonal of one sign; of 60 fair signs all agree once in 10^18."""
    manual_seed(0)
    for shape in [(1, 1), (3, 2), (2, 3)]:
        assert {numpy.sign(init.orthogonal(shape)[0, 0]) for _ in range(60)} == {-1, 1}


@pytest.mark.parametrize("initializer", INITIALIZERS, ids=lambda initializer: initializer.__name__)
@modest
@given(shape=shapes(2, 4, 5).filter(lambda shape: math.prod(shape) > 1), seed=seeds)
def test_the_same_seed_gives_the_same_bits(initializer: init.Initializer, shape: Shape, seed: int) -> None:
    made = []
    for _ in range(2):
        manual_seed(seed)
        made.append(initializer(shape))
    first, second = made
    assert first.shape == shape and first.dtype == numpy.float32
    assert first.tobytes() == second.tobytes()
    assert initializer(shape).tobytes() != first.tobytes()


def test_initialize_sets_the_weights_in_order_and_nothing_else(device: str) -> None:
    model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.Sequential(nn.BatchNorm(2), nn.Dense(2, 3)), nn.LayerNorm(3), nn.Dense(3, 1, bias=False))
    model.layers[3].weight.requires_grad = False
    model.to(device)
    before, held, asked = model.state_dict(), [t.data for _, t in model.named_tensors()], []

    def initializer(shape: Shape) -> numpy.ndarray:
        asked.append(shape)
        return numpy.full(shape, len(asked), numpy.float32)

    init.initialize(model, initializer)
    assert asked == [(3, 3, 1, 2), (2, 3)]
    after = model.state_dict()
    set_to = {"layers.0.weight": 1, "layers.1.layers.1.weight": 2}
    for name, array in before.items():
        assert_array_equal(after[name], numpy.full_like(array, set_to[name]) if name in set_to else array)
    assert all(t.data is array for (_, t), array in zip(model.named_tensors(), held, strict=True))


def test_omitted_weights_are_zero_and_nothing_is_drawn() -> None:
    """All weights that are not omitted are drawn, those after an error within the block too."""
    stream = random_state()
    with pytest.raises(KeyError), init.omitted():
        model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.GRU(3, 4), nn.Dense(2, 3))
        init.initialize(model, init.normal)
        assert all(not array.any() for name, array in model.state_dict().items() if name.endswith("weight"))
        raise KeyError
    assert_array_equal(random_state(), stream)
    assert all(initializer((4, 5)).all() for initializer in INITIALIZERS)
