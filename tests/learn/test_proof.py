"""The proof of the course: an empty stub fails everywhere, right solutions pass, and wrong ideas are seen and named."""

import ast
import re
from pathlib import Path

import pytest

from tinygen.learn.course import Course
from tinygen.learn.exercise import Exercise
from tinygen.learn.lesson import Lesson, imported, lessons

LESSONS = lessons()
EXERCISES = [pytest.param(lesson, exercise, id=f"{lesson.number} {exercise.name}") for lesson in LESSONS for exercise in lesson.exercises]
every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
every_exercise = pytest.mark.parametrize(("lesson", "exercise"), EXERCISES)


@every_lesson
def test_the_lesson_is_short_and_begins_with_its_number_and_title(lesson: Lesson) -> None:
    lines = lesson.path.read_text().splitlines()
    assert len(lines) <= 150 and lines[0] == "# %% [markdown]" and lines[1] == f"# # {lesson.number} {lesson.title}"
    assert f'check("{lesson.number}", globals())' in lines


@every_lesson
def test_its_solution_is_shown_and_no_idea_with_it(lesson: Lesson, tmp_path: Path) -> None:
    course = Course(tmp_path)
    course.passed.add(lesson.number)
    shown = ast.parse(course.solution(lesson)).body
    assert [part.name for part in shown] == [exercise.name for exercise in lesson.exercises]


@every_exercise
def test_the_empty_stub_fails(lesson: Lesson, exercise: Exercise) -> None:
    file = imported(lesson.path)
    stub = getattr(file, exercise.name)
    assert exercise.judge(stub) == f"{exercise.name} is still to be written"
    assert exercise.judge(lambda *case: None) is not None
    modules = re.findall(r"\b(np|numpy|math|tg|nn)\.\w", " ".join(exercise.hints))
    assert all(hasattr(file, module) for module in modules), "a hint names a module that the file does not import"


@every_exercise
def test_right_solutions_pass(lesson: Lesson, exercise: Exercise) -> None:
    assert len(exercise.right) >= 2 and len(exercise.hints) == 3
    assert [exercise.judge(solution) for solution in (exercise.solution, *exercise.right)] == [None] * (1 + len(exercise.right))


@every_exercise
def test_every_wrong_idea_is_seen_and_named(lesson: Lesson, exercise: Exercise) -> None:
    assert len(exercise.ideas) >= 6
    assert [exercise.judge(idea) for idea in exercise.ideas.values()] == list(exercise.ideas)
