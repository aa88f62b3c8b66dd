"""Folders of images are classes, whatever the images' mode and size; the rest is refused."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import random_images, write_classes, write_image
from numpy.testing import assert_array_equal
from PIL import Image

from tinygen.data import load_image_folder, load_images

modest = settings(deadline=None, max_examples=50)


class TestImageFolder:
    @settings(deadline=None, max_examples=10)
    @given(counts=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3), channels=st.sampled_from([(), (3,)]))
    def test_reads_back_train_and_test(
        self, tmp_path_factory: pytest.TempPathFactory, counts: list[tuple[int, int]], channels: tuple[int, ...]
    ) -> None:
        folder, names = tmp_path_factory.mktemp("folder"), ["b", "a", "c"][: len(counts)]
        written = {
            part: write_classes(folder / part, {name: count[i] for name, count in zip(names, counts, strict=True)}, 4, 5, *channels)
            for i, part in enumerate(("train", "test"))
        }
        data = load_images(folder)
        assert data.classes == tuple(sorted(names)) and data.source == str(folder)
        for part, images, labels in (("train", data.train_images, data.train_labels), ("test", data.test_images, data.test_labels)):
            expected = [(label, image) for label, name in enumerate(data.classes) for image in written[part][name]]
            assert labels.tolist() == [label for label, _ in expected]
            assert_array_equal(images, numpy.stack([image for _, image in expected]).reshape(len(expected), 4, 5, -1))

    def test_without_parts_every_tenth_image_of_a_class_is_for_testing(self, tmp_path: Path) -> None:
        written = write_classes(tmp_path, {"cat": 21, "dog": 9})
        data = load_image_folder(tmp_path)
        assert data.describe() == f"data: {tmp_path}, every tenth image for testing, 28 training and 2 test images of 4x5x3"
        assert_array_equal(data.test_images, [written["cat"][9], written["cat"][19]])
        assert_array_equal(data.train_images[:10], [*written["cat"][:9], written["cat"][10]])
        assert numpy.bincount(data.train_labels).tolist() == [19, 9] and data.test_labels.tolist() == [0, 0]

    def test_images_without_folders_are_one_class(self, tmp_path: Path) -> None:
        write_classes(tmp_path, {"": 10})
        (tmp_path / "list.txt").write_text("a file that is no image")
        (tmp_path / ".hidden").mkdir()
        (tmp_path / ".hidden.png").write_text("a picture that its owner hides")
        data = load_images(tmp_path)
        assert data.classes == ("image",) and len(data.train_images) == 9 and len(data.test_images) == 1

    @pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)])
    def test_modes_become_grey_or_colour(self, tmp_path: Path, mode: str, channels: int) -> None:
        for i in range(10):
            Image.new("RGB", (2, 2), "white").convert(mode).save(tmp_path / f"{i}.{'tiff' if mode == 'CMYK' else 'png'}")
        data = load_image_folder(tmp_path)
        assert data.train_images.shape == (9, 2, 2, channels) and (data.train_images == 255).all()

    def test_transparent_pixels_are_black_and_a_grey_image_among_colours_gets_three_channels(self, tmp_path: Path) -> None:
        write_classes(tmp_path, {"": 10}, 1, 2, 3)
        write_image(tmp_path / "000.png", numpy.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], numpy.uint8))
        write_image(tmp_path / "001.png", numpy.array([[7, 8]], numpy.uint8))
        images = load_image_folder(tmp_path).train_images
        assert images[0].tolist() == [[[200, 100, 50], [0, 0, 0]]] and images[1].tolist() == [[[7, 7, 7], [8, 8, 8]]]
        assert load_image_folder(tmp_path, grey=True).train_images.shape == (9, 1, 2, 1)

    def test_a_photograph_is_turned_upright(self, tmp_path: Path) -> None:
        for i in range(10):
            exif = Image.Exif()
            exif[0x0112] = 6  # the camera was turned by a quarter
            Image.fromarray(numpy.array([[10, 20, 30]], numpy.uint8)).save(tmp_path / f"{i}.png", exif=exif)
        assert load_image_folder(tmp_path).train_images[0, ..., 0].tolist() == [[10], [20], [30]]

    def test_images_of_several_sizes_are_brought_to_one(self, tmp_path: Path) -> None:
        for i, size in enumerate([(40, 60), (8, 8), (64, 20), *[(16, 16)] * 7]):
            write_image(tmp_path / f"{i}.png", numpy.full((*size, 3), 10 * i, numpy.uint8))
        with pytest.raises(ValueError, match=rf"1\.png is 8x8 but {tmp_path}/0\.png is 40x60; .*--size, brings all to one size"):
            load_images(tmp_path)
        data = load_images(tmp_path, size=16)
        assert data.train_images.shape == (9, 16, 16, 3)
        assert_array_equal(data.train_images, numpy.broadcast_to(10 * numpy.arange(9).reshape(9, 1, 1, 1), (9, 16, 16, 3)))
        with pytest.raises(ValueError, match=r"1\.png: an image of 8x8 pixels has no central 12x12"):
            load_images(tmp_path, crop=12)

    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    @modest
    @given(data=st.data(), suffix=st.sampled_from(["png", "bmp", "jpg", "ppm", "gif", "tif", "webp"]))
    def test_a_truncated_image_is_refused_or_lacks_nothing(self, scratch: Path, data: st.DataObject, suffix: str) -> None:
        folder = scratch / suffix
        write_classes(folder, {"": 10}, 9, 8, 3)
        Image.fromarray(random_images(0, 9, 8, 3)).save(folder / f"0.{suffix}")
        whole = (folder / f"0.{suffix}").read_bytes()
        expected = load_image_folder(folder).train_images
        (folder / f"0.{suffix}").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        try:
            result = load_image_folder(folder)
        except ValueError as error:
            assert str(error).startswith(f"{folder}/0.{suffix} is not a readable image: ")
        else:
            assert_array_equal(result.train_images, expected)

    def test_what_is_built_otherwise_is_refused(self, tmp_path: Path) -> None:
        write_classes(tmp_path / "few", {"cat": 9, "dog": 2})
        write_classes(tmp_path / "mixed", {"cat": 10, "": 1})
        write_classes(tmp_path / "deep", {"cat": 10, "cat/small": 1})
        write_classes(tmp_path / "empty", {"cat": 10})
        (tmp_path / "empty" / "dog").mkdir()
        write_classes(tmp_path / "other", {"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/eel": 1})
        write_classes(tmp_path / "depth", {"": 10})
        Image.fromarray(numpy.zeros((4, 5), numpy.uint16)).save(tmp_path / "depth" / "0.png")
        cases = {
            "few": r"few has no class of 10 images, of which one could be set aside for testing; give more, or divide them into",
            "mixed": r"mixed holds 1 subfolders, which are classes, but also images of no class: 000\.png",
            "deep": r"deep/cat is a class, whose images lie directly in it, but it holds the folder small",
            "empty": r"empty/dog holds no images: none of its files ends in \.png, ",
            "other": r"other/train has the classes cat, dog, but .*other/test has cat, eel",
            "depth": r"depth/0\.png has pixels of Pillow's mode I;16, and only those of 8 bits per channel can be read",
        }
        for name, message in cases.items():
            with pytest.raises(ValueError, match=message):
                load_images(tmp_path / name)
