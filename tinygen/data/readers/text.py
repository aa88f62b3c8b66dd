"""A text as bytes: two plays by Shakespeare, or any file."""

import bz2
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy

from tinygen.command_line import UsageError
from tinygen.data.dataset import digest

EMBEDDED_FILE = Path(__file__).parent.parent / "plays" / "plays.txt"
HELD_OUT = 10  # the last tenth is for testing


@dataclass(frozen=True, eq=False)
class TextDataset:
    """A text for training, and its end for testing.

    train, test   uint8 (length,), the bytes
    source        where they come from, in words
    """

    train: numpy.ndarray
    test: numpy.ndarray
    source: str

    def describe(self) -> str:
        """One line: the source, and how many bytes."""
        return f"data: {self.source}, {len(self.train):,} training and {len(self.test):,} test bytes"

    def digest(self) -> str:
        """SHA-256 of all bytes: the same for the same text, wherever it comes from."""
        return digest(self.train, self.test)

    def form(self) -> dict[str, Any]:
        """What a model must know of the data to be built, as JSON types: the number of values of a byte."""
        return {"bytes": 256}

    @classmethod
    def of_form(cls, form: Mapping[str, Any]) -> Self:
        """Data of this form that stand for those that are not there: no bytes."""
        nothing = numpy.zeros(0, numpy.uint8)
        return cls(nothing, nothing, "no data")

    def windows(self, length: int, every: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The training bytes in windows (n, length) that begin `every` bytes apart, and the test bytes in
        windows that do not overlap.

        The windows are views. Raises UsageError if the text is too short for one of each.
        """
        if len(self.test) < length:
            needed = f"of a text of at least {HELD_OUT * length:,} bytes"
            raise UsageError(f"{self.source} has {len(self.test):,} bytes for testing, and {length:,} are needed, {needed}")
        sliding = numpy.lib.stride_tricks.sliding_window_view
        return sliding(self.train, length)[::every], sliding(self.test, length)[::length]

    @staticmethod
    def decode(rows: numpy.ndarray) -> list[str]:
        """The texts of rows of bytes, as UTF-8. A question mark stands for what is not text."""
        texts = (bytes(row.tolist()).decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?") for row in rows)
        return ["".join(c if c.isprintable() or c in "\n\t" else "?" for c in each) for each in texts]

    def compressed_bits(self) -> float:
        """Bits per test byte that bzip2 needs when it compresses the test bytes behind the training bytes."""
        train, whole = (len(bz2.compress(part.tobytes())) for part in (self.train, numpy.concatenate([self.train, self.test])))
        return 8 * (whole - train) / len(self.test)


def load_text(path: str | Path | None = None) -> TextDataset:
    """The bytes of a file, whatever they stand for; without a file, the embedded plays.

    The last tenth is for testing. Raises UsageError if the file is a folder, and OSError
    (FileNotFoundError, ...) if it cannot be read.
    """
    file = EMBEDDED_FILE if path is None else Path(path)
    try:
        text = numpy.fromfile(file, numpy.uint8)
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder, and a file is needed") from error
    train, test = numpy.split(text, [len(text) - len(text) // HELD_OUT])
    return TextDataset(train, test, "embedded plays by Shakespeare" if path is None else str(file))
