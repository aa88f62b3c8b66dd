"""What must hold for every layer, said once and asked of every row of `layer_table`; then what is particular to a few."""

from collections.abc import Callable

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_row import Row
from layer_table import ROWS, OfItsParts, every_layer
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, grad, manual_seed, nn
from tinygen.engine.tensor import Shape
from tinygen.testing import gradcheck_module, labels, tensors

modest = settings(deadline=None, max_examples=5)
seeds = st.integers(0, 2**32 - 1)


def test_the_table_covers_every_layer() -> None:
    layers = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    made = [row.make() for row in ROWS]
    assert {type(layer.layer if isinstance(layer, OfItsParts) else layer) for layer in made} == layers - {nn.Module, nn.Sequential}


@every_layer
def test_its_text(row: Row) -> None:
    layer = row.make()
    parts = [f"\n{name}: {part!r}".replace("\n", "\n  ") for name, part in layer.children()]
    assert layer.describe() == row.text
    assert repr(layer) == (f"{type(layer).__name__}({''.join(parts)}\n)" if parts else row.text)


@every_layer
def test_its_tensors_come_by_name_in_the_order_of_definition(row: Row) -> None:
    layer = row.make()
    assert [(name, t.shape) for name, t in layer.named_parameters()] == list(row.parameters.items())
    assert [(name, t.shape) for name, t in layer.named_buffers()] == list(row.buffers.items())
    assert {t.dtype for _, t in layer.named_tensors()} <= {numpy.dtype("float32")}


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_it_is_its_function(row: Row, training: bool, device: str) -> None:
    layer, x = row.layer(device=device).train(training), row.input(device=device)
    manual_seed(1)
    expected = row.function(layer, x)
    manual_seed(1)
    y = layer(x)
    assert y.shape == row.gives and y.device == x.device
    # cuBLAS adds in another order where a layer makes one product of a sequence's steps.
    tolerance = 0 if device == "cpu" else 1e-5
    assert_allclose(y.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


@every_layer
def test_float32_stays_float32(row: Row) -> None:
    layer, x = row.layer(), row.input()
    y = layer(x)
    inputs = [t for t in [x, *layer.parameters()] if t.requires_grad]
    assert {t.dtype for t in [y, *grad(y.sum(), inputs)]} == {numpy.dtype("float32")}
    assert {t.dtype for _, t in layer.named_tensors()} <= {numpy.dtype("float32")}


@pytest.mark.parametrize(
    ("make", "takes", "gives"),
    [
        (lambda: nn.Dense(3, 4), (0, 3), (0, 4)),
        (lambda: nn.Conv2D(12, 4, 3), (0, 5, 5, 12), (0, 3, 3, 4)),
        (lambda: nn.ConvTranspose2D(2, 3, 4, 2, 1), (0, 5, 5, 2), (0, 10, 10, 3)),
        (lambda: nn.LSTM(3, 4), (0, 2, 3), (0, 2, 4)),
    ],
    ids=["Dense", "Conv2D", "ConvTranspose2D", "LSTM"],
)
def test_no_examples_at_all(make: Callable[[], nn.Module], takes: Shape, gives: Shape, device: str) -> None:
    """A mask may choose none."""
    x = F.zeros(takes, device=device, requires_grad=True)
    layer = make().to(device)
    y = layer(x)
    assert y.shape == gives
    found = grad(y.sum(), [x, *layer.parameters()])
    assert [g.shape for g in found] == [t.shape for t in [x, *layer.parameters()]]
    assert not any(g.numpy().any() for g in found)


def test_an_output_size_chooses_among_those_that_a_stride_takes_to_one() -> None:
    layer, x = nn.ConvTranspose2D(2, 1, 3, stride=2, padding="same"), F.ones((1, 3, 3, 2))
    assert [layer(x, output_size=size).shape[1:3] for size in (5, (6, 5))] == [(5, 5), (6, 5)]
    assert_array_equal(layer(x, output_size=6).numpy(), layer(x).numpy())


@every_layer
@modest
@given(data=st.data(), seed=seeds, training=st.booleans())
def test_its_gradients(row: Row, data: st.DataObject, seed: int, training: bool) -> None:
    layer = row.layer(seed).train(training)
    before = layer.state_dict()
    gradcheck_module(layer, data.draw(labels(row.labels, row.takes) if row.labels else tensors(row.takes)), seed=seed)
    for name, array in layer.state_dict().items():
        assert array.dtype == before[name].dtype
        assert_array_equal(array, before[name])


@every_layer
@modest
@given(one=seeds, other=seeds)
def test_its_state_makes_another_the_same(row: Row, one: int, other: int) -> None:
    layer, twin, x = row.layer(one).eval(), row.layer(other).eval(), row.input()
    twin.load_state_dict(layer.state_dict())
    assert twin.state_dict().keys() == {*row.parameters, *row.buffers}
    assert_array_equal(twin(x).numpy(), layer(x).numpy())


@every_layer
def test_outside_training_it_stays_the_same(row: Row) -> None:
    layer, x = row.layer().eval(), row.input()
    before = layer.state_dict()
    assert_array_equal(layer(x).numpy(), layer(x).numpy())
    for name, array in layer.state_dict().items():
        assert_array_equal(array, before[name])


@modest
@given(p=st.floats(0, 0.95), seed=seeds)
def test_dropout_is_the_identity_outside_training(p: float, seed: int) -> None:
    x = nn.Dropout(p).eval()(Tensor(numpy.random.default_rng(seed).standard_normal((5, 5))))
    assert_array_equal(x.numpy(), numpy.random.default_rng(seed).standard_normal((5, 5)))
