"""Augmentations of batches are pure functions of images, seed, epoch and batch; each keeps what it should keep."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.testing import assert_array_equal

from tinygen.command_line import UsageError
from tinygen.data import Augmentation, Loader

modest = settings(deadline=None, max_examples=25)
batches = st.tuples(st.integers(1, 6), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3])).flatmap(
    lambda shape: stn.arrays("uint8", shape)
)
numbers = st.integers(0, 2**64 - 1)
names = st.lists(st.sampled_from(["flip", "shift", "crop"]), unique=True)
RAMP = numpy.arange(1, 16 * 24 * 3 + 1).reshape(1, 16, 24, 3).astype(numpy.uint8).repeat(400, axis=0)


@modest
@given(images=batches, seed=numbers, epoch=numbers, batch=numbers, names=names)
def test_a_pure_function_to_images_of_the_same_kind(images: numpy.ndarray, seed: int, epoch: int, batch: int, names: list[str]) -> None:
    before = images.copy()
    changed = Augmentation(names)(images, seed, epoch, batch)
    assert changed.shape == images.shape and changed.dtype == numpy.uint8
    assert_array_equal(images, before)
    numpy.random.seed(0)  # noqa: NPY002  the global stream must have no say
    assert_array_equal(Augmentation(names)(images, seed, epoch, batch), changed)


def test_half_of_the_images_are_flipped() -> None:
    changed = Augmentation(["flip"])(RAMP, 1, 2, 3)
    flipped = (changed == RAMP[:, :, ::-1]).all(axis=(1, 2, 3))
    assert_array_equal(changed[~flipped], RAMP[~flipped])
    assert 150 < flipped.sum() < 250


def test_shifts_are_all_those_of_up_to_an_eighth_with_black_behind() -> None:
    changed, padded = Augmentation(["shift"])(RAMP, 1, 2, 3), numpy.pad(RAMP[0], ((2, 2), (3, 3), (0, 0)))
    places = {padded[2 + y : 18 + y, 3 + x : 27 + x].tobytes(): (y, x) for y in range(-2, 3) for x in range(-3, 4)}
    found = {places[image.tobytes()] for image in changed}
    assert found == {(y, x) for y in range(-2, 3) for x in range(-3, 4)}


def test_crops_are_enlarged_parts() -> None:
    """Along a ramp, a crop's slope is between 3/4 and 1 of the whole's, and its values are among the whole's."""
    ramp = numpy.arange(0, 240, 10, dtype=numpy.uint8)[None, None, :, None].repeat(300, axis=0).repeat(8, axis=1)
    changed = Augmentation(["crop"])(ramp, 1, 2, 3).astype(int)
    assert (changed == changed[:, :1]).all()
    slopes = (changed[:, 0, 20, 0] - changed[:, 0, 4, 0]) / 160
    assert 0.74 < slopes.min() < 0.78 and 0.97 < slopes.max() <= 1.01
    assert changed.min() < 5 and changed.max() > 225 and len({row.tobytes() for row in changed}) > 200


def test_images_batches_epochs_and_seeds_have_numbers_of_their_own() -> None:
    augment = Augmentation(["shift", "flip"])
    changed = augment(RAMP, 1, 2, 3)
    assert len({image.tobytes() for image in changed}) > 40
    for other in ((2, 2, 3), (1, 1, 3), (1, 2, 4)):
        assert (augment(RAMP, *other) != changed).any()
    changes = Augmentation(["flip", "flip"])(RAMP, 1, 2, 3)
    assert (changes != RAMP).any(), "each change has numbers of its own"


@modest
@given(data=st.data(), names=names.filter(bool))
def test_a_loader_gives_the_same_images_from_any_point_of_an_epoch(data: st.DataObject, names: list[str]) -> None:
    images, labels = numpy.random.default_rng(0).integers(0, 256, (11, 9, 8, 1), numpy.uint8), numpy.arange(11)
    plain, loader = (Loader(images, labels, batch_size=3, seed=5, augment=augment) for augment in (None, Augmentation(names)))
    start = data.draw(st.integers(0, 3))
    rest = list(loader.epoch(4, start))
    for i, ((image, label), (changed, same)) in enumerate(zip(plain.epoch(4, start), rest, strict=True), start):
        assert_array_equal(same, label)
        assert_array_equal(changed, Augmentation(names)(image, 5, 4, i))
    assert len(list(loader.epoch(4))) == 3


def test_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^images can be augmented by flip, shift, crop, not by turn, zoom$"):
        Augmentation(["turn", "flip", "zoom"])
