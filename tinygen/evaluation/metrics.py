"""How good made images are, in numbers. Each number sees some failures and is blind to others, so they are read side by side:

    Frechet distance    blur, noise, missing classes; not whether images are copies
    recall, coverage    missing and repeated kinds of images
    entropy             missing classes
    nearest distances   copies of the training images; blur, too, makes distances small

All take rows of numbers, (N, d) on the host: features of images, or their pixels. Distances are Euclidean, in float64.
"""

import numpy


def frechet_distance(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """The squared Frechet distance between the Gaussians with the means and the (biased) covariances of the rows of x and of y.

    On Inception's features this is the FID (Heusel et al., 2017); on others it is not comparable with it. With fewer rows it is larger,
    so compare only at the same number of rows.
    """
    return gaussian_frechet_distance(x.mean(axis=0), _covariance(x), y.mean(axis=0), _covariance(y))


def gaussian_frechet_distance(mean_x: numpy.ndarray, cov_x: numpy.ndarray, mean_y: numpy.ndarray, cov_y: numpy.ndarray) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2) of the Gaussians N(m, C) and N(m', C') (Dowson & Landau, 1982).

    The last trace is the sum of the singular values of C^1/2 C'^1/2.
    """
    cross = numpy.linalg.svd(_root(cov_x) @ _root(cov_y), compute_uv=False).sum()
    distance = ((mean_x - mean_y) ** 2).sum() + numpy.trace(cov_x) + numpy.trace(cov_y) - 2 * cross
    return max(float(distance), 0.0)  # it is not negative; rounding may be


def recall(real: numpy.ndarray, made: numpy.ndarray, k: int = 5) -> float:
    """The share of real rows that lie within the made set: no farther from some made row than its k-th nearest other made row.

    Kynkaanniemi et al., 2019. High where every kind of real image is also made; noise, far from everything, raises it too.
    """
    return float((distances(real, made) <= _radii(made, k)).any(axis=1).mean())


def coverage(real: numpy.ndarray, made: numpy.ndarray, k: int = 5) -> float:
    """The share of real rows that have a made row near: no farther than their k-th nearest other real row (Naeem et al., 2020)."""
    return float((distances(made, real) <= _radii(real, k)).any(axis=0).mean())


def entropy(shares: numpy.ndarray) -> float:
    """-sum of p log p, in nats: log K for K classes with equal shares p, 0 for a single one."""
    positive = shares[shares > 0]
    return float((positive * numpy.log(1 / positive)).sum())


def nearest_distances(x: numpy.ndarray, reference: numpy.ndarray) -> numpy.ndarray:
    """The distance (N,) of each row of x to the nearest row of reference."""
    blocks = (reference[start : start + 4096] for start in range(0, len(reference), 4096))
    return numpy.minimum.reduce([distances(x, block).min(axis=1) for block in blocks])


def distances(x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """The distance (N, M) of each row of x to each row of y, by |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>."""
    x, y = x.astype(numpy.float64), y.astype(numpy.float64)
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return numpy.sqrt(numpy.maximum(squares, 0))


def _radii(x: numpy.ndarray, k: int) -> numpy.ndarray:
    """The distance (N,) of each row to its k-th nearest other row."""
    if len(x) <= k:
        raise ValueError(f"the {k} nearest neighbours of each image need more than {k} images, got {len(x)}")
    own = distances(x, x)
    numpy.fill_diagonal(own, numpy.inf)
    return numpy.partition(own, k - 1, axis=1)[:, k - 1]


def _covariance(x: numpy.ndarray) -> numpy.ndarray:
    centred = x - x.mean(axis=0, dtype=numpy.float64)
    return centred.T @ centred / len(x)


def _root(covariance: numpy.ndarray) -> numpy.ndarray:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = numpy.linalg.eigh(covariance)
    return vectors * numpy.sqrt(numpy.maximum(values, 0)) @ vectors.T
