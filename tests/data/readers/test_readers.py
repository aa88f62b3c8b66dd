"""What users bring: written in each of its forms it is read back the same, and what is damaged or mixed up is refused in one sentence."""

import io
import zipfile
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.testing import assert_array_equal
from PIL import Image

from tinygen.data import load_cifar10, load_image_folder, load_images, load_npz

modest = settings(deadline=None, max_examples=50)
RECORD = 3073
NPZ_KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def random_images(seed: int, *shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(seed).integers(0, 256, shape, dtype=numpy.uint8)


def random_labels(seed: int, count: int) -> numpy.ndarray:
    """A label of every class, so that each has a training image, before random ones."""
    return numpy.append(numpy.arange(10), numpy.random.default_rng(seed).integers(0, 10, count))[:count]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose files a property may overwrite at each example."""
    return tmp_path_factory.mktemp("readers")


def write_batch(path: Path, images: numpy.ndarray, labels: numpy.ndarray) -> None:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    path.write_bytes(numpy.concatenate([labels[:, None].astype(numpy.uint8), planes], axis=1).tobytes())


def write_cifar10(folder: Path, sizes: tuple[int, ...] = (10, 1, 3)) -> Path:
    """A batch of each size, the last one for testing."""
    folder.mkdir(exist_ok=True)
    names = [f"data_batch_{i + 1}.bin" for i in range(len(sizes) - 1)] + ["test_batch.bin"]
    for seed, (name, size) in enumerate(zip(names, sizes, strict=True)):
        write_batch(folder / name, random_images(seed, size, 32, 32, 3), random_labels(seed, size))
    return folder


class TestCifar10:
    @settings(deadline=None, max_examples=10)
    @given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=5).map(lambda sizes: (10, *sizes)))
    def test_reads_back_every_batch_in_its_order(self, tmp_path_factory: pytest.TempPathFactory, sizes: tuple[int, ...]) -> None:
        folder = write_cifar10(tmp_path_factory.mktemp("cifar"), sizes)
        data = load_cifar10(folder)
        images = [random_images(seed, size, 32, 32, 3) for seed, size in enumerate(sizes)]
        labels = [random_labels(seed, size) for seed, size in enumerate(sizes)]
        assert_array_equal(data.train_images, numpy.concatenate(images[:-1]))
        assert_array_equal(data.train_labels, numpy.concatenate(labels[:-1]))
        assert_array_equal(data.test_images, images[-1])
        assert_array_equal(data.test_labels, labels[-1])
        assert data.classes == tuple("0123456789") and data.train_images.flags.c_contiguous

    def test_the_bytes_of_a_record(self, tmp_path: Path) -> None:
        """Red is the first plane, and a plane goes row by row."""
        write_cifar10(tmp_path)
        record = bytearray(RECORD)
        record[0], record[1 + 5], record[1 + 1024 + 32], record[1 + 2048 + 1023] = 7, 100, 150, 200
        (tmp_path / "test_batch.bin").write_bytes(record)
        data = load_cifar10(tmp_path)
        assert data.test_labels.tolist() == [7]
        assert [data.test_images[0, 0, 5, 0], data.test_images[0, 1, 0, 1], data.test_images[0, 31, 31, 2]] == [100, 150, 200]
        assert data.test_images.sum() == 450

    def test_classes_have_the_names_that_are_there(self, tmp_path: Path) -> None:
        write_cifar10(tmp_path)
        (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n")
        assert load_cifar10(tmp_path).classes[::9] == ("airplane", "truck")
        (tmp_path / "batches.meta.txt").write_bytes(b"\xff\xfe airplane\n")
        with pytest.raises(ValueError, match=r"batches\.meta\.txt names 2 classes, and CIFAR-10 has 10"):
            load_cifar10(tmp_path)

    @modest
    @given(length=st.integers(0, 2 * RECORD - 1).filter(lambda n: n != RECORD))
    def test_a_file_cut_within_a_record_is_refused(self, scratch: Path, length: int) -> None:
        folder = write_cifar10(scratch / "cut")
        (folder / "data_batch_1.bin").write_bytes((folder / "data_batch_1.bin").read_bytes()[:length])
        with pytest.raises(ValueError, match=f"data_batch_1.bin holds {length} bytes, and .* whole records of 3073"):
            load_cifar10(folder)

    def test_labels_that_cannot_be(self, tmp_path: Path) -> None:
        write_cifar10(tmp_path)
        write_batch(tmp_path / "test_batch.bin", random_images(0, 3, 32, 32, 3), numpy.array([9, 200, 10]))
        with pytest.raises(ValueError, match=r"test_batch\.bin has the label 200 in record 1, and CIFAR-10's run from 0 to 9"):
            load_cifar10(tmp_path)

    @pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"])
    def test_missing_files_are_named(self, tmp_path: Path, name: str) -> None:
        write_cifar10(tmp_path, (1, 1, 1, 1))
        (tmp_path / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{tmp_path} lacks {name} of CIFAR-10"):
            load_images(tmp_path)


datasets = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from([(), (1,), (3,)])).flatmap(
    lambda s: st.fixed_dictionaries(
        {
            "train_images": stn.arrays("uint8", (s[0], s[2], s[3], *s[4])),
            "train_labels": stn.arrays(st.sampled_from(["uint8", "int32", "int64"]), (s[0],), elements=st.integers(0, 100)),
            "test_images": stn.arrays("uint8", (s[1], s[2], s[3], *s[4])),
            "test_labels": stn.arrays("uint8", (s[1], 1), elements=st.integers(0, s[0] - 1)),
        }
    ).map(lambda arrays: {**arrays, "test_labels": arrays["train_labels"][arrays["test_labels"]]})
)


def small_npz(**changes: numpy.ndarray | None) -> dict[str, numpy.ndarray]:
    """Valid arrays, changed, or left out where the change is None."""
    arrays = {
        "train_images": random_images(0, 6, 4, 3, 3),
        "train_labels": numpy.array([5, 3, 3, 5, 3, 5]),
        "test_images": random_images(1, 2, 4, 3, 3),
        "test_labels": numpy.array([5, 3]),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


class TestNpz:
    @modest
    @given(arrays=datasets, compressed=st.booleans())
    def test_reads_back_what_numpy_wrote(self, scratch: Path, arrays: dict[str, numpy.ndarray], compressed: bool) -> None:
        (numpy.savez_compressed if compressed else numpy.savez)(scratch / "set.npz", **arrays, other=numpy.ones(2))
        data = load_npz(scratch / "set.npz")
        for part, images, labels in (
            ("train", data.train_images, data.train_labels),
            ("test", data.test_images, data.test_labels),
        ):
            assert_array_equal(images.reshape(arrays[f"{part}_images"].shape), arrays[f"{part}_images"])
            assert [data.classes[label] for label in labels] == [str(label) for label in arrays[f"{part}_labels"].ravel()]
        assert list(data.classes) == sorted(data.classes, key=int)

    def test_labels_count_the_classes_that_are_given(self, tmp_path: Path) -> None:
        labels = {"train_labels": numpy.array([2, 0, 0, 2, 0, 2]), "test_labels": numpy.array([0, 2])}
        numpy.savez(tmp_path / "set.npz", **small_npz(**labels), classes=numpy.array(["cat", "dog", "eel"]))
        data = load_npz(tmp_path / "set.npz")
        assert data.classes == ("cat", "eel") and data.train_labels.tolist() == [1, 0, 0, 1, 0, 1], "no dog occurs"

    @modest
    @given(arrays=datasets)
    def test_keras_names_mean_the_same(self, scratch: Path, arrays: dict[str, numpy.ndarray]) -> None:
        numpy.savez(scratch / "ours.npz", **arrays)
        numpy.savez(scratch / "keras.npz", **dict(zip(("x_train", "y_train", "x_test", "y_test"), map(arrays.get, NPZ_KEYS), strict=True)))
        ours, keras = load_npz(scratch / "ours.npz"), load_npz(scratch / "keras.npz")
        assert ours.digest() == keras.digest()

    @modest
    @given(data=st.data(), compressed=st.booleans())
    def test_a_truncated_file_is_refused(self, scratch: Path, data: st.DataObject, compressed: bool) -> None:
        (numpy.savez_compressed if compressed else numpy.savez)(scratch / "cut.npz", **small_npz())
        whole = (scratch / "cut.npz").read_bytes()
        (scratch / "cut.npz").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(ValueError, match=r"cut\.npz is not a readable .npz file: ."):
            load_npz(scratch / "cut.npz")

    @settings(deadline=None, max_examples=300)
    @given(data=st.data(), compressed=st.booleans())
    def test_a_damaged_file_never_gives_other_numbers(self, scratch: Path, data: st.DataObject, compressed: bool) -> None:
        (numpy.savez_compressed if compressed else numpy.savez)(scratch / "damaged.npz", **small_npz())
        expected = load_npz(scratch / "damaged.npz")
        content = bytearray((scratch / "damaged.npz").read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        (scratch / "damaged.npz").write_bytes(content)
        try:
            result = load_npz(scratch / "damaged.npz")
        except ValueError as error:
            assert "damaged.npz" in str(error)
        else:  # time stamps and the like mean nothing here
            assert_array_equal(result.train_images, expected.train_images)
            assert_array_equal(result.train_labels, expected.train_labels)

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        numpy.savez(tmp_path / "set.npz", **small_npz(train_labels=numpy.array([0] * 6, dtype=object)))
        with pytest.raises(
            ValueError, match=r"set\.npz is not a readable .npz file: train_labels holds Python objects, which would have to be unpickled"
        ):
            load_npz(tmp_path / "set.npz")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (b"", b"", "train_images holds more than 216 bytes of data where its header, .* promises 216"),
            (b"(6, 4, 3, 3)", b"(6, 4, 3, 3 ", "."),
            (b"(6, 4, 3, 3)", b"(6, 4, 4, 3)", "train_images holds 220 bytes of data where its header, .* promises 288"),
            (
                b"(6, 4, 3, 3), }".ljust(30),
                b"(99999999, 99999999, 99), }".ljust(30),
                "train_images holds 220 bytes of data where its header, .* promises ",
            ),
            (b"NUMPY", b"NUMPI", "the magic string is not correct"),
        ],
    )
    def test_a_member_that_was_written_wrong(self, tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
        with zipfile.ZipFile(tmp_path / "set.npz", "w") as file:
            for name, array in small_npz().items():
                content = io.BytesIO()
                numpy.save(content, array)
                file.writestr(f"{name}.npy", content.getvalue().replace(old, new, 1) + b"more")
        with pytest.raises(ValueError, match=rf"set\.npz is not a readable \.npz file: .*{message}"):
            load_npz(tmp_path / "set.npz")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                dict(train_labels=None, test_images=None, x_train=numpy.ones(1)),
                r"lacks the arrays train_labels, test_images \(or x_train, .*\); its arrays are train_images, test_labels, x_train$",
            ),
            (dict.fromkeys(NPZ_KEYS), r"lacks .*; it holds no arrays$"),
            (
                dict(train_images=numpy.ones((6, 4, 3, 3))),
                r"train_images must be uint8 \(N, H, W\), .* or \(N, H, W, 3\), not float64 \(6, 4, 3, 3\)",
            ),
            (dict(test_images=numpy.ones((6, 4, 3, 2), "uint8")), r"test_images must be uint8 .*, not uint8 \(6, 4, 3, 2\)"),
            (dict(train_labels=numpy.ones(6)), r"train_labels must be integers \(N,\) or \(N, 1\), not float64 \(6,\)"),
            (dict(test_labels=numpy.ones((2, 10), "uint8")), r"test_labels must be integers .*, not uint8 \(2, 10\)"),
            (dict(train_labels=numpy.ones(5, int)), "6 training images but 5 labels"),
            (dict(test_images=numpy.ones((2, 5, 3, 3), "uint8")), "training images are 4x3x3 but test images 5x3x3"),
            (dict(classes=numpy.array(["cat", "dog"])), "training labels run from 3 to 5, but 2 classes allow 0 to 1"),
            (dict(classes=numpy.array([1, 2])), r"classes must be strings \(K,\), not int64 \(2,\)"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path: Path, changes: dict[str, numpy.ndarray | None], message: str) -> None:
        numpy.savez(tmp_path / "set.npz", **small_npz(**changes))
        with pytest.raises(ValueError, match=rf"set\.npz:? {message}"):
            load_npz(tmp_path / "set.npz")


def write_image(path: Path, image: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_classes(folder: Path, counts: dict[str, int], *shape: int) -> dict[str, list[numpy.ndarray]]:
    """A folder of images for each class, which are returned."""
    classes = {name: list(random_images(seed, count, *(shape or (4, 5, 3)))) for seed, (name, count) in enumerate(counts.items())}
    for name, images in classes.items():
        for i, image in enumerate(images):
            write_image(folder / name / f"{i:03}.png", image)
    return classes


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
