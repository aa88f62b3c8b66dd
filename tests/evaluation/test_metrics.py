"""The metrics against their definitions."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinygen.command_line import UsageError
from tinygen.evaluation import metrics
from tinygen.evaluation.features import train_classifier
from tinygen.evaluation.metrics import Neighbours, entropy, frechet_distance, gaussian_frechet_distance

modest = settings(deadline=None, max_examples=50)


@st.composite
def rows(draw: st.DrawFn, least: int = 2, width: int | None = None) -> numpy.ndarray:
    """Rows of numbers of mean and spread of their own, (n, d), n at times below d."""
    rng = numpy.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(least, 12)), width or draw(st.integers(1, 6))
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) * draw(st.sampled_from([0.1, 1.0, 100.0])) + 10 * rng.standard_normal(
        d
    )


pairs = st.integers(1, 6).flatmap(lambda width: st.tuples(rows(width=width), rows(width=width)))


def scale(*sets: numpy.ndarray) -> float:
    """What a Frechet distance is small against."""
    return sum(float(x.var(axis=0).sum()) for x in sets) + float(
        numpy.ptp([x.mean(axis=0) for x in sets], axis=0) @ numpy.ones(sets[0].shape[1])
    )


class TestFrechetDistance:
    @modest
    @given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 8))
    def test_of_diagonal_gaussians_is_that_of_means_and_deviations(self, seed: int, d: int) -> None:
        rng = numpy.random.default_rng(seed)
        (m, s), (n, t) = rng.standard_normal((2, 2, d))
        s, t = abs(s), abs(t)
        expected = ((m - n) ** 2).sum() + ((s - t) ** 2).sum()
        assert_allclose(gaussian_frechet_distance(m, numpy.diag(s**2), n, numpy.diag(t**2)), expected, rtol=1e-10)

    @modest
    @given(pair=pairs)
    def test_is_symmetric(self, pair: tuple[numpy.ndarray, numpy.ndarray]) -> None:
        x, y = pair
        assert_allclose(frechet_distance(x, y), frechet_distance(y, x), rtol=0, atol=1e-7 * scale(x, y))

    @modest
    @given(x=rows(), seed=st.integers(0, 2**32 - 1))
    def test_to_the_same_rows_moved_is_the_square_of_the_move(self, x: numpy.ndarray, seed: int) -> None:
        move = numpy.random.default_rng(seed).standard_normal(x.shape[1])
        tolerance = 1e-7 * scale(x, x + move)
        assert frechet_distance(x, x) <= tolerance
        assert_allclose(frechet_distance(x, x[::-1] + move), move @ move, rtol=1e-7, atol=tolerance)

    @modest
    @given(pair=pairs, seed=st.integers(0, 2**32 - 1))
    def test_no_rotation_or_reflection_of_both_changes_it(self, pair: tuple[numpy.ndarray, numpy.ndarray], seed: int) -> None:
        x, y = pair
        q, _ = numpy.linalg.qr(numpy.random.default_rng(seed).standard_normal((x.shape[1], x.shape[1])))
        assert_allclose(frechet_distance(x @ q, y @ q), frechet_distance(x, y), rtol=0, atol=1e-6 * scale(x, y))

    @modest
    @given(x=rows(), factor=st.floats(0.1, 10))
    def test_to_rows_spread_wider_is_the_change_of_the_deviation(self, x: numpy.ndarray, factor: float) -> None:
        x = x - x.mean(axis=0)
        assert_allclose(
            frechet_distance(x, factor * x), (factor - 1) ** 2 * x.var(axis=0).sum(), rtol=1e-7, atol=1e-7 * scale(x, factor * x)
        )

    def test_means_are_in_float64(self) -> None:
        x = numpy.float32(3000.1) + numpy.random.default_rng(0).standard_normal((4001, 1)).astype(numpy.float32)
        wide = x.astype(numpy.float64)
        expected = (wide.mean() - wide[:7].mean()) ** 2 + (wide.std() - wide[:7].std()) ** 2
        assert_allclose(frechet_distance(x, x[:7]), expected, rtol=1e-9)


class TestNeighbours:
    @modest
    @given(pair=st.integers(1, 6).flatmap(lambda d: st.tuples(rows(4, d), rows(4, d))), k=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
    def test_all_four_by_their_definitions(self, pair: tuple[numpy.ndarray, numpy.ndarray], k: int, seed: int) -> None:
        generated, real = pair
        neighbours = Neighbours(generated, real, k)

        def radius(x: numpy.ndarray, i: int) -> float:
            return sorted(numpy.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1]

        def near_real(i: int, j: int) -> bool:
            return bool(numpy.linalg.norm(generated[i] - real[j]) <= radius(real, j))

        def near_generated(i: int, j: int) -> bool:
            return bool(numpy.linalg.norm(generated[i] - real[j]) <= radius(generated, i))

        rng = numpy.random.default_rng(seed)
        whole = numpy.arange(len(generated)), numpy.arange(len(real))
        for i, j in (whole, tuple(rng.integers(len(x), size=len(x)) for x in pair)):
            assert_allclose(neighbours.precision(i, j), numpy.mean([any(near_real(a, b) for b in j) for a in i]))
            assert_allclose(neighbours.density(i, j), numpy.mean([sum(near_real(a, b) for b in j) / k for a in i]), rtol=1e-6)
            assert_allclose(neighbours.recall(i, j), numpy.mean([any(near_generated(a, b) for a in i) for b in j]))
            assert_allclose(neighbours.coverage(i, j), numpy.mean([any(near_real(a, b) for a in i) for b in j]))

    def test_an_outlier_among_real_rows_raises_precision_more_than_density(self) -> None:
        rng = numpy.random.default_rng(0)
        real, generated, whole = rng.standard_normal((100, 4)), 8 + rng.standard_normal((100, 4)), numpy.arange(100)
        before = Neighbours(generated, real)
        real[0] = 16
        after = Neighbours(generated, real)
        assert before.precision(whole, whole) == 0 and after.precision(whole, whole) == 1
        assert after.density(whole, whole) == pytest.approx(0.2), "one neighbourhood of five"

    def test_need_more_rows_than_neighbours(self) -> None:
        few, many = numpy.zeros((5, 2)), numpy.zeros((6, 2))
        for pair in ((few, many), (many, few)):
            with pytest.raises(UsageError, match="the 5 nearest neighbours of each image need more than 5 images, got 5"):
                Neighbours(*pair)

    def test_the_nearest_row_is_found_in_every_block(self) -> None:
        reference = numpy.random.default_rng(0).standard_normal((9000, 3)).astype(numpy.float32)
        wanted = numpy.array([0, 4095, 4096, 8191, 8192, 8999])
        assert_allclose(metrics.nearest_distances(reference[wanted] + [1e-3, 0, 0], reference), 1e-3, atol=1e-5)

    @modest
    @given(pair=pairs)
    def test_distances_are_those_of_each_pair(self, pair: tuple[numpy.ndarray, numpy.ndarray]) -> None:
        x, y = pair
        expected = [[math.dist(a, b) for b in y] for a in x]
        assert_allclose(metrics.distances(x, y), expected, rtol=1e-7, atol=1e-7 * max(abs(x).max(), abs(y).max()))


@modest
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any))
def test_entropy(counts: list[int]) -> None:
    shares = numpy.array(counts) / sum(counts)
    assert math.isclose(entropy(shares), -sum(p * math.log(p) for p in shares if p), abs_tol=1e-12)
    assert entropy(numpy.full(len(counts), 1 / len(counts))) == pytest.approx(math.log(len(counts)), abs=1e-12)
    assert str(entropy(numpy.array([1.0, 0.0]))) == "0.0"


def test_one_class_is_too_few() -> None:
    with pytest.raises(UsageError, match="a classifier needs 2 classes or more to learn features from, got 1"):
        train_classifier(numpy.zeros((3, 8, 8, 1), numpy.uint8), numpy.zeros(3, int), 1, seed=0, steps=1)
