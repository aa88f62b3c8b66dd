"""What the variational autoencoders share: the evaluation counts each test image once, and decoding gives probabilities."""

from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import Tensor, nn, random_state
from tinygen.data import ImageDataset
from tinygen.training.vae import LatentModel, Variational, VariationalOptions

IMAGES = numpy.random.default_rng(0).integers(0, 256, (750, 2, 2, 1), numpy.uint8)


class Model(LatentModel):
    """Whose reconstructions are the images where these are neither black nor white."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(tg.ones((1,)))
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


def test_the_picture_shows_ten_images_what_becomes_of_them_and_ways_between_others(variational: Variational) -> None:
    """Each cell of the picture is 4 pixels wide, and 4 of a gap come between."""
    picture = variational._samples()
    assert picture.shape == (8 * 8 - 4, 10 * 8 - 4, 1)
    cells = numpy.pad(picture[..., 0], ((0, 4), (0, 4))).reshape(8, 8, 10, 8).swapaxes(1, 2)[:, :, :4:2, :4:2]
    seen = variational.data.draw_test_images(22)[..., 0]
    assert_array_equal(cells[0], seen[:10])
    assert_allclose(cells[1], seen[:10], atol=3)
    assert_allclose(cells[2:, 0], seen[10:16], atol=3)
    assert_allclose(cells[2:, 9], seen[16:22], atol=3)
    assert (numpy.diff(cells[2:].astype(int), axis=1).min(axis=1) * numpy.diff(cells[2:].astype(int), axis=1).max(axis=1) >= 0).all()


def test_the_picture_is_of_images_from_the_whole_test_set_and_draws_nothing_from_the_random_stream(variational: Variational) -> None:
    tg.manual_seed(0)
    state = random_state()
    shades = (numpy.arange(750) // 4).astype(numpy.uint8).repeat(4).reshape(750, 2, 2, 1)  # stored by class
    data = variational.data
    sorted_data = ImageDataset(data.train_images, data.train_labels, shades, data.test_labels, ("all",), "made up")
    picture = Variational(variational.options, sorted_data, Model())._samples()
    shown = picture[0, ::8, 0]
    assert len(shown) == 10 and shown.max() > 150 and shown.min() < 40
    assert_array_equal(random_state(), state)


class Noisy(LatentModel):
    """Whose encoder and decoder are other functions in training, and keep statistics there."""

    def __init__(self) -> None:
        self.encoder = nn.Sequential(nn.Flatten(), nn.BatchNorm(4), nn.Dropout(0.5))
        self.decoder = nn.Sequential(nn.BatchNorm(4), nn.Dropout(0.5), nn.Reshape(2, 2, 1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(x), x


def test_test_images_are_evaluated_encoded_and_decoded_outside_training(variational: Variational) -> None:
    model = Noisy()
    model.decoder.layers[0].eval()
    run = Variational(variational.options, variational.data, model)
    before, modes = model.state_dict(), [module.training for module in model.modules()]

    def losses(x: Tensor) -> dict[str, Tensor]:
        return {"error": (model.decoder(model.encode(x)[0]) - x).sum()}

    assert run._evaluate(losses) == run._evaluate(losses)
    assert_array_equal(run._samples(), run._samples())
    assert_array_equal(run.decode(tg.ones((3, 4))), run.decode(tg.ones((3, 4))))
    for name, array in model.state_dict().items():
        assert_array_equal(array, before[name])
    assert [module.training for module in model.modules()] == modes


def test_few_test_images_are_shown_again(variational: Variational) -> None:
    few = ImageDataset(IMAGES, variational.data.train_labels, IMAGES[:3], variational.data.test_labels[:3], ("all",), "made up")
    picture = Variational(variational.options, few, Model())._samples()
    assert_array_equal(picture[:4, 3 * 8 : 3 * 8 + 4], picture[:4, :4])
