"""What the examples compute by themselves: the layers they promise, the terms of their losses, and what their pictures show."""

import dataclasses
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.data import load_fashion_mnist, pad_to
from tinygen.training.gan import GAN

Load = Callable[[str], ModuleType]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Load:
    tg.manual_seed(0)
    return import_module


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The gan and the step of an example whose main has run: GAN.train trains nothing here."""
    given: dict[str, Any] = {}

    def train(gan: GAN, step: Any, *rest: Any, **others: Any) -> None:
        given.update(gan=gan, step=step)

    monkeypatch.setattr(GAN, "train", train)
    return given


def weights(model: nn.Module) -> list[tuple[int, ...]]:
    """The shapes of the parameters that are no bias or scale."""
    return [p.shape for p in model.parameters() if p.ndim > 1]


@pytest.mark.parametrize(
    ("flags", "made_by", "judged_by"),
    [
        ({}, [(100, 256), (256, 512), (512, 1024), (1024, 784)], [(784, 1024), (1024, 512), (512, 256), (256, 1)]),
        ({"wide": True}, [(100, 1024), (1024, 2048), (2048, 4096), (4096, 784)], [(784, 4096), (4096, 2048), (2048, 1024), (1024, 1)]),
        ({"conv_discriminator": True}, [(100, 128), (128, 128), (128, 784)], [(5, 5, 1, 64), (5, 5, 64, 128), (6272, 1)]),
        (
            {"conv_discriminator": True, "data": "emoji"},
            [(100, 128), (128, 128), (128, 3072)],
            [(4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 128), (2048, 1)],
        ),
    ],
    ids=["default", "wide", "conv_discriminator", "emoji"],
)
def test_the_first_gan_has_the_sizes_that_it_should(
    example: Load, taken: dict[str, Any], flags: dict[str, Any], made_by: list[Any], judged_by: list[Any]
) -> None:
    gan = example("gan")
    gan.main(gan.FirstGANOptions(**flags))
    assert (weights(taken["gan"].generator), weights(taken["gan"].discriminator)) == (made_by, judged_by)


def test_the_autoencoders_have_the_sizes_that_they_should(example: Load) -> None:
    autoencoder, cifar_vae = example("autoencoder"), example("cifar_vae")
    assert weights(autoencoder.encoder((28, 28, 1), 64)) == [(3, 3, 1, 64), (3, 3, 64, 64), (12 * 12 * 64, 64)]
    assert weights(autoencoder.decoder(64, (28, 28, 1))) == [(64, 7 * 7 * 64), (3, 3, 64, 64), (3, 3, 64, 64), (3, 3, 1, 64)]
    encoder, decoder = [(3, 3, 3, 64), (3, 3, 64, 128)], [(100, 1024), (1024, 1024), (1024, 3072)]
    assert weights(cifar_vae.CifarVAE(100)) == [*encoder, (8192, 100), (8192, 100), *decoder]


@pytest.mark.parametrize(
    ("size", "channels", "last"),
    [(32, [256, 128, 64], 128), (64, [512, 256, 128, 64], 256), (128, [512, 512, 256, 128, 64], 512)],
)
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_the_dcgan_has_one_more_block_for_each_doubling(example: Load, size: int, channels: list[int], last: int, residual: bool) -> None:
    """At 32x32 the plain networks' draws, in this order, are those of the results page."""
    dcgan = example("dcgan")
    generator, discriminator = dcgan.generator(100, 3, size, residual), dcgan.discriminator(3, size, dcgan.DCGANOptions(residual=residual))
    doubling, halving = pairwise(channels), pairwise([*channels[:1:-1], last])
    if residual:
        blocks = [shape for i, o in doubling for shape in [(3, 3, i, o), (3, 3, o, o), (1, 1, i, o)]]
        halves = [shape for i, o in halving for shape in [(3, 3, i, i), (3, 3, i, o), (1, 1, i, o)]]
    else:
        blocks, halves = [(4, 4, o, i) for i, o in doubling], [(4, 4, i, o) for i, o in halving]
    assert weights(generator) == [(100, 16 * channels[0]), *blocks, (4, 4, 3, 64)]
    assert weights(discriminator) == [(4, 4, 3, 64), *halves, (64 * (last + 1), 1)]  # one more channel: the deviation
    with nn.evaluating(generator), nn.evaluating(discriminator), tg.no_grad():
        images = generator(tg.randn((1, 100)))
        assert images.shape == (1, size, size, 3) and discriminator(images).shape == (1, 1)


@pytest.mark.parametrize("name", ["dcgan", "lsgan", "cgan", "infogan", "wgan", "attention_gan"])
def test_those_that_offer_residual_blocks_have_them_in_both_networks(example: Load, few_images: Path, name: str) -> None:
    module = example(name)
    kind = get_type_hints(module.main)["options"]
    offers = any(field.name == "residual" for field in dataclasses.fields(kind))
    options = kind(data=few_images, **({"residual": True, "size": 64} if offers else {}))
    networks = module.build(options, options.load_data())
    assert [any(isinstance(part, nn.Residual) for part in network.modules()) for network in networks.values()] == [offers, offers]
    assert offers == (name not in ("wgan", "attention_gan"))


