"""Judging a set of images by its quality, against test images, and by its novelty, against training
images."""

import math
from collections.abc import Sequence

import numpy

from tinygen.data import Images
from tinygen.evaluation.estimate import Estimate, estimate
from tinygen.evaluation.features import FeatureClassifier
from tinygen.evaluation.metrics import Neighbours, entropy, frechet_distance, nearest_distances


def judge_quality(images: Images, test_images: Images, classifiers: Sequence[FeatureClassifier]) -> dict[str, Estimate]:
    """How like the test images the images are, to classifiers that have seen neither.

    The Frechet distance is divided by the total variance of the test images' features, because
    classifiers differ in the scale of their features.

    Raises UsageError if there are too few images for `Neighbours`.
    """
    described = [classifier.describe_images(images) for classifier in classifiers]
    pairs = [(x, classifier.describe_images(test_images)[0]) for (x, _), classifier in zip(described, classifiers, strict=True)]
    neighbours = [Neighbours(x, y) for x, y in pairs]
    confidences = [p.max(axis=1) for _, p in described]
    shares = [numpy.eye(p.shape[1])[p.argmax(axis=1)] for _, p in described]
    n, m = len(images), len(test_images)
    return {
        "feature_frechet_distance": estimate([lambda i, j, x=x, y=y: relative_frechet_distance(x[i], y[j]) for x, y in pairs], n, m),
        "precision": estimate([each.precision for each in neighbours], n, m),
        "density": estimate([each.density for each in neighbours], n, m),
        "recall": estimate([each.recall for each in neighbours], n, m),
        "coverage": estimate([each.coverage for each in neighbours], n, m),
        "class_entropy": estimate([lambda i, s=s: entropy(s[i].mean(axis=0)) for s in shares], n),
        "mean_confidence": estimate([lambda i, c=c: c[i].mean() for c in confidences], n),
    }


def relative_frechet_distance(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """Between rows x and y, over the total variance of y, or over 1 if y does not vary."""
    return frechet_distance(x, y) / (float(y.var(axis=0).sum()) or 1.0)


def judge_novelty(nearest: numpy.ndarray, held_out: numpy.ndarray) -> dict[str, Estimate]:
    """How far from the training images the images are.

    Both arrays hold distances to the nearest training image: `nearest` those of the images to be
    judged, `held_out` those of images that are not among the training images. An image is a copy if
    it is nearer than 99 of 100 held-out images.
    """
    return {
        "nearest_training_distance": estimate([lambda i: numpy.median(nearest[i])], len(nearest)),
        "copies": estimate([lambda i, j: (nearest[i] < numpy.quantile(held_out[j], 0.01)).mean()], len(nearest), len(held_out)),
    }


def class_shares(images: Images, classifiers: Sequence[FeatureClassifier], classes: Sequence[str]) -> dict[str, Estimate]:
    """The share of each class in the images, as the classifiers see them."""
    seen = [classifier.classify(images) for classifier in classifiers]
    return {name: estimate([lambda i, s=s, k=k: (s[i] == k).mean() for s in seen], len(images)) for k, name in enumerate(classes)}


def nearest_training_distances(images: Images, training_images: Images) -> numpy.ndarray:
    """The distance (N,) of each uint8 image to the nearest training image, in root mean square per
    number of a pixel, from 0 to 1."""
    own = numpy.asarray(images)
    return nearest_distances(own, training_images) / (255 * math.sqrt(math.prod(own.shape[1:])))
