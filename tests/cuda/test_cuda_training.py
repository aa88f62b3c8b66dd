"""Small networks of each kind, and the examples themselves: a GPU's kernels lead to the CPU's losses."""

import io
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from device_arrays import STAND_IN
from numpy.testing import assert_allclose
from repository import EXAMPLES
from short_runs import train
from tqdm import tqdm

import tinygen as tg
from tinygen import manual_seed, nn, optim
from tinygen.data import Loader
from tinygen.training import finish, loop

pytestmark = pytest.mark.gpu

STEPS, IMAGES = 5, 3
Step = Callable[[], list[tg.Tensor]]


def adam(network: nn.Module) -> optim.Adam:
    """With the usual eps, a gradient that is 0 but for rounding, which is each device's own, would move a parameter by lr."""
    return optim.Adam(network.parameters(), 0.01, eps=1e-3)


def cnn(device: str) -> Step:
    network = nn.Sequential(
        nn.Conv2D(1, 4, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(3 * 3 * 4, 5),
        nn.Dropout(0.25),
        nn.Dense(5, 3),
    ).to(device)
    optimizer = adam(network)

    def step() -> list[tg.Tensor]:
        loss = tg.cross_entropy(network(tg.randn((IMAGES, 6, 6, 1), device=device)), numpy.arange(IMAGES) % 3)
        optimizer.minimize(loss)
        return [loss]

    return step


def adversarial(generator: nn.Module, discriminator: nn.Module, shape: tuple[int, ...], device: str) -> Step:
    of_generator, of_discriminator = adam(generator.to(device)), adam(discriminator.to(device))

    def step() -> list[tg.Tensor]:
        fake = generator(tg.randn((IMAGES, 2), device=device))
        real = tg.randn((IMAGES, *shape), device=device)
        d_loss = tg.mean(tg.softplus(-discriminator(real)) + tg.softplus(discriminator(fake.detach())))
        of_discriminator.minimize(d_loss)
        g_loss = tg.mean(tg.softplus(-discriminator(fake)))
        of_generator.minimize(g_loss)
        return [d_loss, g_loss]

    return step


def dense_gan(device: str) -> Step:
    generator = nn.Sequential(nn.Dense(2, 5), nn.BatchNorm(5), nn.LeakyReLU(), nn.Dense(5, 6), nn.Tanh())
    discriminator = nn.Sequential(nn.Dense(6, 5), nn.LeakyReLU(), nn.Dropout(0.3), nn.Dense(5, 1))
    return adversarial(generator, discriminator, (6,), device)


def gan(device: str) -> Step:
    generator = nn.Sequential(
        nn.Dense(2, 2 * 2 * 5, bias=False),
        nn.BatchNorm(20),
        nn.LeakyReLU(0.2),
        nn.Reshape(2, 2, 5),
        nn.ConvTranspose2D(5, 3, 4, stride=2, padding="same"),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2D(3, 4, 4, stride=2, padding="same"), nn.LeakyReLU(0.2), nn.AvgPool2D(2), nn.Flatten(), nn.Dense(4, 1)
    )
    return adversarial(generator, discriminator, (4, 4, 3), device)


def wgan(device: str) -> Step:
    """The gradient penalty: double backward through a convolution and layer norm."""
    generator = nn.Sequential(nn.Dense(2, 4 * 4), nn.Reshape(4, 4, 1), nn.Tanh()).to(device)
    critic = nn.Sequential(
        nn.Conv2D(1, 3, 3, stride=2, padding="same"), nn.LayerNorm((2, 2, 3)), nn.LeakyReLU(0.2), nn.Flatten(), nn.Dense(12, 1)
    ).to(device)
    of_generator, of_critic = adam(generator), adam(critic)

    def step() -> list[tg.Tensor]:
        real, fake = tg.randn((IMAGES, 4, 4, 1), device=device), generator(tg.randn((IMAGES, 2), device=device))
        distance = -tg.wasserstein_discriminator_loss(critic(real), critic(fake.detach()))
        penalty = tg.gradient_penalty(critic, real, fake.detach())
        of_critic.minimize(10.0 * penalty - distance)
        of_generator.minimize(tg.wasserstein_generator_loss(critic(fake)))
        return [distance, penalty]

    return step


def vae(device: str) -> Step:
    encoder = nn.Sequential(nn.Conv2D(1, 3, 3, stride=2, padding="same"), nn.ReLU(), nn.Flatten(), nn.Dense(2 * 2 * 3, 4)).to(device)
    decoder = nn.Sequential(nn.Dense(2, 2 * 2 * 3), nn.Reshape(2, 2, 3), nn.ConvTranspose2D(3, 1, 4, stride=2, padding="same")).to(device)
    optimizers = [adam(encoder), adam(decoder)]

    def step() -> list[tg.Tensor]:
        x = tg.rand((IMAGES, 4, 4, 1), device=device)
        statistics = encoder(x)
        mean, log_variance = statistics[:, :2], statistics[:, 2:]
        logits = decoder(mean + tg.exp(0.5 * log_variance) * tg.randn((IMAGES, 2), device=device))
        kl = 0.5 * tg.sum(mean * mean + tg.exp(log_variance) - log_variance - 1.0)
        loss = tg.sum(tg.softplus(logits) - x * logits) + kl
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return [loss]

    return step


def recurrent(device: str) -> Step:
    network = nn.Sequential(nn.LSTM(2, 3), nn.GRU(3, 2), nn.Flatten(), nn.SpectralNorm(nn.Dense(4, 1))).to(device)
    optimizer = adam(network)

    def step() -> list[tg.Tensor]:
        loss = tg.mse_loss(network(tg.randn((IMAGES, 2, 2), device=device)), 1.0)
        optimizer.minimize(loss)
        return [loss]

    return step


def attention(device: str) -> Step:
    network = nn.Sequential(nn.Embedding(4, 6), nn.LayerNorm(6), nn.SelfAttention(6, 2, causal=True, similarity="cosine"), nn.Dense(6, 4))
    optimizer = adam(network.to(device))

    def step() -> list[tg.Tensor]:
        labels = tg.backend.generator().integers(4, size=(IMAGES, 5))
        loss = tg.cross_entropy(network(labels[:, :-1]).reshape(-1, 4), labels[:, 1:].ravel())
        optimizer.minimize(loss)
        return [loss]

    return step


@pytest.mark.parametrize("make", [cnn, dense_gan, gan, wgan, vae, recurrent, attention])
def test_losses_are_the_cpu_s(make: Callable[[str], Step], cuda_kernels: types.ModuleType) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        manual_seed(0)
        step = make(device)
        losses[device] = [[loss.item() for loss in step()] for _ in range(STEPS)]
    assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4 if make is wgan else 1e-5)  # second derivatives round more
    assert numpy.ptp(losses["cpu"], axis=0).min() > 0.01  # five steps, not five times the same


