"""Differentiable augmentation: what each change does, and that it can be differentiated twice."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.nn import DifferentiableAugment
from tinygen.testing import gradgradcheck

NAMES = ["colour", "translation", "cutout"]
modest = settings(deadline=None, max_examples=10)


def images(n: int = 64, height: int = 16, width: int = 12, channels: int = 3) -> tg.Tensor:
    return tg.tensor(numpy.random.default_rng(0).uniform(1, 2, (1, height, width, channels)).repeat(n, axis=0), "float64")


def changed(x: tg.Tensor, *names: str, seed: int = 0) -> numpy.ndarray:
    tg.manual_seed(seed)
    return DifferentiableAugment(names)(x).numpy()


@modest
@given(
    names=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    seed=st.integers(0, 99),
)
def test_gradients_pass_through_to_second_order(names: list[str], shape: tuple[int, ...], seed: int) -> None:
    def augmented(x: tg.Tensor) -> tg.Tensor:
        tg.manual_seed(seed)
        return DifferentiableAugment(names)(x) ** 2

    gradgradcheck(augmented, tg.tensor(numpy.random.default_rng(seed).uniform(0.5, 1, shape), "float64", requires_grad=True))


def test_colour_is_an_affine_change_of_each_image() -> None:
    """Brightness moves the mean by -1/2 to 1/2; contrast and saturation scale what deviates from means."""
    x = images()
    y = changed(x, "colour")
    moved = (y - x.numpy()).mean(axis=(1, 2, 3))
    assert -0.5 <= moved.min() < -0.4 and 0.4 < moved.max() <= 0.5
    before, after = x.numpy().mean(axis=3), y.mean(axis=3)
    contrast = after.std(axis=(1, 2)) / before.std(axis=(1, 2))
    assert 0.5 <= contrast.min() < 0.6 and 1.4 < contrast.max() <= 1.5
    saturation = (y - after[..., None]).std(axis=(1, 2, 3)) / (x.numpy() - before[..., None]).std(axis=(1, 2, 3)) / contrast
    assert 0 <= saturation.min() < 0.1 and 1.9 < saturation.max() <= 2


def test_translations_are_all_those_of_up_to_an_eighth() -> None:
    x = images(200, channels=1)
    places = {(y, z): numpy.pad(x.numpy()[0], ((2, 2), (2, 2), (0, 0)))[y : y + 16, z : z + 12] for y in range(5) for z in range(5)}
    found = [place for image in changed(x, "translation") for place, shifted in places.items() if (shifted == image).all()]
    assert len(found) == 200 and set(found) == set(places)


def test_cutouts_are_rectangles_of_half_the_side() -> None:
    x = images()
    holes = (changed(x, "cutout") == 0).all(axis=3)
    assert_array_equal(changed(x, "cutout")[~holes], x.numpy()[~holes])
    for hole in holes:
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        assert (hole == (rows[:, None] & columns)).all() and 4 <= rows.sum() <= 8 and 3 <= columns.sum() <= 6
        assert numpy.flatnonzero(numpy.diff(rows)).size <= 2
    assert holes[:, 0].any() and holes[:, -1].any() and len({hole.tobytes() for hole in holes}) > 40


def test_each_image_has_numbers_of_its_own_and_a_seed_gives_them_again() -> None:
    x = images()
    y = changed(x, *NAMES)
    assert len({image.tobytes() for image in y}) == len(x)
    assert_array_equal(changed(x, *NAMES), y)
    assert (changed(x, *NAMES, seed=1) != y).any()


def test_nothing_is_changed_in_evaluation() -> None:
    x, augment = images(), DifferentiableAugment(NAMES)
    with nn.evaluating(augment):
        assert augment(x) is x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_and_device_stay(device: str, dtype: str) -> None:
    x = tg.randn((2, 8, 8, 3), dtype, device, requires_grad=True)
    y = DifferentiableAugment(NAMES)(x)
    assert (y.dtype, y.device, y.shape) == (x.dtype, x.device, x.shape)
    y.mean().backward()
    assert x.grad.device == x.device


def test_a_grey_image_has_no_saturation() -> None:
    x = images(channels=1)
    assert_allclose(numpy.ptp(changed(x, "colour"), axis=3), 0)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="DifferentiableAugment: knows colour, translation, cutout, not flip"):
        DifferentiableAugment(["flip"])
