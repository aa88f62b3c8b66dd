"""Arrays in an .npz file read back the same, and what is damaged or mixed up is refused."""

import io
import zipfile
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from image_files import random_images
from numpy.testing import assert_array_equal

from tinygen.data import load_npz

modest = settings(deadline=None, max_examples=50)
NPZ_KEYS = ("train_images", "train_labels", "test_images", "test_labels")

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
