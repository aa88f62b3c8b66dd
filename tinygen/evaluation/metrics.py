"""How good generated images are, in numbers. Each number sees some failures and is blind to others,
so they are read side by side:

    Frechet distance     sees blur, noise and missing classes, but not copies
    precision, density   see noise and blur, but not missing classes
    recall, coverage     see missing and repeated kinds of images
    entropy              sees missing classes
    nearest distances    see copies of the training images; blur makes these distances small, too

All functions take rows of numbers, (N, d) on the host: features of images, or their pixels.
Distances are Euclidean, in float64.
"""

import numpy

from tinygen.command_line import UsageError
from tinygen.data import Images


def frechet_distance(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """The squared Frechet distance between two Gaussians: those with the means and the (biased)
    covariances of the rows of x and of y, computed in float64.

    On Inception's features this is the FID (Heusel et al., 2017); on other features it cannot be
    compared with the FID. It grows as the number of rows shrinks, so compare only values of the
    same number of rows.
    """
    x, y = x.astype(numpy.float64), y.astype(numpy.float64)
    return gaussian_frechet_distance(x.mean(axis=0), _covariance(x), y.mean(axis=0), _covariance(y))


def gaussian_frechet_distance(mean_x: numpy.ndarray, cov_x: numpy.ndarray, mean_y: numpy.ndarray, cov_y: numpy.ndarray) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2) of the Gaussians N(m, C) and N(m', C').

    The formula is that of Dowson and Landau (1982). The last trace is the sum of the singular
    values of C^1/2 C'^1/2.
    """
    cross = numpy.linalg.svd(_root(cov_x) @ _root(cov_y), compute_uv=False).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + numpy.trace(cov_x) + numpy.trace(cov_y) - 2 * cross
    return max(float(distance), 0.0)  # it is not negative, but rounding may make it so


class Neighbours:
    """Which of real and generated rows lie in each other's neighbourhoods, counted four ways.

    The neighbourhood of a row reaches to its k-th nearest other row of its own set. Precision and
    recall are those of Kynkaanniemi et al. (2019), density and coverage those of Naeem et al.
    (2020). Raises UsageError if a set has k rows or fewer.

    The methods take the indices of the generated and of the real rows that count, some of them more
    than once in a bootstrap. The neighbourhoods remain those in the whole sets.
    """

    def __init__(self, generated: numpy.ndarray, real: numpy.ndarray, k: int = 5) -> None:
        self.k = k
        apart = distances(generated, real)
        # (generated, real), as float32 because a product of Booleans is slow
        self.near_real = (apart <= _radii(real, k)).astype(numpy.float32)
        self.near_generated = (apart <= _radii(generated, k)[:, None]).astype(numpy.float32)

    def precision(self, generated: numpy.ndarray, real: numpy.ndarray) -> float:
        """The share of generated rows that lie in the neighbourhood of a real row."""
        return float((self.near_real @ self._counts(real, 1) > 0)[generated].mean())

    def density(self, generated: numpy.ndarray, real: numpy.ndarray) -> float:
        """The mean number of neighbourhoods of real rows that a generated row lies in, over k.

        It may exceed 1. A real row far from all others, whose neighbourhood is large, raises the
        precision more than the density.
        """
        return float((self.near_real @ self._counts(real, 1))[generated].mean()) / self.k

    def recall(self, generated: numpy.ndarray, real: numpy.ndarray) -> float:
        """The share of real rows that lie in the neighbourhood of a generated row.

        Noise raises it, because the neighbourhoods of rows that are far apart are large.
        """
        return float((self._counts(generated, 0) @ self.near_generated > 0)[real].mean())

    def coverage(self, generated: numpy.ndarray, real: numpy.ndarray) -> float:
        """The share of real rows that have a generated row in their neighbourhood."""
        return float((self._counts(generated, 0) @ self.near_real > 0)[real].mean())

    def _counts(self, rows: numpy.ndarray, axis: int) -> numpy.ndarray:
        """How often each index occurs."""
        return numpy.bincount(rows, minlength=self.near_real.shape[axis]).astype(numpy.float32)


def entropy(shares: numpy.ndarray) -> float:
    """-sum of p log p, in nats: log K for K classes with equal shares p, 0 for a single class."""
    positive = shares[shares > 0]
    return float((positive * numpy.log(1 / positive)).sum())


def nearest_distances(x: numpy.ndarray, reference: Images) -> numpy.ndarray:
    """The distance (N,) of each row of x, flattened, to the nearest row of reference."""
    blocks = (numpy.asarray(reference[start : start + 4096]) for start in range(0, len(reference), 4096))
    flat = x.reshape(len(x), -1)
    return numpy.minimum.reduce([distances(flat, block.reshape(len(block), -1)).min(axis=1) for block in blocks])


def distances(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """The distance (N, M) of each row of x to each row of y, by |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>."""
    x, y = x.astype(numpy.float64), y.astype(numpy.float64)
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return numpy.sqrt(numpy.maximum(squares, 0))


def _radii(x: numpy.ndarray, k: int) -> numpy.ndarray:
    """The distance (N,) of each row to its k-th nearest other row."""
    if len(x) <= k:
        raise UsageError(f"the {k} nearest neighbours of each image need more than {k} images, got {len(x)}")
    own = distances(x, x)
    numpy.fill_diagonal(own, numpy.inf)
    return numpy.partition(own, k - 1, axis=1)[:, k - 1]


def _covariance(x: numpy.ndarray) -> numpy.ndarray:
    centred = x - x.mean(axis=0)
    return centred.T @ centred / len(x)


def _root(covariance: numpy.ndarray) -> numpy.ndarray:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = numpy.linalg.eigh(covariance)
    return vectors * numpy.sqrt(numpy.maximum(values, 0)) @ vectors.T
