"""The strategies draw what they say, and the rare cases come, too."""

from typing import Any

import numpy
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinygen import Tensor
from tinygen.testing import broadcastable_shapes, images, labels, sequences, shapes, tensors

modest = settings(deadline=None, max_examples=50)


class TestStrategies:
    @modest
    @given(x=tensors())
    def test_tensors_are_leaves_with_distinct_values_away_from_kinks(self, x: Tensor) -> None:
        values = numpy.sort(x.numpy(), axis=None)
        assert x.requires_grad and x.node is None and x.dtype == numpy.float64
        assert abs(values).min() >= 1e-3 and abs(values).max() <= 2
        assert (numpy.diff(values) > 1e-4).all()

    @modest
    @given(x=tensors(st.just((2, 3)), low=0.5, high=1.5, dtype=numpy.float32, contiguous=False))
    def test_tensors_are_as_asked(self, x: Tensor) -> None:
        assert x.shape == (2, 3) and x.dtype == numpy.float32 and not x.data.flags.c_contiguous
        assert x.numpy().min() >= 0.5 and x.numpy().max() <= 1.5

    @modest
    @given(sizes=broadcastable_shapes(3, max_dims=2, max_side=3))
    def test_broadcastable_shapes_broadcast(self, sizes: Any) -> None:
        full = numpy.broadcast_shapes(*sizes)
        assert len(sizes) == 3 and len(full) <= 2 and max(full, default=1) <= 3

    @modest
    @given(shape=shapes(2, 3, 5), x=images(3, max_side=4, max_batch=2), s=sequences(5, 3, 2), classes=labels(4, shapes(1, 2)))
    def test_they_stay_within_their_bounds(self, shape: tuple[int, ...], x: Tensor, s: Tensor, classes: Tensor) -> None:
        assert 2 <= len(shape) <= 3 and min(shape) >= 1 and max(shape) <= 5
        n, h, w, c = x.shape
        assert n <= 2 and max(h, w) <= 4 and c == 3
        assert s.shape[0] <= 2 and s.shape[1] <= 3 and s.shape[2] == 5
        assert 1 <= classes.ndim <= 2 and classes.dtype.kind == "i" and 0 <= classes.numpy().min() <= classes.numpy().max() < 4

    @pytest.mark.parametrize(
        "strategy, wanted",
        [
            (tensors(), lambda x: not x.data.flags.c_contiguous),
            (tensors(), lambda x: x.ndim == 0),
            (images(), lambda x: x.shape[1] != x.shape[2]),
            (images(), lambda x: x.shape[1:3] == (1, 1)),
            (broadcastable_shapes(), lambda sizes: len(sizes[0]) < len(sizes[1])),
            (broadcastable_shapes(), lambda sizes: numpy.broadcast_shapes(*sizes) not in sizes),
        ],
        ids=["strided", "no axes", "not square", "one pixel", "axes left out", "both stretched"],
    )
    def test_the_rare_cases_do_come(self, strategy: st.SearchStrategy[Any], wanted: Any) -> None:
        find(strategy, wanted, settings=settings(database=None, max_examples=10_000))
