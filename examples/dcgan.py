"""DCGAN: a generator and a discriminator, both convolutional, learn against each other (Radford, Metz & Chintala, 2016).

The generator G turns noise z ~ N(0, 1) of 100 numbers into an image; the discriminator D gives a logit that says how real an image
looks. With sigmoid s, D minimises -log s(D(x)) - log(1 - s(D(G(z)))) and G the non-saturating -log s(D(G(z))) (Goodfellow et al., 2014).

    python examples/dcgan.py                  30 epochs on the embedded Fashion-MNIST subset, two minutes on 2 cores
    python examples/dcgan.py --data FOLDER    your own images

Watch samples/epoch-*.png: after 3 epochs there are shapes, after 20 to 30 a person names the garments. In the log, D(x) and D(G(z))
are mean probabilities, near 0.55 and 0.45 when the two are balanced, and diversity is the mean distance between samples over that
between real images: near 1 when healthy, near 0 when G makes the same image again and again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Loader, pad_to, to_float
from tinygen.pictures import grid
from tinygen.training import Options, Training, command_line


@dataclass(kw_only=True)
class DCGANOptions(Options):
    out: Path = Path("runs/dcgan")
    """folder of the run: log, samples, checkpoint"""
    lr: float = 6e-4
    """learning rate of Adam, for both networks; the paper's 2e-4 is for a hundred times as many images"""
    latent: int = 100
    """dimensions of the noise"""


def generator(latent: int, channels: int) -> nn.Sequential:
    """(N, latent) -> (N, 32, 32, channels), from -1 to 1."""
    return nn.Sequential(
        nn.Dense(latent, 4 * 4 * 256, bias=False),
        nn.BatchNorm(4 * 4 * 256),
        nn.LeakyReLU(),
        nn.Reshape(4, 4, 256),
        nn.ConvTranspose2D(256, 128, 4, stride=2, padding="same", bias=False),
        nn.BatchNorm(128),
        nn.LeakyReLU(),
        nn.ConvTranspose2D(128, 64, 4, stride=2, padding="same", bias=False),
        nn.BatchNorm(64),
        nn.LeakyReLU(),
        nn.ConvTranspose2D(64, channels, 4, stride=2, padding="same"),
        nn.Tanh(),
    )


def discriminator(channels: int) -> nn.Sequential:
    """(N, 32, 32, channels) -> (N, 1), the logit of being real."""
    return nn.Sequential(
        nn.Conv2D(channels, 64, 4, stride=2, padding="same"),
        nn.LeakyReLU(),
        nn.Dropout(0.3),
        nn.Conv2D(64, 128, 4, stride=2, padding="same"),
        nn.LeakyReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Dense(8 * 8 * 128, 1),
    )


def discriminator_loss(real: tg.Tensor, fake: tg.Tensor) -> tg.Tensor:
    """-log s(real) - log(1 - s(fake)), from logits."""
    return tg.binary_cross_entropy_with_logits(real, 1.0) + tg.binary_cross_entropy_with_logits(fake, 0.0)


def generator_loss(fake: tg.Tensor) -> tg.Tensor:
    """-log s(fake), from logits."""
    return tg.binary_cross_entropy_with_logits(fake, 1.0)


def mean_distance(images: numpy.ndarray) -> float:
    """The mean Euclidean distance between two different images."""
    flat = images.reshape(len(images), -1).astype(numpy.float64)
    squares = (flat * flat).sum(axis=1)
    distances = numpy.sqrt(numpy.maximum(squares[:, None] + squares - 2 * flat @ flat.T, 0))
    return float(distances.sum() / (len(flat) * (len(flat) - 1)))


def main(options: DCGANOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_images()
    print(data.describe())
    images = pad_to(data.train_images, 32)
    channels = images.shape[-1]
    g, d = generator(options.latent, channels), discriminator(channels)
    for network in (g, d):
        nn.init.initialize(network, nn.init.normal)
        network.to(options.device)
    adam_g = optim.Adam(g.parameters(), options.lr, betas=(0.5, 0.999))
    adam_d = optim.Adam(d.parameters(), options.lr, betas=(0.5, 0.999))
    shown = tg.randn((64, options.latent), device=options.device)
    real_distance = mean_distance(to_float(images[:: max(1, len(images) // 256)], -1, 1))

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        real = tg.tensor(to_float(batch, -1, 1), device=options.device)
        fake = g(tg.randn((len(batch), options.latent), device=options.device))

        real_logits, fake_logits = d(real), d(fake.detach())
        loss_d = discriminator_loss(real_logits, fake_logits)
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()

        loss_g = generator_loss(d(fake))
        adam_g.zero_grad()
        loss_g.backward(inputs=adam_g.parameters)  # D passes the gradient on, and computes none of its own
        adam_g.step()
        return {"D": loss_d, "G": loss_g, "D(x)": tg.sigmoid(real_logits).mean(), "D(G(z))": tg.sigmoid(fake_logits).mean()}

    def sample(z: tg.Tensor) -> numpy.ndarray:
        """Images from -1 to 1, each independent of the others."""
        g.eval()
        with tg.no_grad():
            images = g(z).numpy()
        g.train()
        return images

    training = Training(
        options,
        {"generator": g, "discriminator": d, "adam_g": adam_g, "adam_d": adam_d},
        Loader(images, batch_size=options.batch_size, seed=options.seed),
        step,
        samples=lambda: grid((sample(shown) + 1) / 2),
        evaluate=lambda: {"diversity": mean_distance(sample(tg.randn((256, options.latent), device=options.device))) / real_distance},
        generate=lambda n: (sample(tg.randn((n, options.latent), device=options.device)) + 1) / 2,
    )
    training.run()


if __name__ == "__main__":
    command_line(main, DCGANOptions)
