"""Inpainting: the hidden half of an image, found by gradient descent in a VAE's latent space.

A VAE's decoder defines p(x | z) for z ~ N(0, 1). Only the pixels V of an image are visible. The
most probable z given these pixels minimises

    -log p(x_V | z) + |z|^2 / 2 = -log p(z | x_V) + constant.

The network is fixed, and gradients flow to its input z (after Yeh et al., 2017): Adam descends from
several random z for each image, and the best z found fills in the hidden pixels.

    python examples/inpaint.py                            trains vae.py's VAE first, half a minute
                                                          on 2 cores
    python examples/inpaint.py --out runs/vae --resume    uses the VAE that vae.py has trained; the
                                                          runs of the two programs are the same

In the run's folder, each column of inpainted.png shows a test image: complete, its visible half,
filled in by the VAE, and filled in from the training image with the most similar upper half. Expect
garments that fit their upper halves and are blurred where the VAE is uncertain. findings.txt has
the squared errors of the hidden halves: 14.2 for the VAE, 22.5 for the nearest training images,
38.9 for their mean.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy
from vae import VAE, VAEOptions, build, train

import tinygen as tg
from tinygen import optim
from tinygen.command_line import command_line
from tinygen.data import to_float
from tinygen.report.pictures import grid, save_png

STARTS, STEPS, LR = 4, 100, 0.1


@dataclass(kw_only=True)
class InpaintOptions(VAEOptions):
    out: Path = Path("runs/inpaint")
    """folder of the run: log, samples, checkpoint"""

    @property
    def script(self) -> str:
        """vae: this program trains its model, so each of the two can resume the other's runs."""
        return "vae"


def energy(model: VAE, z: tg.Tensor, x: tg.Tensor, visible: tg.Tensor) -> tg.Tensor:
    """-log p(x_V | z) + |z|^2 / 2 for z (N, latent) and x (N, H, W, channels): (N,).

    visible   (H, W, 1), 1 for the pixels V and 0 for the others
    """
    logits = model.decoder(z)
    return ((tg.softplus(logits) - x * logits) * visible).sum(axis=(1, 2, 3)) + 0.5 * (z * z).sum(axis=1)


def fill_in(model: VAE, images: numpy.ndarray, visible: numpy.ndarray, latent: int, device: str) -> numpy.ndarray:
    """The images (N, H, W, channels), from 0 to 1, with the hidden pixels filled in by the VAE."""
    x = tg.tensor(images.repeat(STARTS, axis=0), device=device)
    seen = tg.tensor(visible, device=device)
    z = tg.randn((len(x), latent), device=device, requires_grad=True)
    adam = optim.Adam([z], LR)
    for _ in range(STEPS):
        adam.minimize(energy(model, z, x, seen).sum())
    with tg.no_grad():
        lowest = energy(model, z, x, seen).numpy().reshape(-1, STARTS).argmin(axis=1)
        generated = tg.sigmoid(model.decoder(z)).numpy()[numpy.arange(len(images)) * STARTS + lowest]
    return numpy.where(visible, images, generated)


def nearest(images: numpy.ndarray, training: numpy.ndarray, visible: numpy.ndarray) -> numpy.ndarray:
    """The images, filled in from the training images with the nearest visible pixels."""
    a, b = ((part * visible).reshape(len(part), -1) for part in (images, training))
    squares = (b * b).sum(axis=1) - 2 * a @ b.T
    return numpy.where(visible, images, training[squares.argmin(axis=1)])


def main(options: InpaintOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    model = build(options, data)["model"]
    train(model, data, options)

    images, training = to_float(data.draw_test_images(100), 0, 1), to_float(data.train_images, 0, 1)
    height, width = images.shape[1:3]
    visible = numpy.ones((height, width, 1), numpy.float32)
    visible[height // 2 :] = 0
    filled = {
        "the VAE": fill_in(model, images, visible, options.latent, options.device),
        "the nearest training image": nearest(images, training, visible),
        "the mean training image": numpy.where(visible, images, training.mean(axis=0)),
    }
    errors = [f"{((result - images) ** 2).sum(axis=(1, 2, 3)).mean():.1f} by {name}" for name, result in filled.items()]
    findings = f"Squared error of the hidden half of {len(images)} test images: {', '.join(errors)}."
    print(findings)
    (options.out / "findings.txt").write_text(findings + "\n")
    rows = [images, numpy.where(visible, images, 0.5), *list(filled.values())[:2]]
    save_png(options.out / "inpainted.png", grid(numpy.concatenate([row[:12] for row in rows]), columns=len(images[:12])))
    print(f"filled in: {options.out / 'inpainted.png'}")


if __name__ == "__main__":
    command_line(main, InpaintOptions)
