"""What the GANs share: samples that do not depend on each other, a run that logs how diverse they are; and the gradient penalty."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from small_run import contents

import tinygen as tg
from tinygen import Tensor, nn, optim
from tinygen.command_line import UsageError
from tinygen.data import ImageDataset
from tinygen.testing import gradcheck, random_tensor, shapes, tensors
from tinygen.training.gan import GAN, GANOptions, mean_distance

IMAGES = numpy.random.default_rng(0).integers(0, 256, (24, 2, 2, 1), numpy.uint8)
DATA = ImageDataset(IMAGES, numpy.zeros(24, numpy.int64), IMAGES, numpy.zeros(24, numpy.int64), ("all",), "random pixels")


def small_gan(folder: Path) -> GAN:
    tg.manual_seed(0)
    options = GANOptions(out=folder, epochs=2, batch_size=8, latent=3, lr=0.01)
    generator = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Tanh(), nn.Reshape(2, 2, 1))
    return GAN(options, DATA, generator, nn.Sequential(nn.Flatten(), nn.Dense(4, 1)))


def test_mean_distance_is_that_of_all_pairs() -> None:
    images = IMAGES[:5].astype("float64")
    pairs = [numpy.linalg.norm(images[i] - images[j]) for i in range(5) for j in range(i)]
    assert_allclose(mean_distance(images), numpy.mean(pairs), rtol=1e-12)
    assert mean_distance(numpy.repeat(images[:1], 4, axis=0)) == pytest.approx(0, abs=1e-4)


def test_adam_forgets_fast_as_is_the_custom_for_gans(tmp_path: Path) -> None:
    gan = small_gan(tmp_path)
    assert gan.adam_g.betas == gan.adam_d.betas == (0.5, 0.999)
    assert gan.adam_g.parameters == gan.generator.parameters() and gan.adam_d.parameters == gan.discriminator.parameters()


def test_real_images_run_from_minus_one_to_one(tmp_path: Path) -> None:
    batch = numpy.array([0, 255], numpy.uint8).reshape(2, 1, 1, 1)
    assert_array_equal(small_gan(tmp_path).real(batch).numpy().ravel(), [-1, 1])


@pytest.mark.parametrize(
    ("passes", "r1", "layer"),
    [(1, 0.0, nn.MinibatchDeviation), (2, 3.0, nn.MinibatchDeviation), (2, 0.0, lambda: nn.BatchNorm(1))],
    ids=["deviation", "r1", "batch norm"],
)
def test_scores_are_those_of_real_and_of_generated_images_alone(passes: int, r1: float, layer: Any, tmp_path: Path) -> None:
    """Also their gradients, with images that are much more alike than the others."""
    d = nn.Sequential(nn.Conv2D(1, 1, 1), layer(), nn.Conv2D(2 if layer is nn.MinibatchDeviation else 1, 1, 2), nn.Flatten()).to("float64")
    gan = GAN(GANOptions(out=tmp_path, r1=r1), DATA, nn.Dense(3, 4), d)
    real, fake = (tg.tensor(IMAGES[:5] * scale, requires_grad=True) for scale in (0.1, 0.0001))
    seen = []
    forward = d.forward
    d.forward = lambda x: seen.append(len(x)) or forward(x)  # type: ignore[method-assign]
    found = gan.scores(real, fake)
    assert seen == ([10] if passes == 1 else [5, 5])
    for scores, images in zip(found, (real, fake), strict=True):
        expected = d(images)
        assert_allclose(scores.numpy(), expected.numpy(), rtol=1e-12)
        wanted = [real, fake, *d.parameters()]
        for g, exact in zip(*(tg.grad(y.sum() ** 2, wanted, retain_graph=True) for y in (scores, expected)), strict=True):
            assert_allclose(g.numpy(), exact.numpy(), rtol=1e-9, atol=1e-9)


def test_r1_is_half_gamma_times_the_mean_squared_slope_at_the_real_images_and_teaches_d(tmp_path: Path) -> None:
    """Difference quotients in float64, all of them behind the same dropout."""
    tg.manual_seed(0)
    d = nn.Sequential(nn.Dropout(0.3), nn.Flatten(), nn.Dense(4, 5), nn.Tanh(), nn.Dense(5, 1)).to("float64")
    gan = GAN(GANOptions(out=tmp_path, r1=3.0), DATA, nn.Dense(3, 4), d)

    def scores(x: Tensor) -> Tensor:
        tg.manual_seed(1)
        return d(x)

    real, h = tg.tensor(gan.real(IMAGES[:6]).numpy().astype("float64"), requires_grad=True), 1e-4
    slopes = numpy.zeros((6, 4))
    for pixel, e in enumerate(tg.tensor(h * numpy.eye(4).reshape(4, 2, 2, 1))):
        slopes[:, pixel] = ((scores(real + e) - scores(real - e)) / (2 * h)).numpy()[:, 0]
    penalty = gan.penalty(real, scores(real))["R1"]
    assert_allclose(penalty.item(), 1.5 * (slopes**2).sum(axis=1).mean(), rtol=1e-7)

    weight = d[2].weight
    found, moved = tg.grad(penalty, weight).numpy()[1, 2], []
    for e in (h, -h):
        weight.data[1, 2] += e
        moved.append(gan.penalty(real, scores(real))["R1"].item())
        weight.data[1, 2] -= e
    assert_allclose(found, (moved[0] - moved[1]) / (2 * h), rtol=1e-6)


def test_without_r1_there_is_no_penalty_and_a_negative_one_is_refused(tmp_path: Path) -> None:
    gan = small_gan(tmp_path)
    real = gan.real(IMAGES[:2])
    assert not real.requires_grad and gan.penalty(real, gan.discriminator(real)) == {}
    with pytest.raises(UsageError, match="--r1 must be at least 0, got -1"):
        GANOptions(out=tmp_path, r1=-1.0).check()


def test_a_sample_does_not_depend_on_the_others_and_leaves_no_trace(tmp_path: Path) -> None:
    gan = small_gan(tmp_path)
    z = gan.noise(6)
    before = gan.generator.state_dict()
    together = gan.sample(z)
    assert_array_equal(gan.sample(z[2:3])[0], together[2])
    for name, array in gan.generator.state_dict().items():
        assert_array_equal(array, before[name])
    assert all(module.training for module in gan.generator.modules())
    gan.generator.layers[1].eval()
    gan.sample(z)
    assert [module.training for module in gan.generator.modules()] == [True, True, False, True, True]


def test_a_run_gives_the_step_the_labels_of_its_images_and_logs_the_diversity(tmp_path: Path) -> None:
    gan, seen = small_gan(tmp_path), []

    def step(batch: numpy.ndarray, sums: numpy.ndarray) -> dict[str, float]:
        assert_array_equal(batch.sum((1, 2, 3)), sums)
        seen.append(len(batch))
        return {"D": 1.0}

    z = gan.noise(4)
    gan.train(step, lambda: gan.sample(z), IMAGES.sum((1, 2, 3)), evaluate=lambda: {"seen": len(seen)})
    assert seen == [8] * 6
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    small_gan(tmp_path)  # starts the random stream anew
    expected = [mean_distance(gan.sample(gan.noise(n))) / mean_distance(IMAGES / 127.5) for n in (4, 256, 256)][1:]
    assert_allclose([line["diversity"] for line in lines], expected, rtol=1e-6)
    assert [line["seen"] for line in lines] == [3, 6]


def augmented_run(folder: Path, augment: str | None, resume: bool = False, stop_at: int | None = None) -> GAN:
    tg.manual_seed(0)
    options = GANOptions(out=folder, epochs=2, batch_size=8, latent=3, lr=0.01, augment=augment, resume=resume)
    options.check()
    data = ImageDataset(*[IMAGES.repeat(4, 1).repeat(4, 2), DATA.train_labels] * 2, DATA.classes, DATA.source)
    generator = nn.Sequential(nn.Dense(3, 64), nn.Tanh(), nn.Reshape(8, 8, 1))
    gan = GAN(options, data, generator, nn.Sequential(nn.Flatten(), nn.Dense(64, 1)))
    steps = 0

    def step(batch: numpy.ndarray) -> dict[str, Tensor]:
        nonlocal steps
        fake = gan.generator(gan.noise(len(batch)))
        loss = (gan.discriminator(gan.real(batch)) ** 2).mean() + ((gan.discriminator(fake.detach()) - 1) ** 2).mean()
        gan.adam_d.minimize(loss)
        gan.adam_g.minimize((gan.discriminator(fake) ** 2).mean())
        steps += 1
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return {"D": loss}

    shown = gan.noise(4)
    gan.train(step, lambda: gan.sample(shown))
    return gan


ALL = "flip, shift,crop,colour,translation,cutout"


def test_an_augmented_run_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    augmented_run(tmp_path / "whole", ALL)
    with pytest.raises(SystemExit):
        augmented_run(tmp_path / "stopped", ALL, stop_at=4)
    augmented_run(tmp_path / "stopped", ALL, resume=True)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ALL.split(","))
def test_each_augmentation_changes_what_is_learnt(tmp_path: Path, name: str) -> None:
    weights = [augmented_run(tmp_path / str(augment), augment).networks["discriminator"].state_dict() for augment in (None, name)]
    assert weights[0].keys() == weights[1].keys() and (weights[0]["layers.1.weight"] != weights[1]["layers.1.weight"]).any()


def test_another_augmentation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="by flip, shift, crop, colour, translation, cutout, not by turn"):
        augmented_run(tmp_path, "flip,turn,cutout")


class TestGradientPenalty:
    @given(shape=shapes(2, 4, 3), data=st.data())
    @settings(deadline=None, max_examples=20)
    def test_of_a_linear_critic(self, shape: tuple[int, ...], data: st.DataObject) -> None:
        """Its slope is w everywhere."""
        w, real, fake = (data.draw(tensors(size)) for size in (shape[1:], shape, shape))
        penalty = tg.gradient_penalty(lambda x: (x * w).reshape(len(x), -1).sum(1), real, fake)
        norm = numpy.sqrt((w.numpy() ** 2).sum() + 1e-12)
        assert_allclose(penalty.item(), (norm - 1) ** 2, rtol=1e-9, atol=1e-9)
        assert_allclose(tg.grad(penalty, w).numpy(), 2 * (norm - 1) * w.numpy() / norm, rtol=1e-9, atol=1e-9)

    def test_gradient_to_the_weights_of_a_convolutional_critic(self) -> None:
        """Double backward through convolutions, layer norm and a dense layer, against central differences."""
        rng = numpy.random.default_rng(0)
        real, fake = (random_tensor((3, 6, 6, 2), rng).detach() for _ in range(2))
        shapes = (3, 3, 2, 4), (4,), (3, 3, 4), (3, 3, 4), (3, 3, 4, 5), (3 * 3 * 5, 1)
        weights = [random_tensor(shape, rng, -1.0, 1.0) for shape in shapes]

        def penalty(*weights: Tensor) -> Tensor:
            first, bias, gamma, beta, second, last = weights

            def critic(x: Tensor) -> Tensor:
                h = tg.tanh(tg.layer_norm(tg.conv2d(x, first, bias, stride=2, padding="same"), gamma, beta))
                return tg.dense(tg.flatten(tg.leaky_relu(tg.conv2d(h, second, padding="same"))), last)

            tg.manual_seed(0)
            return tg.gradient_penalty(critic, real, fake)

        gradcheck(penalty, *weights)

    def test_each_example_has_its_own_point_between_the_real_and_the_made_one(self) -> None:
        points = []

        def critic(x: Tensor) -> Tensor:
            points.append(x.numpy())
            return x * x

        real, fake = tg.tensor(numpy.full((50, 2, 3), 3.0)), tg.tensor(numpy.full((50, 2, 3), 1.0))
        for seed in (0, 0, 1):
            tg.manual_seed(seed)
            tg.gradient_penalty(critic, real, fake)
        first, again, other = points
        assert_array_equal(first, again)
        assert (first == first[:, :1, :1]).all() and len(numpy.unique(first)) == 50
        assert 1 < first.min() < 1.2 and 2.8 < first.max() < 3
        assert not (first == other).any()

    def test_a_critic_without_slope_is_moved_nowhere(self) -> None:
        w, x = tg.zeros((3, 1), requires_grad=True), tg.ones((2, 3))
        penalty = tg.gradient_penalty(lambda x: x @ w, x, x)
        assert penalty.item() == pytest.approx(1, abs=1e-5)
        assert_array_equal(tg.grad(penalty, w).numpy(), numpy.zeros((3, 1)))

    def test_a_critic_so_bounded_leads_a_generator_to_all_modes_of_a_mixture(self) -> None:
        """Eight Gaussians on a circle, a game of dense layers: at least 2% of the samples lie within three deviations of each centre.

        Without the penalty the critic's scores run away, and no mode is found.
        """
        tg.manual_seed(0)
        deviation, angles, rng = 0.2, numpy.arange(8) * math.pi / 4, numpy.random.default_rng(0)
        centres = 2 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1).astype("float32")
        g = nn.Sequential(nn.Dense(2, 64), nn.ReLU(), nn.Dense(64, 64), nn.ReLU(), nn.Dense(64, 2))
        f = nn.Sequential(nn.Dense(2, 64), nn.LeakyReLU(), nn.Dense(64, 64), nn.LeakyReLU(), nn.Dense(64, 1))
        adam_g, adam_f = (optim.Adam(network.parameters(), 1e-3, betas=(0.0, 0.9)) for network in (g, f))
        for _ in range(300):
            for _ in range(5):
                real = tg.tensor(centres[rng.integers(8, size=128)] + rng.normal(0, deviation, (128, 2)).astype("float32"))
                fake = g(tg.randn((128, 2))).detach()
                loss = tg.wasserstein_discriminator_loss(f(real), f(fake))
                adam_f.minimize(loss + 0.1 * tg.gradient_penalty(f, real, fake))
            adam_g.minimize(tg.wasserstein_generator_loss(f(g(tg.randn((128, 2))))))
        distances = numpy.linalg.norm(g(tg.randn((1000, 2))).numpy()[:, None] - centres, axis=2)
        assert ((distances < 3 * deviation).sum(axis=0) >= 20).all()