@pytest.fixture
def waits_of_epochs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What makes the host wait during each epoch, after its first step, as the stand-in counts it; the progress bar is shown."""
    found: list[list[str]] = []
    epoch, claim, close = Loader.epoch, loop.Training._claim, loop.Training._close_epoch
    counted: list[str] = sys.modules[STAND_IN].waits if STAND_IN in sys.modules else []

    def from_here(*arguments: Any, **keywords: Any) -> Any:
        counted.clear()
        return epoch(*arguments, **keywords)

    def up_to_here(*arguments: Any) -> str:
        found.append(list(counted))
        return close(*arguments)

    def uncounted(*arguments: Any) -> None:
        claim(*arguments)
        counted.clear()

    def shown(*arguments: Any, disable: None, **keywords: Any) -> tqdm:
        return tqdm(*arguments, disable=False, file=io.StringIO(), **keywords)

    monkeypatch.setattr(Loader, "epoch", from_here)
    monkeypatch.setattr(loop.Training, "_claim", uncounted)
    monkeypatch.setattr(loop.Training, "_close_epoch", up_to_here)
    monkeypatch.setattr("tinygen.training.progress.tqdm", shown)
    return found


@pytest.mark.usefixtures("fast_kernels")
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_s_log_is_the_cpu_s_and_the_host_waits_every_ten_steps(
    example: str, few_data: Callable[[str], Path], waits_of_epochs: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "GENERATED", 10)
    logs = []
    for device in ("cpu", "cuda"):
        train(example, out=tmp_path / device, epochs=1, batch_size=8, data=few_data(example), device=device)  # 12 steps
        logs.append(json.loads((tmp_path / device / "log.jsonl").read_text()))
    # Two players answer each other's rounding, and a GPU's sums have another order than the CPU's, which the stand-in has as well.
    rtol = 5e-2 if example.endswith("gan") and STAND_IN not in sys.modules else 1e-3
    for name in set(logs[0]) - {"seconds"}:
        assert_allclose(logs[1][name], logs[0][name], rtol=rtol, err_msg=name)
    if STAND_IN in sys.modules:
        assert waits_of_epochs == [[], ["get", "get"]]  # after the tenth step and at the end
