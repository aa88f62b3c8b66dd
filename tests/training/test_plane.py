import numpy
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import Tensor, nn
from tinygen.training.plane import plane, surface
from tinygen.training.trained import Trained


class TestSurface:
    def test_it_joins_its_corners_and_stays_where_random_vectors_are(self) -> None:
        corners = numpy.random.default_rng(0).standard_normal((4, 20_000)).astype(numpy.float32)
        z = surface(corners, 7, gaussian=20_000).reshape(7, 7, -1)
        assert z.dtype == numpy.float32
        assert_allclose(z[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=1e-6)
        assert_allclose((z**2).mean(axis=2), 1, atol=0.05)
        assert_allclose(z[0, 3], (corners[0] + corners[1]) / numpy.sqrt(2), rtol=1e-5, atol=1e-6)

    def test_what_is_not_gaussian_is_averaged(self) -> None:
        codes = numpy.array([[0.5, 1, 0], [2.0, 0, 1], [0.5, 1, 0], [2.0, 0, 1]])
        z = surface(codes, 5, gaussian=1)
        assert_allclose(z[:, 1:].sum(axis=1), 1)
        assert_allclose(z[2], [(0.5 + 2) / numpy.sqrt(2), 0.5, 0.5])


class Halves(Trained):
    """Decodes a latent vector (a, b) as an image of two pixels; dropout shows whether it is in evaluation mode."""

    gaussian = 2

    def __init__(self, dropout: nn.Module) -> None:
        self.dropout, self.drawn = dropout, numpy.zeros(0)

    def draw(self, n: int, classes: list[int] | None = None) -> Tensor:
        z = tg.randn((n, 2))
        self.drawn = z.numpy()
        return z

    def decode(self, z: Tensor) -> Tensor:
        return self.dropout(tg.sigmoid(z)).reshape(-1, 1, 2, 1)


def test_the_images_lie_edge_to_edge_and_nothing_random_is_used_up() -> None:
    dropout = nn.Dropout(0.5)
    model, stream = Halves(dropout), tg.random_state()
    picture = plane(model, [dropout], 3)
    assert_array_equal(tg.random_state(), stream)
    assert dropout.training
    expected = 255 / (1 + numpy.exp(-surface(model.drawn, 3, 2))).reshape(3, 6, 1)
    assert picture.dtype == numpy.uint8 and picture.shape == (3, 6, 1)
    assert_allclose(picture, expected, atol=0.51)
