"""CIFAR-10's binary batches read back the same, and what is cut or missing is refused."""

from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import random_images, random_labels, write_batch, write_cifar10
from numpy.testing import assert_array_equal

from tinygen.data import load_cifar10, load_images

modest = settings(deadline=None, max_examples=50)
RECORD = 3073


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
