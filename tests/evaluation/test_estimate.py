"""The margin of a number is as large as the number varies from one sample to the next."""

import math

import numpy
import pytest

from tinygen.evaluation.estimate import estimate
from tinygen.evaluation.metrics import frechet_distance


def test_of_a_mean_it_is_the_standard_error_of_the_mean() -> None:
    x = numpy.random.default_rng(0).exponential(3, 400)
    number = estimate([lambda i: x[i].mean()], len(x))
    assert number["value"] == x.mean()
    assert number["margin"] == pytest.approx(1.96 * x.std() / math.sqrt(len(x)), rel=0.15)
    assert estimate([lambda i: x[i].mean()], len(x)) == number, "the same draws each time"


def test_of_two_sets_it_has_the_variance_of_both() -> None:
    rng = numpy.random.default_rng(0)
    x, y = rng.normal(0, 3, 400), rng.normal(0, 4, 100)
    number = estimate([lambda i, j: x[i].mean() - y[j].mean()], len(x), len(y))
    assert number["margin"] == pytest.approx(1.96 * math.hypot(3 / 20, 4 / 10), rel=0.2)


def test_statistics_that_differ_add_the_error_of_their_mean() -> None:
    x = numpy.random.default_rng(0).standard_normal(10_000)
    alone = estimate([lambda i: x[i].mean()], len(x))
    number = estimate([lambda i, shift=shift: x[i].mean() + shift for shift in (0, 3, 6)], len(x))
    assert number["value"] == pytest.approx(alone["value"] + 3)
    assert number["margin"] == pytest.approx(math.hypot(alone["margin"], 1.96 * 3 / math.sqrt(3)))


def test_statistics_see_the_same_draws() -> None:
    """What one gains by a draw, the other loses: of their mean nothing varies."""
    x = numpy.random.default_rng(0).standard_normal(100)
    number = estimate([lambda i: x[i].mean() - x.mean(), lambda i: x.mean() - x[i].mean()], len(x))
    assert number["margin"] == pytest.approx(0, abs=1e-12)


def test_of_a_frechet_distance_it_is_about_what_new_samples_show() -> None:
    rng = numpy.random.default_rng(0)

    def draw() -> tuple[numpy.ndarray, numpy.ndarray]:
        return rng.standard_normal((200, 3)), rng.standard_normal((200, 3)) * 1.5 + 1

    shown = 1.96 * numpy.std([frechet_distance(*draw()) for _ in range(200)])
    x, y = draw()
    assert estimate([lambda i, j: frechet_distance(x[i], y[j])], 200, 200)["margin"] == pytest.approx(shown, rel=0.35)
