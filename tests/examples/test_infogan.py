"""The one number that examples/infogan.py computes by itself."""

import itertools
from collections.abc import Callable

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def clustering_accuracy() -> Callable[..., float]:
    import infogan

    return infogan.clustering_accuracy


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=30))
@settings(deadline=None, max_examples=20)
def test_clustering_accuracy_is_that_of_the_best_matching(clustering_accuracy: Callable[..., float], pairs: list[tuple[int, int]]) -> None:
    clusters, labels = numpy.array(pairs).T
    right = [numpy.mean(clusters == numpy.array(matching)[labels]) for matching in itertools.permutations(range(10), 4)]
    assert clustering_accuracy(clusters, labels, 4) == pytest.approx(max(right))


def test_clusters_beyond_the_classes_and_classes_beyond_the_clusters_count_as_wrong(clustering_accuracy: Callable[..., float]) -> None:
    every = numpy.arange(40)
    assert clustering_accuracy(every[:10], numpy.zeros(10, int), 1) == 0.1
    assert clustering_accuracy(every % 10, every, 40) == 0.25
