"""Flow, diffusion and super-resolution: the formulas that their docstrings promise, checked where the answer is known."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diffusion
import flow
import numpy
import pytest
import superresolution
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.data import ImageDataset, load_images
from tinygen.evaluation.features import train_classifier
from tinygen.training.denoising import Denoising, TrainedDenoiser

IMAGES = numpy.random.default_rng(0).uniform(-0.9, 0.9, (5, 4, 4, 1))
TEN_CLASSES = ImageDataset.of_form({"shape": [4, 4, 1], "classes": [f"class {k}" for k in range(10)]})
NOISE = numpy.random.default_rng(1).standard_normal(IMAGES.shape)


def tensor(array: Any) -> tg.Tensor:
    return tg.tensor(numpy.asarray(array), dtype="float64")


def towards(x: tg.Tensor, t: Any) -> tg.Tensor:
    """The velocity at the point x of the line that ends at one of IMAGES."""
    return (tensor(IMAGES) - x) / (1 - t)


def test_the_velocity_that_leads_to_each_image_has_no_loss() -> None:
    tg.manual_seed(0)
    assert flow.velocity_loss(lambda x, t, c: towards(x, t), tensor(IMAGES), None).item() < 1e-20
    assert flow.velocity_loss(lambda x, t, c: towards(x, t) + 0.5, tensor(IMAGES), None).item() == pytest.approx(0.25)


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_along_straight_lines_arrive_exactly(steps: int) -> None:
    for solve in (flow.euler, flow.heun):
        assert_allclose(solve(lambda x, t: tensor(IMAGES - NOISE), tensor(NOISE), steps).numpy(), IMAGES, atol=1e-14)
    assert_allclose(flow.euler(towards, tensor(NOISE), steps).numpy(), IMAGES, atol=1e-14)


@pytest.mark.parametrize(("solve", "order"), [(flow.euler, 1), (flow.heun, 2)])
def test_the_error_falls_with_the_order_of_the_solver(solve: Callable[..., tg.Tensor], order: int) -> None:
    """dx/dt = 2 t x leads from x to e x."""
    exact = math.e * NOISE
    errors = [numpy.abs(solve(lambda x, t: 2 * t * x, tensor(NOISE), n).numpy() - exact).max() for n in (32, 64)]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_the_shares_of_image_and_noise_are_those_of_the_paper_s_thousand_steps() -> None:
    betas = numpy.linspace(1e-4, 0.02, 1000)
    k = numpy.arange(1, 1001)
    assert_allclose(diffusion.log_kept(k / 1000), numpy.cumsum(numpy.log(1 - betas)), rtol=0.02, atol=1e-4)
    for t in (0.0, 0.3, 1.0):
        at = partial(diffusion.noisy, t=tensor(numpy.full((5, 1, 1, 1), t)))
        image, noise = at(tensor(IMAGES), noise=tensor(0 * NOISE)).numpy(), at(tensor(0 * IMAGES), noise=tensor(NOISE)).numpy()
        a = math.exp(diffusion.log_kept(t))
        assert_allclose(image, math.sqrt(a) * IMAGES, rtol=1e-12)
        assert_allclose(noise, math.sqrt(1 - a) * NOISE, rtol=1e-12, atol=1e-15)


@pytest.fixture
def fresh_noise(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes all noise of diffusion.py this number."""
    return lambda z: monkeypatch.setattr(diffusion.tg, "randn", lambda shape, dtype, device: tensor(numpy.full(shape, z)))


