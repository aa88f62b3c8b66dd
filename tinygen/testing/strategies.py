"""Strategies of hypothesis for shapes and tensors."""

from typing import Any

import numpy
from hypothesis import strategies as st

from tinygen.engine.tensor import Tensor
from tinygen.testing.gradcheck import random_tensor


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes, sizes 1 among them."""
    return st.lists(st.integers(1, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def broadcastable_shapes(draw: st.DrawFn, number: int = 2, max_dims: int = 3, max_side: int = 4) -> tuple[tuple[int, ...], ...]:
    """As many shapes that broadcast together, by axes of size 1 and by leading axes left out."""
    full = draw(shapes(0, max_dims, max_side))
    drawn = []
    for _ in range(number):
        kept = full[draw(st.integers(0, len(full))) :]
        drawn.append(tuple(1 if draw(st.booleans()) else n for n in kept))
    return tuple(drawn)


@st.composite
def tensors(
    draw: st.DrawFn, shape: Any = None, low: float = -2.0, high: float = 2.0, dtype: Any = numpy.float64, contiguous: bool | None = None
) -> Tensor:
    """Leaves that require gradients, of a shape or a strategy of shapes, with values from low to high, distinct and none within 1e-3 of 0.

    So kinks at 0 and ties are farther away than the step of `gradcheck`. One in two is not contiguous in memory unless `contiguous` says.
    """
    size = draw(shape if isinstance(shape, st.SearchStrategy) else st.just(shape) if shape is not None else shapes())
    rng = numpy.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random_tensor(size, rng, low, high, dtype, draw(st.booleans()) if contiguous is None else contiguous)


def images(channels: int = 2, max_side: int = 6, max_batch: int = 2) -> st.SearchStrategy[Tensor]:
    """Small images (N, H, W, channels), square or not, down to one pixel."""
    sides = st.integers(1, max_side)
    return tensors(st.tuples(st.integers(1, max_batch), sides, sides, st.just(channels)))
