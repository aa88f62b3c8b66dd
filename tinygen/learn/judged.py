"""A check in a process of its own, so that a learner's endless loop or greed ends the check and nothing else."""

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tinygen.learn.exercise import told
from tinygen.learn.lesson import Lesson, imported, lesson, lessons, module_name, verdicts

SECONDS = 30  # for one lesson
GIGABYTES = 4  # of memory
MEGABYTES = 10  # of any file that is written


def judged(lesson: Lesson, file: Path) -> dict[str, str | None]:
    """What is wrong with each exercise in a learner's file. Nothing that the file does can raise here."""
    command = [sys.executable, "-m", "tinygen.learn.judged", lesson.number, str(file.resolve())]
    mark = secrets.token_hex()  # around the verdicts, so that they are not what the file itself prints
    with TemporaryDirectory() as folder:
        try:
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS, input=mark)
        except subprocess.TimeoutExpired:
            wrong = f"the check took longer than {SECONDS} seconds: is there a loop that does not end, or is the machine busy? Try again"
            return _all(lesson, wrong)
    parts = result.stdout.split(mark)
    if result.returncode or len(parts) != 3:
        said = (result.stderr.strip().splitlines() or [f"the check ended with status {result.returncode}"])[-1]
        return _all(lesson, f"the file cannot be run: {said}")
    found: dict[str, str | None] = json.loads(parts[1])
    return found


def _all(lesson: Lesson, wrong: str) -> dict[str, str | None]:
    return {exercise.name: wrong for exercise in lesson.exercises}


def grade(folders: Sequence[Path]) -> list[tuple[str, ...]]:
    """A row for each folder: how many exercises of each lesson are right, of how many."""
    course = lessons()
    rows: list[tuple[str, ...]] = [("folder", *(each.number for each in course), "right")]
    for folder in folders:
        marks, right, count = [], 0, 0
        for each in course:
            file = folder / each.path.name
            found = judged(each, file) if file.exists() else _all(each, "not handed in")
            done = sum(wrong is None for wrong in found.values())
            marks.append(f"{done}/{len(found)}" if file.exists() else "-")
            right, count = right + done, count + len(found)
        rows.append((str(folder), *marks, f"{right}/{count}"))
    return rows


def _limit() -> None:
    """Limit this process's memory, time and files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    for what, most in ((resource.RLIMIT_AS, GIGABYTES << 30), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, MEGABYTES << 20)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(number: str, file: str) -> None:
    """Judge a file in this process. The verdicts are printed between two marks, which are read before the file runs."""
    _limit()
    mark = sys.stdin.read()
    try:
        found = verdicts(number, vars(imported(Path(file))))
    except Exception as error:
        found = _all(lesson(number), f"the file cannot be run: {told(error, module_name(Path(file)))}")
    print(mark + json.dumps(found) + mark)


if __name__ == "__main__":
    main(*sys.argv[1:])
