"""A run on images that stay on disk ends with the bits of one on the same images in memory."""

import os
import signal
from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from small_run import contents

import tinygen as tg
from tinygen import nn
from tinygen.data import ImageDataset, Streamed, load_images
from tinygen.data.readers import folder as folder_reader
from tinygen.evaluation.features import train_classifier
from tinygen.evaluation.judge import nearest_training_distances
from tinygen.training.gan import GAN, GANOptions


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageDataset, ImageDataset]:
    """44 images of two classes, in memory and on disk."""
    place, random = tmp_path_factory.mktemp("images"), numpy.random.default_rng(0)
    for i in range(44):
        path = place / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=numpy.uint8)).save(path)
    memory = load_images(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_reader, "IN_MEMORY", 1)
        disk = load_images(place)
    assert isinstance(disk.train_images, Streamed) and isinstance(memory.train_images, numpy.ndarray)
    return memory, disk


def train(folder: Path, data: ImageDataset, resume: bool = False, stop_at: int | None = None) -> None:
    tg.manual_seed(0)
    options = GANOptions(out=folder, epochs=2, batch_size=8, latent=3, augment="flip", resume=resume)
    generator = nn.Sequential(nn.Dense(3, 192), nn.Tanh(), nn.Reshape(8, 8, 3))
    gan = GAN(options, data, generator, nn.Sequential(nn.Flatten(), nn.Dense(192, 1)))
    steps = 0

    def step(batch: numpy.ndarray, labels: numpy.ndarray) -> dict[str, tg.Tensor]:
        nonlocal steps
        loss = (gan.discriminator(gan.real(batch)) - tg.tensor(labels[:, None].astype(numpy.float32))).abs().mean()
        gan.adam_d.minimize(loss)
        gan.adam_g.minimize(gan.discriminator(gan.generator(gan.noise(len(batch)))).mean())
        steps += 1
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return {"D": loss}

    shown = gan.noise(4)
    gan.train(step, lambda: gan.sample(shown), data.train_labels)


def test_a_run_has_the_same_bits_and_can_be_resumed_with_either(sets: tuple[ImageDataset, ImageDataset], tmp_path: Path) -> None:
    memory, disk = sets
    train(tmp_path / "memory", memory)
    train(tmp_path / "disk", disk)
    assert contents(tmp_path / "disk") == contents(tmp_path / "memory")
    with pytest.raises(SystemExit):
        train(tmp_path / "moved", disk, stop_at=3)
    train(tmp_path / "moved", memory, resume=True)
    assert contents(tmp_path / "moved") == contents(tmp_path / "memory")


def test_it_is_judged_by_the_same_images(sets: tuple[ImageDataset, ImageDataset]) -> None:
    rows = numpy.arange(20)[::-1]
    drawn = sets[0].draw_test_images(3)
    one, other = (nearest_training_distances(drawn, data.train_images) for data in sets)
    assert_array_equal(one, other)
    one, other = (
        train_classifier(data.train_images[rows], data.train_labels[rows], 2, seed=0, steps=2).classify(data.test_images) for data in sets
    )
    assert_array_equal(one, other)
