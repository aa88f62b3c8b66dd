import itertools
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy import ndarray
from numpy.testing import assert_array_equal
from PIL import Image

from tinygen.report.pictures import captioned_grid, confusion_matrix, grid, save_gif, save_png, text

modest = settings(deadline=None, max_examples=50)
channels = st.sampled_from([1, 3])
side = st.integers(1, 4)
image_arrays = st.tuples(st.integers(1, 10), side, side, channels).flatmap(
    lambda shape: stn.arrays("float64", shape, elements=st.floats(-0.5, 1.5))
)
pictures = st.tuples(side, side, channels).flatmap(lambda shape: stn.arrays("uint8", shape))


class TestGrid:
    @modest
    @given(images=image_arrays, columns=st.none() | st.integers(1, 12), gap=st.integers(0, 3), scale=st.integers(1, 3))
    def test_puts_each_pixel_in_its_place(self, images: ndarray, columns: int | None, gap: int, scale: int) -> None:
        n, h, w, c = images.shape
        across = columns or next(k for k in itertools.count() if k * k >= n)
        down = next(k for k in itertools.count() if k * across >= n)
        expected = numpy.full(((down * (h + gap) - gap) * scale, (across * (w + gap) - gap) * scale, c), 255)
        for i, row, column in itertools.product(range(n), range(h), range(w)):
            y, x = (i // across * (h + gap) + row) * scale, (i % across * (w + gap) + column) * scale
            expected[y : y + scale, x : x + scale] = [round(255 * min(max(float(value), 0), 1)) for value in images[i, row, column]]
        picture = grid(images, columns, gap, scale)
        assert picture.dtype == numpy.uint8
        assert_array_equal(picture, expected)

    def test_gives_back_every_level_of_grey(self) -> None:
        levels = numpy.arange(256).reshape(1, 16, 16, 1)
        assert_array_equal(grid((levels / 255).astype("float32"), gap=0, scale=1), levels[0])

    def test_keeps_two_pixels_apart_and_doubles_them_unless_told(self) -> None:
        assert grid(numpy.zeros((5, 28, 28, 1))).shape == (2 * (28 + 2 + 28), 2 * (28 + 2 + 28 + 2 + 28), 1)


class TestCaptionedGrid:
    def test_shows_each_image_above_its_caption(self) -> None:
        images = numpy.stack([numpy.full((20, 30, 3), shade) for shade in (0.2, 0.4, 0.6)])
        picture = captioned_grid(images, ["one", "", "two\nlines"], columns=2, scale=2)
        height = 20 * 2 + 4 + 2 * 13
        assert picture.shape == (2 * height + 6, 2 * 30 * 2 + 6, 3)
        for i, (shade, lines) in enumerate([(51, [True, False]), (102, [False, False]), (153, [True, True])]):
            top, left = i // 2 * (height + 6), i % 2 * (60 + 6)
            cell = picture[top : top + height, left : left + 60]
            assert (cell[:40] == shade).all()
            assert [bool((part < 100).any()) for part in (cell[40:55], cell[56:])] == lines
        assert (picture[height + 6 :, 66:] == 255).all()

    def test_needs_a_caption_for_every_image(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            captioned_grid(numpy.zeros((2, 4, 4, 1)), ["one"], columns=2)


class TestText:
    @modest
    @given(words=st.lists(st.sampled_from(["", "a", "bernardina"]), min_size=1, max_size=7), columns=st.integers(1, 3))
    def test_each_word_stands_in_its_place(self, words: list[str], columns: int) -> None:
        picture = text(words, columns, width=10)
        rows = -(-len(words) // columns)
        assert picture.dtype == numpy.uint8 and picture.shape == (rows * 24, columns * 110, 1)
        cells = picture.reshape(rows, 24, columns, 110).swapaxes(1, 2).reshape(-1, 24, 110)
        ink = [int((cell < 100).sum()) for cell in cells]
        for word, n in zip(words + [""] * (len(ink) - len(words)), ink, strict=True):
            assert (n == 0) == (word == "") and (n > 100) == (word == "bernardina")


class TestFiles:
    @modest
    @given(picture=pictures)
    def test_a_png_reads_back_the_same(self, scratch: Path, picture: ndarray) -> None:
        save_png(scratch / "picture.png", picture)
        with Image.open(scratch / "picture.png") as image:
            assert image.mode == ("L" if picture.shape[2] == 1 else "RGB")
            assert_array_equal(numpy.asarray(image).reshape(picture.shape), picture)

    @modest
    @given(frames=st.integers(1, 4).flatmap(lambda n: stn.arrays("uint8", st.tuples(st.just(n), side, side, channels))))
    def test_a_gif_has_all_frames_in_their_colours_and_lingers_on_the_last(self, scratch: Path, frames: ndarray) -> None:
        frames[:, 0, 0] = numpy.arange(len(frames))[:, None]  # Pillow writes equal neighbours as one longer frame
        paths = [scratch / f"{i}.png" for i in range(len(frames))]
        for path, frame in zip(paths, frames, strict=True):
            save_png(path, frame)
        save_gif(scratch / "frames.gif", paths, milliseconds=50)
        with Image.open(scratch / "frames.gif") as gif:
            assert gif.n_frames == len(frames) and gif.info.get("loop", 0) == 0
            for i, frame in enumerate(frames):
                gif.seek(i)
                assert_array_equal(numpy.asarray(gif.convert("RGB")), numpy.broadcast_to(frame, (*frame.shape[:2], 3)))
                assert len(frames) == 1 or gif.info["duration"] == (500 if i == len(frames) - 1 else 50)


class TestConfusion:
    CELL, TOP, RIGHT = 44, 40, 10

    def cells(self, picture: ndarray, n: int) -> tuple[int, ndarray]:
        """Where the first column of cells begins, and the cells, (n, n, height, width), without the lines between them."""
        left = picture.shape[1] - self.RIGHT - n * self.CELL
        body = picture[self.TOP : self.TOP + n * self.CELL, left : -self.RIGHT, 0]
        return left, body.reshape(n, self.CELL, n, self.CELL).swapaxes(1, 2)[:, :, :-1, :-1].astype(int)

    @modest
    @given(counts=st.integers(1, 4).flatmap(lambda n: stn.arrays("int64", (n, n), elements=st.integers(0, 500))))
    def test_the_larger_a_count_in_its_row_the_darker_its_cell(self, counts: ndarray) -> None:
        n = len(counts)
        _, cells = self.cells(confusion_matrix(counts, ["name"] * n), n)
        shades = cells[:, :, 0, 0]
        for row, dark in zip(counts, shades, strict=True):
            order = numpy.argsort(row)
            assert (numpy.diff(dark[order]) <= 0).all()
            assert (dark[row == 0] == 255).all()
            assert (dark[row > row.sum() / 2] < 150).all()
        assert (abs(cells - shades[:, :, None, None]).max(axis=(2, 3)) > 100).all(), "a number cannot be read"

    @pytest.mark.parametrize(("names", "margin"), [(["a", "bb", "a"], 38), (["sandal", "", "bag"], 74)])
    def test_names_stand_at_the_rows_and_below_the_columns(self, names: list[str], margin: int) -> None:
        picture = confusion_matrix(numpy.eye(3, dtype=int), names)
        assert picture.dtype == numpy.uint8
        assert picture.shape == (40 + 3 * 44 + margin, margin + 3 * 44 + 10, 1)
        left, _ = self.cells(picture, 3)
        beside = picture[self.TOP : self.TOP + 3 * self.CELL, :left].reshape(3, -1)
        below = picture[self.TOP + 3 * self.CELL :, left : -self.RIGHT].swapaxes(0, 1).reshape(3, -1)
        for labels in (beside, below):
            assert [bool((label < 100).any()) for label in labels] == [name != "" for name in names]
        assert (picture[: self.TOP] < 100).any(), "a title says what rows and columns are"
