"""A failure: a training that one line makes go wrong, and another in its place makes go well."""

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy

from tinygen.backend import keeping_random_state, manual_seed


@dataclass(frozen=True)
class Outcome:
    """What a training leaves.

    measure   the number that tells the failure
    curves    other numbers, by name and step
    samples   images (N, H, W, 1) from 0 to 1
    """

    measure: float
    curves: Mapping[str, Mapping[int, float]]
    samples: numpy.ndarray


class Line(NamedTuple):
    """A line of source as it reads in one of the two trainings, and where it is."""

    text: str
    file: str
    number: int


@dataclass(frozen=True)
class Failure:
    """train(sick, steps) is both trainings, which differ by one `... if sick else ...`.

    The docstring of its module is the text about it, whose first sentence is the title. A training of
    `steps` steps is healthy if its measure, which is described in words, is from `low` to `high`.
    """

    train: Callable[[bool, int], Outcome]
    steps: int
    measure: str
    low: float = -math.inf
    high: float = math.inf

    def run(self, sick: bool, steps: int | None = None) -> Outcome:
        """The training, with the same random numbers every time."""
        with keeping_random_state():
            manual_seed(0)
            return self.train(sick, steps or self.steps)

    def healthy(self, outcome: Outcome) -> bool:
        """Whether the measure is where it should be; one that is not a number never is."""
        return self.low <= outcome.measure <= self.high

    @property
    def text(self) -> tuple[str, list[str]]:
        """The title, and the paragraphs below it."""
        title, *paragraphs = (inspect.getdoc(inspect.getmodule(self.train)) or "").split("\n\n")
        return title.removesuffix("."), [" ".join(paragraph.split()) for paragraph in paragraphs]

    @property
    def source(self) -> str:
        """The source of both trainings."""
        return inspect.getsource(self.train)

    def lines(self) -> tuple[Line, Line]:
        """The line that makes the training fail, and the line that cures it: one statement, read in two ways."""
        source, first = inspect.getsourcelines(self.train)
        code = textwrap.dedent("".join(source))
        [(statement, choice)] = [
            (statement, part)
            for statement in ast.walk(ast.parse(code))
            if isinstance(statement, ast.Assign | ast.Return)
            for part in ast.walk(statement)
            if isinstance(part, ast.IfExp) and ast.unparse(part.test) == "sick"
        ]
        whole, file = _segment(code, statement), f"{self.train.__module__.replace('.', '/')}.py"
        sick, cured = (whole.replace(_segment(code, choice), _segment(code, part)) for part in (choice.body, choice.orelse))
        return Line(sick, file, first + statement.lineno - 1), Line(cured, file, first + statement.lineno - 1)


def _segment(code: str, node: ast.AST) -> str:
    return ast.get_source_segment(code, node) or ""
