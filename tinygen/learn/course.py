"""The folder of a learner: copies of the lessons, and what has been reached in them."""

import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tinygen.command_line import UsageError
from tinygen.learn.judged import judged
from tinygen.learn.lesson import LESSONS, Lesson, imported, lessons
from tinygen.saving.checkpoint import write_whole

PROGRESS = ".progress.json"


class Course:
    """The course in a folder.

    `passed` are the numbers of the lessons that were done there, and `hinted` how many hints were
    given for each exercise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / PROGRESS
        try:
            kept = json.loads(file.read_text()) if file.exists() else {}
            self.passed, self.hinted = set(kept.get("passed", [])), dict(kept.get("hinted", {}))
        except (ValueError, AttributeError, TypeError) as error:
            raise UsageError(f"{file} is damaged: {error}; delete it, and check your lessons again") from error

    def _keep(self) -> None:
        kept = {"passed": sorted(self.passed), "hinted": self.hinted}
        write_whole(self.folder / PROGRESS, json.dumps(kept).encode())

    def file(self, lesson: Lesson) -> Path:
        """The learner's copy. Raises UsageError if it is not there."""
        path = self.folder / lesson.path.name
        if not path.exists():
            raise UsageError(f"{path} does not exist; `tinygen learn start` copies the lessons to {self.folder}")
        return path

    def start(self) -> list[Path]:
        """Copy the lessons that are not there yet. Nothing of the learner's is overwritten."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = [lesson for lesson in lessons() if not (self.folder / lesson.path.name).exists()]
        for lesson in new:
            write_whole(self.folder / lesson.path.name, lesson.path.read_bytes())
        return [self.folder / lesson.path.name for lesson in new]

    def check(self, lesson: Lesson) -> dict[str, str | None]:
        """What is wrong with each exercise; if nothing is, the lesson is passed and the solution may be seen."""
        found = judged(lesson, self.file(lesson))
        if not any(found.values()):
            self.passed.add(lesson.number)
            self._keep()
        return found

    def hint(self, lesson: Lesson) -> str:
        """The next hint for the first exercise that is not right yet."""
        found = judged(lesson, self.file(lesson))
        exercise = next((exercise for exercise in lesson.exercises if found[exercise.name]), None)
        if exercise is None:
            return f"lesson {lesson.number} is done"
        key = f"{lesson.number} {exercise.name}"
        step = min(self.hinted.get(key, 0), len(exercise.hints) - 1)
        self.hinted[key] = step + 1
        self._keep()
        return f"{exercise.name}, hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}"

    def solution(self, lesson: Lesson) -> str:
        """The solution's source. Raises UsageError before the lesson is passed."""
        if lesson.number not in self.passed:
            raise UsageError(
                f"the solution of lesson {lesson.number} can be seen after `tinygen learn check {lesson.number}` has found it right"
            )
        return "\n\n".join(inspect.getsource(exercise.solution) for exercise in lesson.exercises)

    def test(self, lesson: Lesson) -> int:
        """Run tinygen's own tests of what the lesson is about on the learner's code. Returns pytest's status."""
        tests = getattr(imported(lesson.answers), "TESTS", None)
        if not tests:
            raise UsageError(
                f"lesson {lesson.number} writes nothing that takes the place of a part of tinygen, so there are no tests of it"
            )
        environment = {**os.environ, "TINYGEN_WITH": str(self.file(lesson).resolve())}
        command = [sys.executable, "-m", "pytest", "-p", "tinygen.learn.plugin", *tests]
        return subprocess.run(command, cwd=LESSONS.parent.parent, env=environment).returncode

    def watch(self, lesson: Lesson) -> Iterator[dict[str, str | None]]:
        """Check now, and again whenever the file is saved."""
        path, seen = self.file(lesson), 0
        while True:
            if (now := path.stat().st_mtime_ns) != seen:
                seen = now
                yield self.check(lesson)
            time.sleep(0.3)
