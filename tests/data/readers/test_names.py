from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygen.data import NameDataset, load_names
from tinygen.data.readers.names import bigram_nats

modest = settings(deadline=None, max_examples=50)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
lists = st.lists(words, min_size=1, max_size=8, unique=True).map(tuple)


def test_the_embedded_names_are_split_the_same_way_for_ever() -> None:
    data = load_names()
    assert data.describe() == "data: embedded first names, 4,646 training and 517 test names of up to 11 of 26 characters"
    assert data.test[:3] == ("aaron", "ada", "adele") and data.train[-1] == "zulma"
    assert not set(data.train) & set(data.test)


@modest
@given(train=lists, test=lists)
def test_names_come_back_from_numbers(train: tuple[str, ...], test: tuple[str, ...]) -> None:
    data = NameDataset(train, test, "a test")
    for names in (train, test):
        rows = data.encode(names)
        assert rows.shape == (len(names), data.longest + 1) and rows.dtype == numpy.int64
        assert_array_equal((rows > 0).sum(1), list(map(len, names)))
        assert (rows[:, -1] == 0).all() and rows.max() <= len(data.alphabet)
        assert data.decode(rows) == list(names)


@modest
@given(names=st.lists(words, min_size=0, max_size=30))
def test_a_file_s_lines_are_split_without_loss_or_refused(scratch_file: Path, names: list[str]) -> None:
    scratch_file.write_text("\n".join(names), "utf-8", newline="")
    distinct = {line.strip() for line in scratch_file.read_text("utf-8").splitlines()} - {""}
    if len(distinct) < 10:
        with pytest.raises(ValueError, match=f"scratch holds {len(distinct)} distinct names, one a line, and at least 10 are needed"):
            load_names(scratch_file)
    else:
        data = load_names(scratch_file)
        assert {*data.train, *data.test} == distinct and len(data.train) + len(data.test) == len(distinct)
        assert len(data.test) == -(-len(distinct) // 10)
        assert data.source == str(scratch_file)


def test_spaces_around_and_repetitions_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(" b \n\na\r\nb\n" + "\n".join("cdefghij"))
    data = load_names(tmp_path / "file")
    assert sorted(data.train + data.test) == list("abcdefghij")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"anna\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"file is not UTF-8 text: .* position 5"):
        load_names(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_names(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is a folder, and a text file of one name a line is needed"):
        load_names(tmp_path)


def test_bigrams_of_two_names_are_counted_by_hand() -> None:
    # Of "ab" and "b", each with its end 0: 0a 1, ab 1, b0 2, 0b 1, and one more for all nine pairs.
    train, test = numpy.array([[1, 2, 0], [2, 0, 0]]), numpy.array([[2, 2, 0]])
    after_start, after_b = numpy.array([1, 2, 2]) / 5, numpy.array([3, 1, 1]) / 5
    expected = -numpy.log([after_start[2], after_b[2], after_b[0]]).mean()
    assert bigram_nats(train, test) == pytest.approx(expected)
