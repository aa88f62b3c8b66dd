"""Images that stay on disk are the same, bit for bit, as those in memory, wherever they are used."""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from tinygen.command_line import UsageError
from tinygen.data import ImageDataset, Loader, Streamed, load_images, to_float
from tinygen.data.readers import folder as folder_reader
from tinygen.data.stream import read_ahead

modest = settings(deadline=None, max_examples=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 13 and 20 images of 6x5 pixels, some of them grey."""
    place = tmp_path_factory.mktemp("streamed")
    random = numpy.random.default_rng(0)
    for name, count in (("cat", 13), ("dog", 20)):
        (place / name).mkdir()
        for i in range(count):
            pixels = random.integers(0, 256, (6, 5) if i % 4 == 0 else (6, 5, 3), dtype=numpy.uint8)
            Image.fromarray(pixels).save(place / name / f"{i:02}.png")
    return place


def streamed(*arguments: object) -> ImageDataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_reader, "IN_MEMORY", 100)
        data = load_images(*arguments)  # type: ignore[arg-type]
    assert isinstance(data.train_images, Streamed) and isinstance(data.test_images, Streamed)
    return data


@pytest.mark.parametrize("options", [(), (4,), (4, 5), (None, None, True)], ids=str)
def test_a_set_on_disk_is_the_set_in_memory(folder: Path, options: tuple[object, ...]) -> None:
    memory, disk = load_images(folder, *options), streamed(folder, *options)  # type: ignore[arg-type]
    for one, other in ((memory, disk), (memory.padded(9), disk.padded(9)), (memory.only(["dog"]), disk.only(["dog"]))):
        assert other.describe() == one.describe() and other.digest() == one.digest()
        assert_array_equal(other.train_labels, one.train_labels)
        assert_array_equal(other.draw_test_images(2), one.draw_test_images(2))
        assert_array_equal(to_float(other.train_images[3:8:2], -1, 1), to_float(one.train_images[3:8:2], -1, 1))


@modest
@given(data=st.data(), seed=st.integers(0, 9), drop_last=st.booleans())
def test_batches_are_the_same_from_any_point_of_an_epoch(folder: Path, data: st.DataObject, seed: int, drop_last: bool) -> None:
    memory, disk = load_images(folder), streamed(folder)
    size = data.draw(st.integers(1, len(memory.train_images)))
    loaders = [Loader(part.train_images, part.train_labels, batch_size=size, seed=seed, drop_last=drop_last) for part in (memory, disk)]
    start = data.draw(st.integers(0, len(loaders[0])))
    for (one, labels), (other, other_labels) in zip(*(loader.epoch(3, start) for loader in loaders), strict=True):
        assert_array_equal(other, one)
        assert_array_equal(other_labels, labels)


def test_images_are_decoded_ahead_by_several_threads_and_no_further() -> None:
    started: list[int] = []
    together = threading.Barrier(2, timeout=60)

    def read(item: int) -> int:
        started.append(item)
        together.wait()  # for another thread: a single one would never come
        return item * item

    results = read_ahead(read, iter(range(8)), ahead=2)
    assert next(results) == 0
    time.sleep(0.1)
    assert max(started) <= 3
    assert list(results) == [i * i for i in range(1, 8)]


def test_an_epoch_that_is_left_stops_its_threads(folder: Path) -> None:
    threads = threading.active_count()
    batches: Iterator[object] = Loader(streamed(folder).train_images, batch_size=2, seed=0).epoch(0)
    next(batches)
    assert threading.active_count() > threads
    del batches
    assert threading.active_count() == threads


def test_a_damaged_image_is_found_before_the_training(folder: Path, tmp_path: Path) -> None:
    for i in range(10):
        Image.new("L", (2, 2)).save(tmp_path / f"{i}.png")
    (tmp_path / "7.png").write_bytes((tmp_path / "7.png").read_bytes()[:40])
    with pytest.raises(UsageError, match=r"7\.png is not a readable image"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_reader, "IN_MEMORY", 1)
        load_images(tmp_path)


def test_an_image_that_vanishes_is_named(folder: Path, tmp_path: Path) -> None:
    for i in range(10):
        Image.new("L", (2, 2)).save(tmp_path / f"{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_reader, "IN_MEMORY", 1)
        batches = Loader(load_images(tmp_path).train_images, batch_size=3, seed=0).epoch(0)
    (tmp_path / "4.png").unlink()
    with pytest.raises(UsageError, match=r"4\.png is not a readable image: .*No such file"):
        list(islice(batches, 3))
