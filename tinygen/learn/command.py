"""The course: write parts of tinygen yourself, and train with what you wrote.

`tinygen learn start`: copy the lessons to the folder learn/, or another one; begin with learn/01_slope.py

`tinygen learn list`: the lessons, and which of them are done

`tinygen learn check 07`: what is right in lesson 07, and what is wrong, as an idea

`tinygen learn hint 07`: the next of three hints

`tinygen learn watch 07`: check whenever the file is saved

`tinygen learn solution 07`: tinygen's solution, once yours is right

`tinygen learn test 07`: run tinygen's own tests on what you wrote

`tinygen learn quiz`: twelve questions, before the course and after it

`tinygen learn grade A B`: for teachers: a table of the folders that were handed in
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from tinygen.command_line import UsageError
from tinygen.learn import quiz
from tinygen.learn.course import Course
from tinygen.learn.judged import grade
from tinygen.learn.lesson import lesson, lessons

Verb = Literal["start", "list", "check", "hint", "watch", "solution", "test", "quiz", "grade"]
OF_A_LESSON = ("check", "hint", "watch", "solution", "test")


@dataclass
class LearnOptions:
    verb: Annotated[Verb, tyro.conf.Positional]
    """what to do"""
    what: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """the number of the lesson; for start, the folder if it is not learn; for grade, folders"""
    folder: Path = Path("learn")
    """your folder"""

    def check(self) -> None:
        """Raise UsageError where the lesson or the folders are missing, or nothing may follow."""
        if self.verb in OF_A_LESSON and len(self.what) != 1:
            raise UsageError(f"tinygen learn {self.verb} needs the number of one lesson, as in `tinygen learn {self.verb} 07`")
        if self.verb == "start" and len(self.what) == 1:
            self.folder, self.what = Path(*self.what), ()
        if self.verb in ("start", "list", "quiz") and self.what:
            raise UsageError(f"tinygen learn {self.verb} takes nothing more, got {' '.join(self.what)}; your folder goes behind --folder")
        if self.verb == "grade" and not self.what:
            raise UsageError("tinygen learn grade needs the folders to grade")


def main(options: LearnOptions) -> None:
    course = Course(options.folder)
    match options.verb, [*options.what]:
        case "start", _:
            new, first = course.start(), course.file(lessons()[0])
            print(f"{len(new)} new lessons in {options.folder}; open {first}, or another one of `tinygen learn list`")
        case "list", _:
            for each in lessons():
                print(f"{'done' if each.number in course.passed else '    '}  {each.number}  {each.title}")
        case "check", [number]:
            _tell(course.check(lesson(number)))
        case "watch", [number]:
            for found in course.watch(lesson(number)):
                _tell(found)
        case "hint", [number]:
            print(course.hint(lesson(number)))
        case "solution", [number]:
            print(course.solution(lesson(number)))
        case "test", [number]:
            raise SystemExit(course.test(lesson(number)))
        case "quiz", _:
            quiz.ask()
        case "grade", folders:
            rows = grade([Path(folder) for folder in folders])
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows:
                print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _tell(found: dict[str, str | None]) -> None:
    for wrong in dict.fromkeys(found.values()):  # what is wrong with several is told once
        names = [name for name in found if found[name] == wrong]
        print(f"wrong  {', '.join(names)}: {wrong}" if wrong else "\n".join(f"right  {name}" for name in names))
    if not any(found.values()):
        print("the lesson is done")
