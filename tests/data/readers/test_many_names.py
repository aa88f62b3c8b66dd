"""The names under which the same images come: of files, parts and folders; the labels that occur; and what is passed over."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from image_files import write_idx
from numpy.testing import assert_array_equal
from PIL import Image, features

from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, load_cifar100, load_idx, load_images

modest = settings(deadline=None, max_examples=25)
KINDS = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def write_set(folder: Path, names: list[str], labels: numpy.ndarray) -> None:
    """Four files of these names, with the same labels for training and testing."""
    images = numpy.random.default_rng(0).integers(0, 256, (len(labels), 3, 2))
    for name, array in zip(names, (images, labels, images, labels), strict=True):
        write_idx(folder / name, array)


def write_picture(path: Path, shade: int = 0, format: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), (shade, 0, 255)).save(path, format)


class TestIdx:
    @modest
    @given(labels=stn.arrays("uint8", st.integers(1, 20)))
    def test_the_classes_are_the_labels_that_occur(self, scratch: Path, labels: numpy.ndarray) -> None:
        write_set(scratch / "labels", [f"{kind}-idx{'31'[kind.endswith('labels')]}-ubyte" for kind in KINDS], labels)
        data = load_idx(scratch / "labels")
        assert list(data.classes) == [str(label) for label in sorted(set(labels.tolist()))]
        assert [int(data.classes[label]) for label in data.train_labels] == labels.tolist()

    @pytest.mark.parametrize(
        "name", ["{}.idx{}-ubyte", "{}-idx{}-ubyte.gz", "emnist-letters-{}-idx{}-ubyte.gz", "emnist-letters-{}.idx{}-ubyte"]
    )
    @pytest.mark.parametrize("test", ["t10k", "test"])
    @pytest.mark.parametrize("above", ["", "raw"])
    def test_names_of_files(self, tmp_path: Path, name: str, test: str, above: str) -> None:
        names = [name.format(kind, 1 if "labels" in kind else 3).replace("t10k", test) for kind in KINDS]
        write_set(tmp_path / above, names, numpy.array([1, 26]))
        write_idx(tmp_path / above / f"._{names[0]}", numpy.zeros(1))
        data = load_images(tmp_path)
        assert data.classes == ("1", "26") and data.source == str(tmp_path / above)
        assert data.train_images.shape == (2, 3, 2, 1)

    def test_several_sets_in_one_folder_are_refused(self, tmp_path: Path) -> None:
        for name in ("emnist-digits", "emnist-letters"):
            write_set(tmp_path, [f"{name}-{kind}-idx1-ubyte" for kind in KINDS], numpy.array([1]))
        with pytest.raises(UsageError, match="holds the sets emnist-digits, emnist-letters; each needs a folder of its own"):
            load_images(tmp_path)

    def test_a_class_that_is_only_tested_is_refused(self, tmp_path: Path) -> None:
        write_set(tmp_path, [f"{kind}-idx1-ubyte" for kind in KINDS], numpy.array([1, 2]))
        write_idx(tmp_path / "t10k-labels-idx1-ubyte", numpy.array([9, 2]))
        with pytest.raises(UsageError, match="the class 9 has 1 test images but no training images; give some, or leave"):
            load_idx(tmp_path)

    def test_what_is_there_is_named(self, tmp_path: Path) -> None:
        write_idx(tmp_path / "train-images-idx3-ubyte", numpy.zeros((1, 2, 2)))
        with pytest.raises(FileNotFoundError, match=r"lacks train-labels-idx1-ubyte, .*; it holds train-images-idx3-ubyte$"):
            load_images(tmp_path)


def write_cifar100(folder: Path) -> numpy.ndarray:
    """Two records for training and testing, of the labels 99 and 3."""
    records = numpy.random.default_rng(0).integers(0, 256, (2, 3074), dtype=numpy.uint8)
    records[:, 1] = 99, 3
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(records.tobytes())
    return records


class TestCifar:
    @pytest.mark.parametrize("above", ["", "cifar-100-binary"])
    def test_cifar_100_has_two_labels_of_which_the_second_counts(self, tmp_path: Path, above: str) -> None:
        records = write_cifar100(tmp_path / above)
        data = load_images(tmp_path)
        assert data.classes == ("3", "99") and data.train_labels.tolist() == [1, 0]
        assert_array_equal(data.train_images.transpose(0, 3, 1, 2).reshape(2, -1), records[:, 2:])
        (tmp_path / above / "fine_label_names.txt").write_text("\n".join(f"c{i}" for i in range(100)))
        assert load_images(tmp_path).classes == ("c3", "c99")

    def test_cifar_100_s_damage(self, tmp_path: Path) -> None:
        write_cifar100(tmp_path)
        (tmp_path / "test.bin").write_bytes(bytes([0, 100]) + bytes(3072))
        with pytest.raises(UsageError, match=r"test\.bin has the label 100 in record 0, and CIFAR-100's run from 0 to 99"):
            load_cifar100(tmp_path)
        (tmp_path / "test.bin").write_bytes(bytes(3073))
        with pytest.raises(UsageError, match=r"test\.bin holds 3073 bytes, and CIFAR-100's binary files hold .* records of 3074"):
            load_cifar100(tmp_path)
        (tmp_path / "test.bin").unlink()
        with pytest.raises(FileNotFoundError, match=r"lacks test\.bin of CIFAR-100's binary version; it holds train\.bin$"):
            load_images(tmp_path)

    def test_two_sets_below_one_folder_are_refused(self, tmp_path: Path) -> None:
        write_cifar100(tmp_path / "a")
        write_set(tmp_path / "b", [f"{kind}-idx1-ubyte" for kind in KINDS], numpy.array([1]))
        with pytest.raises(UsageError, match="holds CIFAR-100's binary files in a and IDX files in b; each kind needs"):
            load_images(tmp_path)


class TestFolder:
    @pytest.mark.parametrize(("train", "test"), [("train", "val"), ("Train", "Test"), ("TRAINING", "validation"), ("training", "testing")])
    def test_names_of_parts(self, tmp_path: Path, train: str, test: str) -> None:
        for part in (train, test):
            for name in ("cat", "dog"):
                write_picture(tmp_path / part / name / "0.png")
        data = load_images(tmp_path)
        assert data.classes == ("cat", "dog") and data.source == str(tmp_path) and len(data.test_images) == 2

    def test_of_a_test_and_a_validation_part_the_first_counts(self, tmp_path: Path) -> None:
        for shade, part in enumerate(("train", "val", "test")):
            write_picture(tmp_path / part / "0.png", shade)
        data = load_images(tmp_path)
        assert data.test_images[0, 0, 0, 0] == 2 and data.source == f"{tmp_path}, 1 passed over (1 folders)"

    @pytest.mark.parametrize("suffix", [".jfif", ".AVIF", ".webp"])
    def test_endings_of_names(self, tmp_path: Path, suffix: str) -> None:
        if suffix == ".AVIF" and not features.check("avif"):
            pytest.skip("this Pillow reads no AVIF")
        for i in range(10):
            write_picture(tmp_path / f"{i}{suffix}", format={".jfif": "JPEG"}.get(suffix, suffix[1:].upper()))
        assert load_images(tmp_path).train_images.shape == (9, 2, 3, 3)

    def test_what_is_passed_over_is_counted(self, tmp_path: Path) -> None:
        for i in range(10):
            write_picture(tmp_path / "cat" / f"{i}.png")
        for name in ("cat/notes.txt", "cat/list.TXT", "Thumbs.db", "cat/README", "cat/.hidden"):
            (tmp_path / name).touch()
        assert load_images(tmp_path).source == f"{tmp_path}, every tenth image for testing, 4 passed over (1 .db, 2 .txt, 1 without ending)"

    def test_refusals_name_what_is_there(self, tmp_path: Path) -> None:
        write_picture(tmp_path / "cat" / "0.png")
        for i in range(8):
            (tmp_path / "dog").mkdir(exist_ok=True)
            (tmp_path / "dog" / f"{i}.heic").touch()
        with pytest.raises(UsageError, match=r"dog holds no images: .*; it holds 0\.heic, 1\.heic, .*, 5\.heic and 2 more$"):
            load_images(tmp_path)


class TestClasses:
    @modest
    @given(labels=stn.arrays("int64", st.integers(5, 30), elements=st.integers(0, 4)), data=st.data())
    def test_only_some_classes_are_kept(self, labels: numpy.ndarray, data: st.DataObject) -> None:
        labels[:5] = numpy.arange(5)
        images = numpy.arange(len(labels), dtype=numpy.uint8).reshape(-1, 1, 1, 1)
        whole = ImageDataset(images, labels, images[:5], labels[:5], tuple("vwxyz"), "letters")
        names = data.draw(st.lists(st.sampled_from("vwxyz"), min_size=1, unique=True))
        some = whole.only(names)
        assert list(some.classes) == sorted(names) and some.source == f"letters, {len(names)} of 5 classes"
        kept = [(image.item(), "vwxyz"[label]) for image, label in zip(images, labels, strict=True) if "vwxyz"[label] in names]
        assert kept == [(image.item(), some.classes[label]) for image, label in zip(some.train_images, some.train_labels, strict=True)]
        assert [some.classes[label] for label in some.test_labels] == sorted(names)

    def test_the_embedded_emoji(self) -> None:
        data = load_images("emoji")
        assert data.describe() == "data: embedded Noto Emoji, 3,161 training and 325 test images of 32x32x3"
        assert data.digest() == "543b9cb9f9f37ab5f015b2768060cdfb63455669dff83c0fedaca1c9c00c7636"
        assert load_images("emoji", size=16, grey=True).train_images.shape == (3161, 16, 16, 1)
        for classes in ("Flags, Symbols", ["Symbols", "Flags"]):
            some = load_images("emoji", classes=classes)
            assert some.classes == ("Flags", "Symbols") and len(some.train_images) == 443 and len(some.test_images) == 51
        with pytest.raises(UsageError, match="embedded Noto Emoji has no class flags; its classes are Activities, Animals & Nature, "):
            load_images("emoji", classes=["flags"])

    def test_a_folder_called_emoji(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for i in range(10):
            write_picture(tmp_path / "emoji" / f"{i}.png")
        assert [len(load_images(path).train_images) for path in ("emoji", "./emoji", Path("emoji"))] == [3161, 9, 9]
