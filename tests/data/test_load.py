"""What users bring is recognised by its form, and its images are brought to one size."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import write_cifar10, write_classes
from numpy.testing import assert_array_equal

from tinygen.data import load_images

modest = settings(deadline=None, max_examples=50)


class TestLoadImages:
    def test_what_is_no_set_of_images_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "set.zip").write_text("")
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "notes.txt").write_text("")
        write_cifar10(tmp_path / "both")
        write_classes(tmp_path / "both", {"cat": 1})
        cases = {
            "nowhere": "nowhere does not exist",
            "set.zip": r"set\.zip is a file, and of files only \.npz can be read",
            "empty": r"empty holds no images that can be read: no IDX files \(.*; it holds notes\.txt$",
            "both": "both holds CIFAR-10's binary files and images; each kind needs a folder of its own",
        }
        for name, message in cases.items():
            with pytest.raises((ValueError, FileNotFoundError), match=message):
                load_images(tmp_path / name)

    @pytest.mark.parametrize("option", ["size", "crop"])
    def test_sizes_that_cannot_be(self, option: str) -> None:
        with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
            load_images(**{option: 0})  # type: ignore[arg-type]

    @modest
    @given(height=st.integers(1, 9), width=st.integers(1, 9), crop=st.none() | st.integers(1, 9), size=st.none() | st.integers(1, 9))
    def test_arrays_are_brought_to_size(self, scratch: Path, height: int, width: int, crop: int | None, size: int | None) -> None:
        images = numpy.broadcast_to(numpy.arange(height)[:, None, None] * 20 + numpy.arange(width)[:, None], (3, height, width, 3))
        arrays = {"train_images": images.astype(numpy.uint8), "test_images": images[:1].astype(numpy.uint8)}
        numpy.savez(scratch / "fit.npz", **arrays, train_labels=numpy.arange(3), test_labels=numpy.arange(1))
        if crop is not None and crop > min(height, width):
            with pytest.raises(ValueError, match=rf"fit\.npz: an image of {height}x{width} pixels has no central {crop}x{crop}"):
                load_images(scratch / "fit.npz", size, crop)
            return
        data = load_images(scratch / "fit.npz", size, crop)
        rows, columns = (crop, crop) if crop is not None else (height, width)
        top, left = (height - rows) // 2, (width - columns) // 2
        central = images[:, top : top + rows, left : left + columns]
        assert data.train_images.shape[1:3] == data.test_images.shape[1:3] == ((rows, columns) if size is None else (size, size))
        if size is None or (size, size) == (rows, columns):
            assert_array_equal(data.train_images, central)
        else:
            assert abs(data.train_images.mean() - central.mean()) < 2, "what is resized is the centre"

    def test_grey_is_the_weighted_mean_of_the_colours(self, tmp_path: Path) -> None:
        write_cifar10(tmp_path)
        colour, grey = load_images(tmp_path), load_images(tmp_path, grey=True)
        assert grey.train_images.shape == (11, 32, 32, 1)
        assert abs(colour.train_images @ numpy.array([0.299, 0.587, 0.114]) - grey.train_images[..., 0]).max() <= 1
