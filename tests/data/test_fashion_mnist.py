"""Fashion-MNIST: the embedded subset, Debian's full set, and folders of the same files."""

import hashlib
from pathlib import Path

import numpy
import pytest
from image_files import as_idx, write_idx
from numpy.testing import assert_array_equal

from tinygen.data import CLASSES, fashion_mnist, load_fashion_mnist, load_idx
from tinygen.data.readers.idx import FILES


def write_folder(folder: Path, suffix: str = "", rows: int = 5) -> None:
    for name in FILES:
        array = numpy.arange(rows * 12).reshape(rows, 4, 3) if "images" in name else numpy.arange(rows)
        write_idx(folder / (name + suffix), array)


@pytest.fixture
def no_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of Debian's package, moved to where nothing is yet."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    return tmp_path / "debian"


class TestFashionMnist:
    def test_the_embedded_subset_is_balanced_and_the_same_for_ever(self, no_debian: Path) -> None:
        data = load_fashion_mnist()
        assert data.describe() == "data: embedded Fashion-MNIST subset, 4,000 training and 500 test images of 28x28x1"
        assert data.classes == CLASSES
        assert_array_equal(numpy.bincount(data.train_labels), [400] * 10)
        assert_array_equal(numpy.bincount(data.test_labels), [50] * 10)
        arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
        content = b"".join(array.astype(numpy.uint8).tobytes() for array in arrays)
        assert hashlib.sha256(content).hexdigest() == "98d47a271c569b1020ac8fd464451c5c9de1bef641a48c3ee83b5dfb8bb0051e"

    def test_debians_full_set_comes_before_the_embedded_one(self, no_debian: Path) -> None:
        write_folder(no_debian, ".gz")
        data = load_fashion_mnist()
        assert data.describe() == f"data: Fashion-MNIST in {no_debian}, 5 training and 5 test images of 4x3x1"
        assert data.classes == CLASSES[:5], "those that occur"

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_a_folder_of_the_user_s_own(self, tmp_path: Path, suffix: str) -> None:
        write_folder(tmp_path / "mine", suffix, rows=4)
        data = load_idx(tmp_path / "mine")
        assert data.source == str(tmp_path / "mine") and data.classes == ("0", "1", "2", "3")
        assert_array_equal(data.test_labels, [0, 1, 2, 3])
        assert_array_equal(data.train_images[..., 0], numpy.arange(48).reshape(4, 4, 3))
        assert data.train_images.dtype == numpy.uint8 and data.train_labels.dtype == numpy.int64

    def test_says_which_files_are_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"{tmp_path} lacks {', '.join(FILES)}"):
            load_idx(tmp_path)
        write_folder(tmp_path)
        (tmp_path / "t10k-images-idx3-ubyte").unlink()
        with pytest.raises(FileNotFoundError, match="lacks t10k-images-idx3-ubyte, which"):
            load_idx(tmp_path)

    @pytest.mark.parametrize("debian", [False, True])
    def test_a_damaged_folder_is_never_passed_over(self, no_debian: Path, debian: bool) -> None:
        write_folder(no_debian, ".gz")
        (no_debian / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b damaged")
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz"):
            load_fashion_mnist() if debian else load_idx(no_debian)

    def test_files_of_other_content_are_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(as_idx(numpy.zeros(5, "float32")))
        with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte holds float32 of shape \(5,\) where labels are uint8"):
            load_idx(tmp_path)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(as_idx(numpy.zeros((5, 12), "uint8")))
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte holds uint8 of shape \(5, 12\) where images are uint8"):
            load_idx(tmp_path)
