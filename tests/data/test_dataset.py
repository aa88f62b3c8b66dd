"""The parts of a data set agree, and its images become the input of a network."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.testing import assert_array_equal

from tinygen.data import ImageDataset, pad_to, to_float

modest = settings(deadline=None, max_examples=50)


def dataset(**changes: object) -> ImageDataset:
    images, labels = numpy.zeros((3, 4, 5, 1), numpy.uint8), numpy.array([0, 1, 1])
    parts = dict(train_images=images, train_labels=labels, test_images=images, test_labels=labels, classes=("a", "b"), source="here")
    return ImageDataset(**(parts | changes))  # type: ignore[arg-type]


class TestImageDataset:
    def test_agreeing_parts_are_taken(self) -> None:
        assert dataset().describe() == "data: here, 3 training and 3 test images of 4x5x1"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(train_images=numpy.zeros((3, 4, 5), numpy.uint8)), r"training images must be uint8 .*, not uint8 \(3, 4, 5\)"),
            (dict(test_images=numpy.zeros((3, 4, 5, 1))), r"test images must be uint8 .*, not float64 \(3, 4, 5, 1\)"),
            (dict(train_labels=numpy.zeros((3, 1), numpy.int64)), r"training labels must be int64 \(N,\), not int64 \(3, 1\)"),
            (dict(test_labels=numpy.zeros(3, numpy.uint8)), r"test labels must be int64 \(N,\), not uint8 \(3,\)"),
            (dict(train_labels=numpy.array([0, 1])), "3 training images but 2 labels"),
            (dict(test_images=numpy.zeros((0, 4, 5, 1), numpy.uint8)), "there are no test images, and at least one is needed"),
            (dict(test_images=numpy.zeros((3, 4, 6, 1), numpy.uint8)), "training images are 4x5x1 but test images 4x6x1"),
            (dict(test_labels=numpy.array([0, 2, 1])), "test labels run from 0 to 2, but 2 classes allow 0 to 1"),
            (dict(train_labels=numpy.array([0, -1, 1])), "training labels run from -1 to 1, but"),
        ],
    )
    def test_says_what_does_not_agree(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=f"^here: {message}"):
            dataset(**changes)

    @given(count=st.integers(1, 60), n=st.integers(0, 70))
    def test_draws_test_images_without_repetition_and_always_the_same(self, count: int, n: int) -> None:
        images = numpy.arange(count, dtype=numpy.uint8).reshape(count, 1, 1, 1)
        labels = numpy.zeros(count, numpy.int64)
        data = ImageDataset(images, labels, images, labels, ("all",), "made up")
        drawn = data.draw_test_images(n)
        assert drawn.shape == (min(n, count), 1, 1, 1) and len(numpy.unique(drawn)) == len(drawn)
        assert_array_equal(drawn, data.draw_test_images(n))

    def test_draws_from_all_classes_of_sorted_test_images(self) -> None:
        images = numpy.arange(10, dtype=numpy.uint8).repeat(100).reshape(1000, 1, 1, 1)
        labels = images.ravel().astype(numpy.int64)
        data = ImageDataset(images, labels, images, labels, tuple("0123456789"), "made up")
        assert len(numpy.unique(data.draw_test_images(100))) == 10


class TestNetworkInput:
    @modest
    @given(low=st.floats(-10, 10), span=st.floats(0.1, 10), dtype=st.sampled_from(["float32", "float64"]))
    def test_to_float_is_even_and_exact_at_both_ends(self, low: float, span: float, dtype: str) -> None:
        levels = to_float(numpy.arange(256, dtype=numpy.uint8).reshape(2, 8, 16, 1), low, low + span, dtype)
        assert levels.dtype == dtype and levels.shape == (2, 8, 16, 1)
        assert levels.flat[0] == numpy.dtype(dtype).type(low) and levels.flat[255] == numpy.dtype(dtype).type(low + span)
        numpy.testing.assert_allclose(numpy.diff(levels.ravel()), span / 255, rtol=1e-2)

    @modest
    @given(images=stn.arrays(numpy.uint8, stn.array_shapes(min_dims=4, max_dims=4, max_side=5)), border=st.integers(0, 5))
    def test_pad_to_centres_on_black(self, images: numpy.ndarray, border: int) -> None:
        _, height, width, _ = images.shape
        size = max(height, width) + border
        padded = pad_to(images, size)
        assert padded.shape == (len(images), size, size, images.shape[3]) and padded.dtype == numpy.uint8
        top, left = (size - height) // 2, (size - width) // 2
        assert_array_equal(padded[:, top : top + height, left : left + width], images)
        padded[:, top : top + height, left : left + width] = 0
        assert not padded.any()

    def test_wrong_input_is_refused(self) -> None:
        images = numpy.zeros((1, 28, 20, 1), numpy.uint8)
        with pytest.raises(ValueError, match="28x20 do not fit into 27x27; --size 27 makes them smaller"):
            pad_to(images, 27)
        with pytest.raises(ValueError, match="pad_to: images must be a uint8 array, 0 to 255, not float32"):
            pad_to(images.astype(numpy.float32), 32)
        with pytest.raises(ValueError, match="to_float: images must be a uint8 array, 0 to 255, not int64"):
            to_float(images.astype(numpy.int64), -1, 1)
