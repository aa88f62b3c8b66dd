"""A lesson: its file, its exercises, and `check`, which a learner's file calls."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tinygen
from tinygen.command_line import UsageError
from tinygen.learn.exercise import Exercise
from tinygen.learn.prediction import WRONG

LESSONS = Path(tinygen.__file__).parent.parent / "examples" / "learn"  # in the repository; they are not installed


@dataclass(frozen=True)
class Lesson:
    """A lesson by its file in `examples/learn`. `number` has two digits; the title is the file's first heading."""

    path: Path

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def title(self) -> str:
        heading = next(line for line in self.path.read_text(encoding="utf-8").splitlines() if line.startswith("# # "))
        return heading[4:].partition(" ")[2]

    @property
    def answers(self) -> Path:
        return self.path.parent / "answers" / self.path.name

    @property
    def exercises(self) -> list[Exercise]:
        return imported(self.answers).EXERCISES


def lessons() -> list[Lesson]:
    """All lessons in their order. Raises UsageError if they are not there: they are in the repository only."""
    if not LESSONS.is_dir():
        raise UsageError(f"the lessons are in tinygen's repository, and not at {LESSONS}; clone it and install tinygen from there")
    return [Lesson(path) for path in sorted(LESSONS.glob("[0-9][0-9]_*.py"))]


def lesson(number: str) -> Lesson:
    """The lesson of a number, such as 7 or 07. Raises UsageError if there is none."""
    found = [lesson for lesson in lessons() if lesson.number == number.zfill(2)]
    if not found:
        raise UsageError(f"there is no lesson {number}; they are 01 to {lessons()[-1].number}")
    return found[0]


def module_name(path: Path) -> str:
    """The name of a file's module. The folder is in it, since answers have the names of their lessons."""
    return f"{path.parent.name}_{path.stem}"


def imported(path: Path) -> ModuleType:
    """A file as a module, executed anew."""
    spec = importlib.util.spec_from_file_location(module_name(path), path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def verdicts(number: str, names: Mapping[str, Any]) -> dict[str, str | None]:
    """What is wrong with each exercise of a lesson, where `names` holds what the learner wrote; None for what is right.

    What is wrong with an exercise waits until those that it uses are right: the mistake may be theirs.
    """
    found: dict[str, str | None] = {}
    for exercise in lesson(number).exercises:
        wrong = exercise.judge(names.get(exercise.name))
        first = next(filter(found.get, exercise.uses), None)
        found[exercise.name] = f"first mend {first}, which this may use" if first and wrong else wrong
    return found


def check(number: str, names: dict[str, Any]) -> None:
    """Print what is right in a lesson and what is wrong: `check("07", globals())`. What is wrong is kept in `names` for `predict`."""
    if names.get("__name__") == "__main__":  # and not where the file is judged
        found = verdicts(number, names)
        names[WRONG] = {name: names.get(name) for name, wrong in found.items() if wrong}
        for name, wrong in found.items():
            print(f"{name}: {wrong or 'right'}")