def test_ddpm_s_step_draws_from_the_posterior(fresh_noise: Callable[[float], None]) -> None:
    """p(x_s | x_t, x) of the Gaussian chain, as Ho et al. write it (their equations 6 and 7)."""
    t, s = 0.4, 0.35
    a_t, a_s = (math.exp(diffusion.log_kept(time)) for time in (t, s))
    alpha, x_t = a_t / a_s, math.sqrt(a_t) * IMAGES + math.sqrt(1 - a_t) * NOISE
    mean = (math.sqrt(a_s) * (1 - alpha) * IMAGES + math.sqrt(alpha) * (1 - a_s) * x_t) / (1 - a_t)
    variance = (1 - a_s) / (1 - a_t) * (1 - alpha)
    for z in (0.0, 1.0, -2.0):
        fresh_noise(z)
        x_s = diffusion.earlier(tensor(x_t), tensor(NOISE), t, s, eta=1.0)
        assert_allclose(x_s.numpy(), mean + math.sqrt(variance) * z, rtol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_keeps_the_marginal_distribution(eta: float, fresh_noise: Callable[[float], None]) -> None:
    """x_s is sqrt(a) x + u e + v z: its variance u^2 + v^2 is 1 - a, however much of the noise z is fresh."""
    t, s = 0.7, 0.2
    a_t, a_s = (math.exp(diffusion.log_kept(time)) for time in (t, s))

    def x_s(e: float, z: float) -> numpy.ndarray:
        fresh_noise(z)
        noise = numpy.full_like(IMAGES, e)
        return diffusion.earlier(tensor(math.sqrt(a_t) * IMAGES + math.sqrt(1 - a_t) * noise), tensor(noise), t, s, eta).numpy()

    still = x_s(0, 0)
    assert_allclose(still, math.sqrt(a_s) * IMAGES, rtol=1e-10)
    assert_allclose((x_s(1, 0) - still) ** 2 + (x_s(0, 1) - still) ** 2, 1 - a_s, rtol=1e-10)


def test_ddim_is_determined_by_its_noise_and_ddpm_is_not() -> None:
    def noise_of(x: tg.Tensor, t: float) -> tg.Tensor:
        a = math.exp(diffusion.log_kept(t))
        return (x - math.sqrt(a) * tensor(IMAGES)) / math.sqrt(1 - a)

    def wrong(x: tg.Tensor, t: float) -> tg.Tensor:
        return 0.5 * x

    stream = tg.random_state()
    assert_allclose(diffusion.ddim(noise_of, tensor(NOISE), 4).numpy(), IMAGES, atol=1e-12)
    assert_array_equal(diffusion.ddim(wrong, tensor(NOISE), 4).numpy(), diffusion.ddim(wrong, tensor(NOISE), 4).numpy())
    assert_array_equal(tg.random_state(), stream)
    assert (diffusion.ddim(wrong, tensor(NOISE), 4, eta=1.0).numpy() != diffusion.ddim(wrong, tensor(NOISE), 4, eta=1.0).numpy()).any()


class Told(nn.Module):
    """Predicts the time and the number of the class plus one, 0 for a class that is not told."""

    def __init__(self) -> None:
        self.unused = nn.Parameter(tg.zeros((1,)))

    def forward(self, x: tg.Tensor, t: tg.Tensor, c: tg.Tensor) -> tg.Tensor:
        return 0 * x + t + (c @ tg.arange(1.0, c.shape[1] + 1)).reshape(-1, 1, 1, 1)


def test_guidance_goes_beyond_what_is_predicted_of_the_class() -> None:
    trained = TrainedDenoiser(Told(), flow.FlowOptions(), TEN_CLASSES, partial(flow.euler, steps=1))
    x, c = tg.zeros((2, 4, 4, 1)), tg.one_hot([3, 5], 10)
    for w in (0.0, 2.0):
        assert_allclose(trained.guided(c, w)(x, 0.25).numpy()[:, 0, 0, 0], [0.25 + 4 * (1 + w), 0.25 + 6 * (1 + w)], rtol=1e-6)
    z = trained.draw(2, [3, 5])
    assert_array_equal(z[:, 16:].numpy(), c.numpy())


def test_a_tenth_of_the_classes_is_hidden() -> None:
    run = Denoising(flow.FlowOptions(), TEN_CLASSES, Told())
    labels = numpy.arange(20_000) % 10
    told = run.told(labels, 0.1).numpy()
    hidden = told.sum(axis=1) == 0
    assert 0.09 < hidden.mean() < 0.11
    assert_array_equal(told[~hidden], numpy.eye(10)[labels[~hidden]])
    assert_array_equal(run.told(labels, 0).numpy(), numpy.eye(10)[labels])


def test_the_table_of_findings_tells_how_images_were_sampled(few_images: Path, tmp_path: Path) -> None:
    """A sampler that gives the test images themselves is at no distance, and is seen as the test images are."""
    data = load_images(few_images)
    run = Denoising(flow.FlowOptions(out=tmp_path), data, Told())
    exact = run.images(data.test_images[run.tested])
    run.compare({"exact": (lambda predict, x: exact, 0.0), "black": (lambda predict, x: tg.zeros_like(x) - 1, 0.0)})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (tmp_path / "findings.txt").read_text().splitlines()[2:]]
    assert [row[0] for row in rows] == ["30 test images", "training images", "exact", "black"]
    judge = train_classifier(data.train_images, data.train_labels, len(data.classes), 0, len(data.train_images) // 8)
    assert rows[0][2] == f"{(judge.classify(data.test_images) == data.test_labels).mean():.3f}"
    assert rows[2][1:] == ["0.000", rows[0][2]]
    assert float(rows[3][1]) > 0.5 and float(rows[3][2]) <= 0.3


def test_the_enlarging_flow_minds_the_small_image_and_starts_from_one_noise() -> None:
    options = superresolution.SuperResolutionOptions(width=8, steps=1)
    data = ImageDataset.of_form({"shape": [8, 8, 1], "classes": ["all"]})
    model = superresolution.build(options, data)["model"]
    trained = options.trained({"model": model}, data)
    images = numpy.random.default_rng(0).random((2, 8, 8, 1), numpy.float32)
    z = trained.encode(tg.tensor(images))
    assert_allclose(z[:, 64:].numpy(), images.reshape(2, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(2, 4), rtol=1e-5)
    assert_array_equal(z[0, :64].numpy(), z[1, :64].numpy())
    with nn.evaluating(model):
        first, second = trained.decode(z).numpy()
    assert first.shape == (8, 8, 1) and numpy.abs(first - second).max() > 1e-3


def test_cubic_interpolation_keeps_what_is_even_and_the_place_of_what_is_not() -> None:
    y = numpy.zeros((2, 3, 2, 2), numpy.float32)
    y[0] = 0.5
    y[1, 2, 0, 1] = 1
    large = superresolution.bicubic(y)
    assert large.shape == (2, 12, 8, 2)
    assert_allclose(large[0], 0.5, rtol=1e-6)
    assert numpy.unravel_index(large[1].argmax(), large[1].shape)[0] >= 8 and large[1, 8:, :4, 1].mean() > 0.7
    assert_allclose(large[1, ..., 0], 0, atol=1e-6)
