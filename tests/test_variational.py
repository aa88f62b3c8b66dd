"""What the variational autoencoders share: the evaluation counts each test image once, and decoding gives probabilities."""

from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_allclose

import tinygen as tg
from tinygen import Tensor, nn
from tinygen.data import ImageDataset
from tinygen.variational import Variational, VariationalOptions

IMAGES = numpy.random.default_rng(0).integers(0, 256, (750, 2, 2, 1), numpy.uint8)


class Model(nn.Module):
    """Whose reconstructions are the images where these are neither black nor white."""

    def __init__(self) -> None:
        self.scale = tg.ones((1,), requires_grad=True)
        self.decoder = nn.Reshape(2, 2, 1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = tg.clip(x.reshape(-1, 4), 0.01, 0.99)
        return tg.log(x / (1.0 - x)), x


@pytest.fixture
def variational(tmp_path: Path) -> Variational:
    labels = numpy.zeros(750, numpy.int64)
    data = ImageDataset(IMAGES, labels, IMAGES, labels, ("all",), "made up")
    return Variational(VariationalOptions(out=tmp_path, latent=4), data, Model())


def test_every_test_image_counts_alike_in_batches_of_unequal_size(variational: Variational) -> None:
    found = variational._evaluate(lambda x: {"brightness": x.mean(), "square": (x * x).mean()})
    x = IMAGES / 255
    assert_allclose([found["test_brightness"], found["test_square"]], [x.mean(), (x * x).mean()], rtol=1e-6)


def test_reconstructions_are_the_decoder_s_probabilities_of_the_encoder_s_means(variational: Variational) -> None:
    mean, _ = variational.model.encode(variational.pixels(IMAGES[:10]))
    made = variational.decode(mean)
    assert_allclose(made, (IMAGES[:10] / 255).clip(0.01, 0.99), atol=1e-5)
