"""Strategies of hypothesis for shapes and tensors."""

from typing import Any

import numpy
from hypothesis import strategies as st

from tinygen.engine.tensor import Tensor
from tinygen.testing.gradcheck import random_tensor

_SEEDS = st.integers(0, 2**32 - 1)


def shapes(min_dims: int = 0, max_dims: int = 4, max_side: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes with sizes from 1 to max_side."""
    return st.lists(st.integers(1, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def broadcastable_shapes(draw: st.DrawFn, number: int = 2, max_dims: int = 3, max_side: int = 4) -> tuple[tuple[int, ...], ...]:
    """A tuple of shapes that broadcast together: some axes have size 1, some leading axes are missing."""
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
    """Leaves that require gradients, with distinct values from low to high, none of them within 1e-3 of 0.

    So kinks at 0 and ties are farther away than the step of `gradcheck`. `shape` is a shape or a strategy
    of shapes. Half of the tensors are not contiguous in memory, unless `contiguous` says which.
    """
    size = draw(shape if isinstance(shape, st.SearchStrategy) else st.just(shape) if shape is not None else shapes())
    rng = numpy.random.default_rng(draw(_SEEDS))
    return random_tensor(size, rng, low, high, dtype, draw(st.booleans()) if contiguous is None else contiguous)


def images(channels: int = 2, max_side: int = 6, max_batch: int = 2) -> st.SearchStrategy[Tensor]:
    """Small images (N, H, W, channels), square or not, down to one pixel."""
    sides = st.integers(1, max_side)
    return tensors(st.tuples(st.integers(1, max_batch), sides, sides, st.just(channels)))


def sequences(features: int = 3, max_steps: int = 4, max_batch: int = 3) -> st.SearchStrategy[Tensor]:
    """Short sequences (N, T, features), down to one step."""
    return tensors(st.tuples(st.integers(1, max_batch), st.integers(1, max_steps), st.just(features)))


def labels(classes: int, shape: Any = (4,)) -> st.SearchStrategy[Tensor]:
    """Integers from 0 to classes - 1. `shape` is a shape or a strategy of shapes."""
    sizes = shape if isinstance(shape, st.SearchStrategy) else st.just(shape)
    return sizes.flatmap(
        lambda size: st.builds(lambda seed: Tensor(numpy.asarray(numpy.random.default_rng(seed).integers(classes, size=size))), _SEEDS)
    )