@pytest.mark.parametrize(("name", "given", "taken"), [("dcgan", 28, 32), ("dcgan", 33, 64), ("wgan", 100, 128), ("attention_gan", 20, 32)])
def test_smaller_images_get_a_border_up_to_the_next_size(example: Load, few_images: Path, name: str, given: int, taken: int) -> None:
    module = example(name)
    (kind,) = (value for key, value in vars(module).items() if key.endswith("Options") and value.__module__ == name)
    assert kind(data=few_images, size=given).load_data().train_images.shape[1:] == (taken, taken, 1)


def test_the_dense_vae_has_the_sizes_that_it_should(example: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = example("vae")
    made: list[nn.Module] = []
    monkeypatch.setattr(vae, "train", lambda model, data, options: made.append(model))
    vae.main(vae.VAEOptions(dense=True))
    (model,) = made
    encoder, decoder = [(784, 4096), (4096, 2048), (2048, 20), (2048, 20)], [(20, 2048), (2048, 4096), (4096, 784)]
    assert weights(model) == encoder + decoder
    x = tg.rand((3, 28, 28, 1))
    reconstruction, kl = vae.negative_elbo(x, *model(x))
    (reconstruction + kl).backward()
    assert all(t.grad is not None and t.grad.numpy().any() for t in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gan", {"wide": True, "conv_discriminator": True}, "--wide and --conv-discriminator are two pairs of networks: choose one"),
        ("wgan", {"penalty": True, "spectral_norm": True}, "--penalty and --spectral-norm are two ways to bound .*: choose one"),
        ("wgan", {"critic_steps": 0}, "--critic-steps must be positive, got 0"),
        ("autoencoder", {"crop": 26}, "images of 26x26 do not fit: height and width must be divisible by 4, .*; --size 32"),
        ("vae", {"crop": 26}, "images of 26x26 do not fit: height and width must be divisible by 4; --size 32, or --dense"),
        ("dcgan", {"size": 129}, "images of 129x129 do not fit into 128x128; --size 128 makes them smaller"),
        ("attention_gan", {"size": 64}, "images of 64x64 do not fit into 32x32; --size 32 makes them smaller"),
        ("dcgan", {"seed": -1}, "--seed must be 0 to 2\\*\\*64 - 1, got -1"),
    ],
)
def test_what_an_example_cannot_do_it_refuses(example: Load, name: str, options: dict[str, Any], message: str) -> None:
    module = example(name)
    (kind,) = (value for key, value in vars(module).items() if key.endswith("Options") and value.__module__ == name)
    with pytest.raises(UsageError, match=message):
        chosen = kind(**options)
        chosen.check()
        module.build(chosen, chosen.load_data())


@pytest.fixture(scope="module")
def batch() -> numpy.ndarray:
    return pad_to(load_fashion_mnist().train_images[:4], 32)


def test_the_codes_teach_both_networks(example: Load, taken: dict[str, Any], batch: numpy.ndarray) -> None:
    module = example("infogan")
    module.main(module.InfoGANOptions())
    gan, seen = taken["gan"], list[float]()
    for adam in (gan.adam_d, gan.adam_g):
        adam.minimize = lambda loss: seen.append(loss.item())
    metrics = taken["step"](batch)
    d, g, q = (metrics[key].item() for key in "DGQ")
    assert 0.15 * q > 0.1
    assert_allclose(seen[1], g + 0.15 * q, rtol=1e-5)
    assert seen[0] > d + 0.1


