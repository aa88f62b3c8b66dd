"""Sizes of 0: every function gives what NumPy gives, with gradients of the inputs' shapes, or refuses in one sentence."""

from collections.abc import Sequence

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from op_row import Op, derivatives
from op_table import OPS
from wrong_arguments import FOREIGN

import tinygen as tg
from tinygen import Tensor, nn
from tinygen.engine.tensor import Shape


@st.composite
def emptied(draw: st.DrawFn, shapes: Sequence[Shape]) -> list[Shape]:
    """The shapes with one axis of size 0; or so with each axis of its size that is at its place, in all shapes."""
    of, axis = draw(st.sampled_from([(i, axis) for i, shape in enumerate(shapes) for axis in range(len(shape))]))
    size, back = shapes[of][axis], axis - len(shapes[of])
    choose = draw(
        st.sampled_from(
            [
                lambda i, k, shape: (i, k) == (of, axis),
                lambda i, k, shape: shape[k] == size and k == axis,
                lambda i, k, shape: shape[k] == size and k - len(shape) == back,
                lambda i, k, shape: shape[k] == size,
            ]
        )
    )
    return [tuple(0 if choose(i, k, shape) else n for k, n in enumerate(shape)) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("op", OPS, ids=str)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_function(op: Op, data: st.DataObject) -> None:
    example = data.draw(op.examples())
    shapes = [a.shape for a in example.arrays]
    assume(any(shapes))
    arrays = [numpy.full(shape, 0.7) for shape in data.draw(emptied(shapes))]
    inputs = [Tensor(a, requires_grad=True) for a in arrays]
    try:
        y, *gradients = derivatives(example.function, inputs)
    except (TypeError, ValueError, IndexError) as error:
        assert not FOREIGN.search(str(error)) and "cannot reshape" not in str(error), error
    else:
        assert [g.shape for g in gradients[: len(inputs)]] == [a.shape for a in arrays]
        if op.oracle:
            assert_allclose(y.numpy(), op.oracle(*arrays, **example.function.keywords), rtol=1e-12)  # type: ignore[attr-defined]


def test_batches_without_examples_through_a_network() -> None:
    model = nn.Sequential(
        *(nn.Conv2D(3, 8, 3, padding="same"), nn.LeakyReLU(), nn.MaxPool2D(2), nn.AvgPool2D(2), nn.LayerNorm(8), nn.Upsample2D(2)),
        *(nn.ConvTranspose2D(8, 8, 4, 2, 1), nn.SelfAttention2D(8), nn.Flatten(), nn.Dense(8 * 8 * 8, 2), nn.Dropout(0.5)),
    )
    x = tg.zeros((0, 8, 8, 3), requires_grad=True)
    y = model(x)
    assert y.shape == (0, 2)
    y.sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
    for p in model.parameters():
        assert p.grad is not None and not p.grad.numpy().any()


def test_max_pooling_without_images() -> None:
    x = tg.zeros((0, 4, 4, 3), requires_grad=True)
    tg.max_pool2d(x, 2).sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape
