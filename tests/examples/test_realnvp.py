"""Real NVP: what its docstring promises of the inverse, the determinant and the likelihood."""

import numpy
import pytest
import realnvp
from numpy.testing import assert_allclose

import tinygen as tg
from tinygen.command_line import UsageError

RANDOM = numpy.random.default_rng(0)


@pytest.fixture
def model() -> realnvp.RealNVP:
    """A network that is not the identity, as it is at first."""
    tg.manual_seed(0)
    model = realnvp.RealNVP((4, 8, 1), 3, 4)
    for coupling in model.fine + model.coarse:
        weight = coupling.layers[-1].weight
        weight.writable("test")[...] = 0.3 * RANDOM.standard_normal(weight.shape)
    return model.double()


def logits() -> tg.Tensor:
    return tg.tensor(RANDOM.standard_normal((2, 4, 8, 1)))


def test_squares_are_channels_and_back() -> None:
    x = tg.tensor(numpy.arange(16.0).reshape(1, 4, 4, 1))
    assert realnvp.squeeze(x)[0, 0, 1].tolist() == [2, 3, 6, 7]
    assert numpy.array_equal(realnvp.unsqueeze(realnvp.squeeze(x)), x)


def test_every_number_is_moved_and_the_inverse_brings_it_back(model: realnvp.RealNVP) -> None:
    y = logits()
    z, _ = model(y)
    assert_allclose(model.inverse(z).numpy(), y.numpy(), atol=1e-12)
    unmoved, _ = realnvp.RealNVP((4, 8, 1), 3, 4).double()(y)
    assert (z.numpy() != unmoved.numpy()).all()


def test_the_determinant_is_that_of_the_jacobian(model: realnvp.RealNVP) -> None:
    y = tg.tensor(logits()[:1].numpy(), requires_grad=True)
    z, log_det = model(y)
    rows = [tg.grad(z[0, i], [y], retain_graph=True)[0].numpy().ravel() for i in range(z.shape[1])]
    assert_allclose(log_det.item(), numpy.linalg.slogdet(numpy.stack(rows))[1], rtol=1e-10)


def test_the_bits_of_a_network_that_does_nothing_are_those_of_a_normal_distribution_of_logits() -> None:
    x = numpy.float64(RANDOM.integers(0, 256, (3, 4, 4, 1)) / 255)
    model = realnvp.RealNVP((4, 4, 1), 1, 4).double()
    tg.manual_seed(1)
    found = realnvp.bits(model, tg.tensor(x)).item()
    tg.manual_seed(1)
    v = 0.05 + 0.9 * (255 * x + tg.rand(x.shape, "float64").numpy()) / 256
    y = numpy.log(v / (1 - v))
    density = numpy.exp(-(y**2) / 2) / numpy.sqrt(2 * numpy.pi) * 0.9 / (v * (1 - v))
    assert_allclose(found, -numpy.log2(density / 256).mean(), rtol=1e-12)


def test_every_byte_survives_the_way_there_and_back(model: realnvp.RealNVP) -> None:
    images = numpy.arange(256).reshape(8, 4, 8, 1)
    trained = realnvp.TrainedRealNVP(model, realnvp.RealNVPOptions())
    z = trained.encode(tg.tensor(images / 255))
    assert_allclose(255 * trained.decode(z).numpy(), images, atol=1e-6)


def test_images_that_cannot_be_halved_twice_are_refused() -> None:
    with pytest.raises(UsageError, match="images of 30x28 do not fit"):
        realnvp.RealNVP((30, 28, 1), 1, 4)