def test_the_penalty_has_the_weight_ten_and_the_critic_is_ahead(example: Load, taken: dict[str, Any], batch: numpy.ndarray) -> None:
    module = example("wgan")
    module.main(module.WGANOptions(penalty=True, critic_steps=3))
    gan, minimized, seen = taken["gan"], taken["gan"].adam_d.minimize, list[float]()

    def minimize(loss: tg.Tensor) -> None:
        seen.append(loss.item())
        minimized(loss)

    gan.adam_d.minimize = minimize
    for critic_steps in range(1, 7):
        metrics = taken["step"](batch)
        assert_allclose(seen[-1], 10 * metrics["penalty"].item() - metrics["W"].item(), rtol=1e-4)
        assert (gan.adam_d.steps, gan.adam_g.steps) == (critic_steps, critic_steps // 3)


@pytest.mark.parametrize(("name", "loss"), [("dcgan", "D"), ("cgan", "D"), ("infogan", "D"), ("wgan", "W"), ("recurrent_gan", "D")])
def test_r1_is_a_term_of_the_loss_that_d_minimises(
    example: Load, taken: dict[str, Any], batch: numpy.ndarray, name: str, loss: str
) -> None:
    module, seen = example(name), list[float]()
    (kind,) = (value for key, value in vars(module).items() if key.endswith("Options") and value.__module__ == name)
    module.main(kind(r1=1000.0, **({"information": 0.0} if name == "infogan" else {})))
    gan = taken["gan"]
    gan.adam_d.minimize = lambda loss: seen.append(loss.item())
    gan.adam_g.minimize = lambda loss: None
    images = batch if name != "recurrent_gan" else batch[:, 2:-2, 2:-2]
    metrics = taken["step"](images, *[numpy.arange(4)] * (name == "cgan"))
    own, penalty = metrics[loss].item() * (-1 if loss == "W" else 1), metrics["R1"].item()
    assert penalty > 1e-3
    assert_allclose(seen, [own + penalty], rtol=1e-5)


def test_both_conditional_networks_mind_the_label(example: Load, batch: numpy.ndarray) -> None:
    cgan = example("cgan")
    g, d = cgan.ConditionalGenerator(8, 3, 1, 32), cgan.ConditionalDiscriminator(3, 1, 32, cgan.CGANOptions())
    for network in (g, d):
        nn.init.initialize(network, nn.init.normal)
        network.eval()
    same, labels = numpy.zeros(3, int), numpy.arange(3)
    with tg.no_grad():
        z, x = tg.concatenate([tg.randn((1, 8))] * 3), tg.tensor(batch[:1].repeat(3, axis=0) / 255, dtype="float32")
        for of in (lambda labels: g(z, labels).numpy(), lambda labels: d(x, labels).numpy()):
            told, untold = of(labels), of(same)
            assert_allclose(untold[1:], untold[:1].repeat(2, axis=0), atol=1e-6)
            assert numpy.abs(told[1:] - told[:1]).max(axis=tuple(range(1, told.ndim))).min() > 1e-4


def test_the_label_is_judged_by_projection(example: Load, batch: numpy.ndarray) -> None:
    """D(x, y) = w h + b + e_y h for the features h of x (Miyato & Koyama, 2018)."""
    cgan = example("cgan")
    d, labels = cgan.ConditionalDiscriminator(3, 1, 32, cgan.CGANOptions()).eval(), numpy.array([2, 0, 2, 1])
    with tg.no_grad():
        x = tg.tensor(batch / 255, dtype="float32")
        h, logits = d.features(x).numpy(), d(x, labels).numpy()
    judged = numpy.array([h[n] @ (d.score.weight.numpy()[:, 0] + d.embedding.weight.numpy()[y]) for n, y in enumerate(labels)])
    assert_allclose(logits[:, 0], judged + d.score.bias.numpy(), atol=1e-5)


def test_the_picture_of_attention_shows_where_the_pixel_at_the_cross_looks(example: Load) -> None:
    attention_gan = example("attention_gan")
    g = attention_gan.generator(8, 1)
    nn.init.initialize(g, nn.init.normal)
    (layer,) = (layer for layer in g.layers if isinstance(layer, nn.SelfAttention2D))
    looks = numpy.zeros((1, 256, 256), numpy.float32)
    for row, column in attention_gan.QUERIES:
        looks[0, 16 * row + column, 16 * (row + 8 if row < 8 else row - 8) + column] = 0.25  # eight rows away
    layer.weights = lambda x: tg.tensor(looks)
    picture = attention_gan.attention_picture(g, tg.randn((1, 8)))[::2, ::2, 0]  # each pixel is drawn twice
    for i, (row, column) in enumerate(attention_gan.QUERIES, start=1):
        expected = numpy.zeros((32, 32), numpy.uint8)
        away = 2 * (row + 8 if row < 8 else row - 8)
        expected[away : away + 2, 2 * column : 2 * column + 2] = 255
        expected[2 * row, 2 * column - 2 : 2 * column + 3] = expected[2 * row - 2 : 2 * row + 3, 2 * column] = 255
        assert_array_equal(picture[:, 34 * i : 34 * i + 32], expected)


def test_inpaint_finds_what_a_decoder_made_from_half_of_it(example: Load) -> None:
    """128 pixels tell three latent numbers so well that the prior hardly matters, and the decoder is linear: there is one lowest place."""
    inpaint, model = example("inpaint"), example("vae").VAE()
    model.decoder = nn.Sequential(nn.Dense(3, 256), nn.Reshape(16, 16, 1))
    nn.init.initialize(model, nn.init.he)
    images = tg.sigmoid(model.decoder(tg.randn((5, 3)))).numpy()
    visible = numpy.ones((16, 16, 1), numpy.float32)
    visible[8:] = 0
    filled = inpaint.fill_in(model, images * visible, visible, 3, "cpu")
    assert_allclose(filled, images, atol=0.05)


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_autoencoder_s_rival_loses_the_smaller_singular_values(example: Load, count: int) -> None:
    """The best of all linear reconstructions (Eckart & Young, 1936)."""
    images = numpy.random.default_rng(0).standard_normal((20, 3, 4, 1))
    singular = numpy.linalg.svd((images - images.mean(axis=0)).reshape(20, 12), compute_uv=False)
    left = ((example("autoencoder").projected(images, images, count) - images) ** 2).sum()
    assert_allclose(left, (singular[count:] ** 2).sum(), atol=1e-12)
