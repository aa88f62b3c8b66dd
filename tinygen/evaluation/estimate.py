"""Numbers with their margins of error.

Images are a sample, and so is a classifier that was trained from random weights. Other images and
other classifiers would give other numbers; the margin of a number says how far apart they would be.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy

RESAMPLES = 200


class Estimate(TypedDict):
    """A number with its 95% interval, which reaches from value - margin to value + margin."""

    value: float
    margin: float


def estimate(statistics: Sequence[Callable[..., Any]], *sizes: int) -> Estimate:
    """The mean of the statistics on sets of images of these sizes, with its margin.

    Each statistic is the same number, seen by another classifier. It takes one array of row indices
    per set of images and returns the number for those rows; an index may occur more than once.

    The margin is 1.96 standard errors. The variance has two terms:

        images        the variance of the mean under the bootstrap (Efron, 1979): 200 times, each
                      set is replaced by as many draws from it, with replacement, the same draws
                      for all statistics. The draws are the same in every call.
        classifiers   the variance between the S statistics, divided by S

    The interval is centred on the value and does not use the quantiles of the resampled numbers,
    because images that occur twice bias some statistics: they raise a Frechet distance and lower an
    entropy or a share of neighbours. For the same reason the margin of a statistic near its best
    value is up to twice too wide. A share of exactly 0 or 1 has a margin of 0: what never occurred
    is not resampled.
    """
    values = [float(statistic(*(numpy.arange(n) for n in sizes))) for statistic in statistics]
    generator = numpy.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        draws = [generator.integers(n, size=n) for n in sizes]
        resampled.append(numpy.mean([statistic(*draws) for statistic in statistics]))
    variance = numpy.var(resampled, ddof=1)
    if len(values) > 1:
        variance += numpy.var(values, ddof=1) / len(values)
    return {"value": float(numpy.mean(values)), "margin": 1.96 * math.sqrt(variance)}
