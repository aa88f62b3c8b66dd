"""The metrics against their definitions, and on real images that were made worse in known ways: each notices what it should."""

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from PIL import Image, ImageFilter

from tinygen import manual_seed
from tinygen.data import ImageDataset, load_images
from tinygen.evaluation import metrics
from tinygen.evaluation.evaluate import numbers, training_distances
from tinygen.evaluation.features import FEATURES, train_classifier
from tinygen.evaluation.metrics import coverage, entropy, frechet_distance, gaussian_frechet_distance, recall

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


class TestNeighbours:
    @modest
    @given(pair=st.integers(1, 6).flatmap(lambda d: st.tuples(rows(4, d), rows(4, d))), k=st.integers(1, 3))
    def test_recall_and_coverage_by_their_definitions(self, pair: tuple[numpy.ndarray, numpy.ndarray], k: int) -> None:
        real, made = pair

        def radius(x: numpy.ndarray, i: int) -> float:
            return sorted(numpy.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1]

        recalled = [any(numpy.linalg.norm(x - made[j]) <= radius(made, j) for j in range(len(made))) for x in real]
        covered = [any(numpy.linalg.norm(real[i] - y) <= radius(real, i) for y in made) for i in range(len(real))]
        assert recall(real, made, k) == numpy.mean(recalled)
        assert coverage(real, made, k) == numpy.mean(covered)
        assert recall(real, real, k) == coverage(real, real, k) == 1

    def test_need_more_rows_than_neighbours(self) -> None:
        x = numpy.zeros((5, 2))
        for function in (recall, coverage):
            with pytest.raises(ValueError, match="the 5 nearest neighbours of each image need more than 5 images, got 5"):
                function(x, x)

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


N = 400


class Worsened:
    """Numbers of real images, none of which the classifier has seen, after something was done to them."""

    def __init__(self) -> None:
        data = load_images()
        manual_seed(0)
        order = numpy.random.default_rng(0).permutation(len(data.train_images))
        images, labels = data.train_images[order], data.train_labels[order]
        self.data = ImageDataset(images[1400:], labels[1400:], data.test_images, data.test_labels, data.classes, "the others")
        self.classifier = train_classifier(self.data.train_images, self.data.train_labels, 10, steps=100)
        self.reference, _ = self.classifier.describe_images(images[:N])
        self.images, self.labels = images[N:1400], labels[N:1400]
        self.near = numpy.quantile(training_distances(data.test_images, self.data), 0.01)

    def numbers(self, images: numpy.ndarray) -> dict[str, float]:
        assert len(images) >= N
        return numbers(images[:N], self.classifier, self.reference, self.data, self.near)

    def blurred(self, radius: float) -> dict[str, float]:
        blur = ImageFilter.GaussianBlur(radius)
        return self.numbers(numpy.stack([numpy.asarray(Image.fromarray(image[..., 0]).filter(blur)) for image in self.images])[..., None])

    def noisy(self, deviation: float) -> dict[str, float]:
        noise = deviation * numpy.random.default_rng(1).standard_normal(self.images.shape)
        return self.numbers(numpy.clip(self.images + noise, 0, 255).astype(numpy.uint8))

    def of_classes(self, classes: int) -> dict[str, float]:
        """Of the first classes only; where these are few, some images come twice."""
        kept = self.images[self.labels < classes]
        return self.numbers(kept[numpy.arange(N) % len(kept)])

    def repeated(self, different: int) -> dict[str, float]:
        return self.numbers(self.images[numpy.arange(N) % different])


@pytest.fixture(scope="module")
def worsened() -> Worsened:
    return Worsened()


@pytest.fixture(scope="module")
def real(worsened: Worsened) -> dict[str, float]:
    return worsened.numbers(worsened.images)


class TestRealImagesMadeWorse:
    def test_the_floor(self, worsened: Worsened, real: dict[str, float]) -> None:
        assert worsened.reference.shape == (N, FEATURES) and (worsened.reference >= 0).all()
        assert (worsened.classifier.classify(worsened.data.test_images) == worsened.data.test_labels).mean() > 0.7
        assert real["feature_frechet_distance"] < 0.02 * worsened.reference.var(axis=0).sum()
        assert min(real["recall"], real["coverage"]) > 0.9
        assert real["class_entropy"] > 0.95 * math.log(10) and real["copies"] < 0.03

    @pytest.mark.parametrize(
        ("way", "degrees"),
        [("blurred", [0.5, 1, 2]), ("noisy", [20, 50, 100]), ("of_classes", [8, 5, 2]), ("repeated", [100, 30, 10])],
    )
    def test_the_worse_the_farther(self, worsened: Worsened, real: dict[str, float], way: str, degrees: list[float]) -> None:
        results = [real, *(getattr(worsened, way)(degree) for degree in degrees)]
        frechet, recalls, coverages = ([result[name] for result in results] for name in ("feature_frechet_distance", "recall", "coverage"))
        assert frechet == sorted(frechet) and frechet[-1] > 10 * frechet[0]
        assert recalls == sorted(recalls, reverse=True) and recalls[-1] < 0.6 * recalls[0]
        assert coverages == sorted(coverages, reverse=True) and coverages[-1] < 0.6 * coverages[0]

    def test_missing_classes_and_repeated_images_lower_the_entropy(self, worsened: Worsened, real: dict[str, float]) -> None:
        entropies = [worsened.of_classes(classes)["class_entropy"] for classes in (10, 8, 5, 2)]
        assert entropies == sorted(entropies, reverse=True) and entropies[-1] < 0.6 * real["class_entropy"]
        assert worsened.repeated(10)["class_entropy"] < 0.9 * real["class_entropy"]

    def test_blur_makes_the_classifier_unsure(self, worsened: Worsened, real: dict[str, float]) -> None:
        assert worsened.blurred(2)["mean_confidence"] < 0.8 * real["mean_confidence"]

    def test_only_the_nearest_training_image_tells_a_memorised_training_set(self, worsened: Worsened, real: dict[str, float]) -> None:
        memorised = worsened.numbers(worsened.data.train_images)
        assert memorised["feature_frechet_distance"] < 0.1 * worsened.of_classes(5)["feature_frechet_distance"]
        assert min(memorised["recall"], memorised["coverage"]) > 0.9
        assert memorised["nearest_training_image"] < 1e-6 < 0.1 < real["nearest_training_image"]
        assert memorised["copies"] == 1
        some = worsened.numbers(numpy.concatenate([worsened.data.train_images[: N // 10], worsened.images]))
        assert some["copies"] > 0.1 and some["nearest_training_image"] > 0.9 * real["nearest_training_image"]

    def test_pixel_noise_fools_none(self, worsened: Worsened, real: dict[str, float]) -> None:
        noise = worsened.numbers(numpy.random.default_rng(2).integers(0, 256, worsened.images.shape, dtype=numpy.uint8))
        assert noise["feature_frechet_distance"] > 100 * real["feature_frechet_distance"]
        assert max(noise["recall"], noise["coverage"]) < 0.1
        assert noise["class_entropy"] < 0.5 * real["class_entropy"]
        assert noise["nearest_training_image"] > 2 * real["nearest_training_image"]


def test_one_class_is_too_few() -> None:
    with pytest.raises(ValueError, match="a classifier needs 2 classes or more to learn features from, got 1"):
        train_classifier(numpy.zeros((3, 8, 8, 1), numpy.uint8), numpy.zeros(3, int), 1)
