"""Names as rows of numbers: first names of the 1990 U.S. census, or a text file of one name a line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy
from tinygen_kernels import Array, array_module

from tinygen.command_line import UsageError
from tinygen.data.dataset import digest

EMBEDDED_FILE = Path(__file__).parent.parent / "first_names" / "first-names.txt"
HELD_OUT = 10  # every tenth name is for testing


@dataclass(frozen=True)
class NameDataset:
    """Distinct names for training and testing. The numbers of characters begin at 1, and 0 is the end.

    train, test   the names
    source        where they come from, in words
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    source: str

    @property
    def alphabet(self) -> str:
        """The characters that occur, sorted."""
        return "".join(sorted(set("".join(self.train + self.test))))

    @property
    def longest(self) -> int:
        """How many characters the longest name has."""
        return max(map(len, self.train + self.test))

    def describe(self) -> str:
        """One line: the source, how many names, of how many characters."""
        counts = f"{len(self.train):,} training and {len(self.test):,} test names"
        return f"data: {self.source}, {counts} of up to {self.longest} of {len(self.alphabet)} characters"

    def digest(self) -> str:
        """SHA-256 of all names: the same for the same names, wherever they come from."""
        return digest(numpy.array(self.train), numpy.array(self.test))

    def form(self) -> dict[str, Any]:
        """What a model must know of the data to be built, as JSON types."""
        return {"alphabet": self.alphabet, "longest": self.longest}

    @classmethod
    def of_form(cls, form: Mapping[str, Any]) -> Self:
        """Data of this form that stand for those that are not there: each character, and one name of the longest."""
        alphabet = form["alphabet"]
        return cls((*alphabet, alphabet[0] * form["longest"]), (), "no data")

    def encode(self, names: tuple[str, ...]) -> numpy.ndarray:
        """int64 (N, longest + 1): each name, and zeros behind it."""
        numbers = {character: i for i, character in enumerate(self.alphabet, start=1)}
        rows = numpy.zeros((len(names), self.longest + 1), numpy.int64)
        for row, name in zip(rows, names, strict=True):
            row[: len(name)] = [numbers[character] for character in name]
        return rows

    def decode(self, rows: numpy.ndarray) -> list[str]:
        """The names of rows of numbers, each up to its first zero."""
        alphabet = self.alphabet
        return ["".join(alphabet[i - 1] for i in row[: (*row, 0).index(0)]) for row in rows.tolist()]


def load_names(path: str | Path | None = None) -> NameDataset:
    """The distinct names in a text file of one name a line; without a file, the embedded names.

    Every tenth name in sorted order is for testing. Raises UsageError if the file is a folder, is not
    UTF-8 text or has fewer than HELD_OUT names, and OSError (FileNotFoundError, ...) if it cannot be
    read.
    """
    file = EMBEDDED_FILE if path is None else Path(path)
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: {error}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder, and a text file of one name a line is needed") from error
    names = sorted({line.strip() for line in lines} - {""})
    if len(names) < HELD_OUT:
        raise UsageError(f"{file} holds {len(names)} distinct names, one a line, and at least {HELD_OUT} are needed")
    train = tuple(name for i, name in enumerate(names) if i % HELD_OUT)
    return NameDataset(train, tuple(names[::HELD_OUT]), "embedded first names" if path is None else str(file))


def context(rows: Array) -> tuple[Array, Array]:
    """The label before each label, 0 before the first; and a mask of the labels up to a name's end."""
    before = array_module(rows).zeros_like(rows)
    before[:, 1:] = rows[:, :-1]
    counts = before > 0
    counts[:, 0] = True
    return before, counts


def bigram_nats(train: numpy.ndarray, test: numpy.ndarray) -> float:
    """The mean of -log p over the characters and ends of the test rows, p being a bigram frequency.

    p is the share with which one character follows another in the training rows. One is added to
    each count, so that none is 0.
    """
    counts = numpy.ones((int(max(train.max(), test.max())) + 1,) * 2)
    before, inside = context(train)
    numpy.add.at(counts, (before[inside], train[inside]), 1)
    before, inside = context(test)
    log_p = numpy.log(counts / counts.sum(axis=1, keepdims=True))
    return float(-log_p[before[inside], test[inside]].mean())
