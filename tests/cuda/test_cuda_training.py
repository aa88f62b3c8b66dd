"""Small networks of each kind: a GPU's kernels lead to the CPU's losses."""

import types
from collections.abc import Callable

import numpy
import pytest
from numpy.testing import assert_allclose

import tinygen as tg
from tinygen import manual_seed, nn, optim

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
