"""Real images that were made worse in known ways, and training images in their place: each number
notices what it should."""

import math
from collections.abc import Iterator

import numpy
import pytest
from PIL import Image, ImageFilter

from tinygen import nn
from tinygen.data import load_images
from tinygen.evaluation.features import FEATURES, FeatureClassifier, train_classifier
from tinygen.evaluation.judge import judge_novelty, judge_quality, nearest_training_distances

N = 400


@pytest.fixture(scope="module", autouse=True)
def few_resamples() -> Iterator[None]:
    """The margins are not what is looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygen.evaluation.estimate.RESAMPLES", 2)
        yield


class Worsened:
    """Numbers of real images that the classifier has not seen, after something was done to them."""

    def __init__(self) -> None:
        data = load_images()
        order = numpy.random.default_rng(0).permutation(len(data.train_images))
        images, labels = data.train_images[order], data.train_labels[order]
        self.training = images[1000:]
        self.classifier = train_classifier(self.training, labels[1000:], 10, seed=0, steps=100)
        self.accuracy = (self.classifier.classify(data.test_images) == data.test_labels).mean()
        self.test = data.draw_test_images(N)
        self.bound = nearest_training_distances(self.test[: N // 2], self.training)
        self.images, self.labels = images[:1000], labels[:1000]

    def numbers(self, images: numpy.ndarray) -> dict[str, float]:
        assert len(images) >= N
        images = images[:N]
        nearest = nearest_training_distances(images, self.training)
        numbers = judge_quality(images, self.test, [self.classifier]) | judge_novelty(nearest, self.bound)
        return {name: number["value"] for name, number in numbers.items()}

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


def test_the_floor(worsened: Worsened, real: dict[str, float]) -> None:
    features, _ = worsened.classifier.describe_images(worsened.test)
    assert features.shape == (N, FEATURES) and (features >= 0).all() and worsened.accuracy > 0.7
    assert real["feature_frechet_distance"] < 0.03
    assert min(real[name] for name in ("precision", "density", "recall", "coverage")) > 0.9
    assert real["class_entropy"] > 0.95 * math.log(10) and real["copies"] < 0.03


@pytest.mark.parametrize(
    ("way", "degrees", "falling"),
    [
        ("blurred", [0.5, 1, 2], ["density", "recall", "coverage"]),
        ("noisy", [20, 50, 100], ["precision", "density", "recall", "coverage"]),
        ("of_classes", [8, 5, 2], ["recall", "coverage", "class_entropy"]),
        ("repeated", [100, 30, 10], ["recall", "coverage"]),
    ],
)
def test_the_worse_the_farther(worsened: Worsened, real: dict[str, float], way: str, degrees: list[float], falling: list[str]) -> None:
    results = [real, *(getattr(worsened, way)(degree) for degree in degrees)]
    frechet = [result["feature_frechet_distance"] for result in results]
    assert frechet == sorted(frechet) and frechet[-1] > 10 * frechet[0]
    for name in falling:
        numbers = [result[name] for result in results]
        assert numbers == sorted(numbers, reverse=True) and numbers[-1] < 0.6 * numbers[0], name


def test_blur_and_noise_lower_the_precision(worsened: Worsened, real: dict[str, float]) -> None:
    assert max(worsened.blurred(2)["precision"], worsened.noisy(100)["precision"]) < 0.8 * real["precision"]


def test_precision_and_density_do_not_see_missing_classes(worsened: Worsened, real: dict[str, float]) -> None:
    few = worsened.of_classes(2)
    assert few["precision"] > real["precision"] - 0.05 and few["density"] > real["density"] - 0.1


def test_repeated_images_lower_the_entropy(worsened: Worsened, real: dict[str, float]) -> None:
    assert worsened.repeated(10)["class_entropy"] < 0.9 * real["class_entropy"]


def test_blur_makes_the_classifier_unsure(worsened: Worsened, real: dict[str, float]) -> None:
    assert worsened.blurred(2)["mean_confidence"] < 0.8 * real["mean_confidence"]


def test_pixel_noise_fools_none(worsened: Worsened, real: dict[str, float]) -> None:
    noise = worsened.numbers(numpy.random.default_rng(2).integers(0, 256, worsened.images.shape, dtype=numpy.uint8))
    assert noise["feature_frechet_distance"] > 100 * real["feature_frechet_distance"]
    assert max(noise["recall"], noise["coverage"]) < 0.1
    assert noise["class_entropy"] < 0.5 * real["class_entropy"]
    assert noise["nearest_training_distance"] > 2 * real["nearest_training_distance"]


class TestAModelThatRepeatsItsTrainingImages:
    """In their place are those that the classifier was trained on, whose features could be too good."""

    def test_is_not_nearer_to_the_test_images_than_real_images_are(self, worsened: Worsened, real: dict[str, float]) -> None:
        memorised = worsened.numbers(worsened.training)
        assert memorised["feature_frechet_distance"] > 0.7 * real["feature_frechet_distance"]
        for name in ("precision", "density", "recall", "coverage"):
            assert memorised[name] < real[name] + 0.05, name

    def test_shows_in_the_novelty_alone(self, worsened: Worsened, real: dict[str, float]) -> None:
        memorised = worsened.numbers(worsened.training)
        assert memorised["feature_frechet_distance"] < 0.1 * worsened.of_classes(5)["feature_frechet_distance"]
        assert memorised["nearest_training_distance"] < 1e-6 < 0.1 < real["nearest_training_distance"]
        assert memorised["copies"] == 1
        some = worsened.numbers(numpy.concatenate([worsened.training[: N // 10], worsened.images]))
        assert 0.1 <= some["copies"] < 0.15 and some["nearest_training_distance"] > 0.9 * real["nearest_training_distance"]


def test_the_scale_of_the_features_does_not_matter(worsened: Worsened, real: dict[str, float]) -> None:
    larger = FeatureClassifier((28, 28), 1, 10)
    larger.load_state_dict(worsened.classifier.state_dict())
    last = list(larger.body.layers)[-2]
    assert isinstance(last, nn.Dense)
    last.weight.data, last.bias.data = last.weight.data * 8, last.bias.data * 8
    number = judge_quality(worsened.images[:N], worsened.test, [larger])["feature_frechet_distance"]
    assert number["value"] == pytest.approx(real["feature_frechet_distance"], rel=1e-4)


def test_the_bound_of_copies_is_set_by_other_images_than_those_that_are_judged(worsened: Worsened) -> None:
    """Judged against its own bound, any set has 1% of copies, however near to the training images."""
    held_out = nearest_training_distances(worsened.test[N // 2 :], worsened.training)
    copies = judge_novelty(held_out, worsened.bound)["copies"]
    assert copies["value"] == (held_out < numpy.quantile(worsened.bound, 0.01)).mean() <= 0.03
    near = held_out / 2
    assert judge_novelty(near, near)["copies"]["value"] == 0.01 < 0.1 < judge_novelty(near, worsened.bound)["copies"]["value"]
