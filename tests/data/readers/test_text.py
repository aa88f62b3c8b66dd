import bz2
from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_array_equal

from tinygen.command_line import UsageError
from tinygen.data import TextDataset, load_text


def test_the_embedded_plays_are_split_the_same_way_for_ever() -> None:
    data = load_text()
    assert data.describe() == "data: embedded plays by Shakespeare, 210,893 training and 23,432 test bytes"
    assert data.train.tobytes().startswith(b"A Midsummer Night's Dream\n\nACT I\n")
    assert data.test.tobytes().endswith(b"Than this of Juliet and her Romeo.\n\n[Exeunt]\n")


@pytest.mark.parametrize("length", [0, 9, 10, 99, 100])
def test_every_byte_of_a_file_is_kept(length: int, tmp_path: Path) -> None:
    written = bytes(range(length))
    (tmp_path / "file").write_bytes(written)
    data = load_text(tmp_path / "file")
    assert data.train.tobytes() + data.test.tobytes() == written and len(data.test) == length // 10
    assert data.source == str(tmp_path / "file")


def test_training_windows_overlap_and_test_windows_do_not() -> None:
    train, test = TextDataset(numpy.arange(11, dtype=numpy.uint8), numpy.arange(8, dtype=numpy.uint8), "a test").windows(4, every=3)
    assert_array_equal(train, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])
    assert_array_equal(test, [[0, 1, 2, 3], [4, 5, 6, 7]])


def test_what_is_not_text_is_shown_as_question_marks() -> None:
    texts = "né\nà\tb", "\x1b[2J\0"
    rows = [numpy.frombuffer(text.encode(), numpy.uint8) for text in texts]
    assert TextDataset.decode([*rows, numpy.array([97, 0xC3, 98])]) == ["né\nà\tb", "?[2J?", "a?b"]


def test_compressed_bits_are_those_that_the_test_bytes_add() -> None:
    data = load_text()
    whole, train = (len(bz2.compress(text)) for text in (data.train.tobytes() + data.test.tobytes(), data.train.tobytes()))
    assert data.compressed_bits() == 8 * (whole - train) / 23_432
    noise = numpy.random.default_rng(0).integers(0, 256, 2000, numpy.uint8)
    assert TextDataset(noise[:1800], noise[1800:], "noise").compressed_bits() > 7


def test_a_text_that_is_too_short_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 99)
    with pytest.raises(UsageError, match=r"short has 9 bytes for testing, and 10 are needed, of a text of at least 100 bytes$"):
        load_text(tmp_path / "short").windows(10, every=5)
    with pytest.raises(UsageError, match="is a folder, and a file is needed"):
        load_text(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_text(tmp_path / "none")
