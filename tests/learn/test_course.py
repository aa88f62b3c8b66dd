"""The course as its learner and its teacher use it."""

import json
import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy
import pytest

import tinygen
from tinygen.command_line import UsageError
from tinygen.learn import command, quiz
from tinygen.learn.command import LearnOptions, Verb
from tinygen.learn.course import Course
from tinygen.learn.exercise import Exercise, same
from tinygen.learn.judged import grade, judged
from tinygen.learn.lesson import LESSONS, Lesson, imported, lesson, lessons, verdicts


@pytest.fixture
def course(tmp_path: Path) -> Course:
    course = Course(tmp_path / "learn")
    course.start()
    return course


def write(course: Course, text: str) -> None:
    course.file(lesson("01")).write_text(text)


RIGHT = "def slope(f, x, h):\n    return (f(x + h) - f(x - h)) / (2 * h)\ndef best_step(a, b):\n    return (b / (2 * a)) ** (1 / 3)\n"


def test_start_copies_what_is_missing_and_overwrites_nothing(course: Course) -> None:
    assert len(list(course.folder.glob("*.py"))) == len(lessons())
    write(course, "# mine")
    assert course.start() == []
    assert course.file(lesson("1")).read_text() == "# mine"


def test_start_takes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = LearnOptions("start", (str(tmp_path / "mine"),))
    options.check()
    command.main(options)
    assert len(list((tmp_path / "mine").glob("*.py"))) == len(lessons())
    assert f"open {tmp_path / 'mine' / '01_slope.py'}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["start", "list", "quiz"])
def test_what_would_be_passed_over_is_refused(verb: Verb) -> None:
    with pytest.raises(UsageError, match=f"tinygen learn {verb} takes nothing more, got a b; your folder goes behind --folder"):
        LearnOptions(verb, ("a", "b")).check()


def test_a_lesson_from_its_stub_to_its_solution(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    first = lesson("01")
    assert all(wrong is not None and "still to be written" in wrong for wrong in course.check(first).values())
    assert [course.hint(first).split(":")[0] for _ in range(4)] == [f"slope, hint {n} of 3" for n in (1, 2, 3, 3)]
    with pytest.raises(UsageError, match="the solution of lesson 01 can be seen after"):
        course.solution(first)
    write(course, RIGHT)
    command.main(LearnOptions("check", ("01",), folder=course.folder))
    assert capsys.readouterr().out == "right  slope\nright  best_step\nthe lesson is done\n"
    solution = Course(course.folder).solution(first)
    assert "def best_step(a, b):" in solution and "EXERCISES" not in solution
    command.main(LearnOptions("list", folder=course.folder))
    assert capsys.readouterr().out.startswith("done  01  A slope")
    assert Course(course.folder).passed == {"01"}


@pytest.mark.parametrize("tested", [each for each in lessons() if hasattr(imported(each.answers), "TESTS")], ids=lambda each: each.number)
def test_tinygen_s_own_tests_pass_on_a_right_answer(course: Course, tested: Lesson) -> None:
    course.file(tested).write_text(tested.answers.read_text())
    assert course.test(tested) == 0


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("def slope(f, x, h):\n    return f(x + h) - f(x - h)", "the difference is not divided"),
        ("def slope(f, x, h):\n    return f(x) / 0", r"raises ZeroDivisionError: .* \(line 2: return f\(x\) / 0\)"),
        ("def slope(f, x, h):\n    f(x)", "slope returns None: is a return missing?"),
        ("x = 1", "slope is not in the file"),
        ("import numpy\ndef slope(f, x, h):\n    return numpy.stack([])", r"raises ValueError: .* \(line 3: return numpy.stack\(\[\]\)\)"),
        ("x = 1\ndef slope(\n", r"the file cannot be run: SyntaxError: '\(' was never closed \(line 2: def slope\(\)"),
        ("x = 1\nint('one')", r"the file cannot be run: ValueError: .* \(line 2: int\('one'\)\)"),
        ("import os\nos._exit(3)", "the file cannot be run: the check ended with status 3"),
        ("print('x' * 10)\nraise SystemExit", "the file cannot be run"),
        ('import os\nos.write(1, b\'\\n\\0{"slope": null, "best_step": null}\')\nos._exit(0)', "the check ended with status 0"),
        ("import atexit, os\nx = atexit.register(os.write, 1, b'\\xff{}')", "slope is not in the file"),
        ("def slope(f, x, h):\n    return [0] * (1 << 40)", "raises MemoryError"),
    ],
)
def test_what_is_wrong_is_told(course: Course, text: str, wrong: str) -> None:
    write(course, text)
    with pytest.raises(AssertionError, match=wrong):
        raise AssertionError(judged(lesson("01"), course.file(lesson("01")))["slope"])


def test_what_is_wrong_with_the_file_is_told_once(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    write(course, "def slope(")
    command.main(LearnOptions("check", ("01",), folder=course.folder))
    said = capsys.readouterr().out
    assert said.startswith("wrong  slope, best_step: the file cannot be run: SyntaxError") and said.count("\n") == 1


def test_an_endless_loop_ends(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygen.learn.judged.SECONDS", 3)
    write(course, "while True:\n    pass")
    found = judged(lesson("01"), course.file(lesson("01")))
    assert all(wrong is not None and "is there a loop that does not end" in wrong for wrong in found.values())


def test_the_table_of_a_class(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygen.learn.judged.lessons", lambda: [lesson("01")])
    write(course, RIGHT)
    rows = grade([course.folder, tmp_path / "nobody"])
    assert rows[1:] == [(str(course.folder), "2/2", "2/2"), (str(tmp_path / "nobody"), "-", "0/2")]


def test_what_cannot_be_asked_for(course: Course) -> None:
    with pytest.raises(UsageError, match="there is no lesson 99"):
        lesson("99")
    with pytest.raises(UsageError, match="needs the number of one lesson"):
        LearnOptions("check").check()
    (course.folder / ".progress.json").write_text("[")
    with pytest.raises(UsageError, match=r"progress\.json is damaged"):
        Course(course.folder)
    with pytest.raises(UsageError, match="tinygen learn start"):
        Course(course.folder / "nowhere").file(lesson("01"))


def test_a_result_of_another_shape_or_sign_is_told() -> None:
    exercise = Exercise("f", lambda x: [x, -x], lambda rng: [(2.0,)], {})
    assert exercise.judge(lambda x: [x, x, x]) == "f(2.0) should have the shape (2,), and has (3,)"
    assert exercise.judge(lambda x: [x, 5.0]) == "f(2.0) should be [2.0, -2.0], and is [2.0, 5.0]"
    assert Exercise("f", lambda x: x, lambda rng: [(2.0,)], {}).judge(lambda x: -x) == "the result of f has the wrong sign"


def test_an_idea_that_fails_is_named_by_how_it_fails() -> None:
    lacking = {"the name is not there yet": lambda names, name: names[name] + 1, "this adds 2": lambda names, name: names.get(name, 0) + 2}
    exercise = Exercise("f", lambda names, name: names.get(name, 0) + 1, lambda rng: [({"a": 1}, "a"), ({}, "b")], lacking)
    assert exercise.judge(lambda names, name: names[name] + 1) == "the name is not there yet"
    assert exercise.judge(lambda names, name: names[name] + 2) == "this adds 2"
    assert str(exercise.judge(lambda names, name: 1 + 1 / len(names))).startswith(
        "f({}, 'b') raises ZeroDivisionError: division by zero (line"
    )


def test_infinity_is_equal_to_itself_alone() -> None:
    infinity = numpy.array([1.0, numpy.inf, -numpy.inf])
    assert same(infinity, infinity.copy(), 1e-9)
    assert not any(same(infinity, numpy.array(other), 1e-9) for other in ([2.0, *infinity[1:]], [1.0, 5.0, -numpy.inf], -infinity))


def test_an_idea_is_named_before_the_case_in_which_it_fails() -> None:
    exercise = Exercise("f", abs, lambda rng: [(-1.0,), (2.0,)], {"the root is of x, and not of its square": lambda x: math.sqrt(x + 5)})
    found = exercise.judge(lambda x: math.sqrt(x + 5 if x < 0 else -x))
    assert found == "the root is of x, and not of its square"
    assert "raises ValueError" in str(exercise.judge(lambda x: 1.0 if x < 0 else math.sqrt(-x)))


def test_of_a_large_array_the_worst_place_is_told() -> None:
    exercise = Exercise("f", lambda x: x + 1, lambda rng: [(numpy.zeros((3, 4)),)], {})
    assert exercise.judge(lambda x: x + 1 + (numpy.arange(12).reshape(3, 4) == 6)) == "f(<3x4>) should have 1 at [1, 2], and has 2"


def test_of_several_arrays_the_first_that_is_wrong_is_told() -> None:
    exercise = Exercise("f", lambda x: (x, x[0]), lambda rng: [(numpy.ones((2, 3)),)], {})
    assert exercise.judge(lambda x: (x, x)) == "result 2 of f([[1. 1. 1.] [1. 1. 1.]]) should have the shape (3,), and has (2, 3)"
    assert exercise.judge(lambda x: (-x, x)) == "result 1 of f has the wrong sign"
    nested = Exercise("f", lambda x: [[None, tinygen.ones(2)], x], lambda rng: [(2.0,)], {})
    assert nested.judge(lambda x: [[None, 2.0 * tinygen.ones(2)], x]) == "part 2 of result 1 of f(2.0) should be [1. 1.], and is [2. 2.]"
    assert nested.judge(lambda x: [[5.0, tinygen.ones(2)], x]) == "part 1 of result 1 of f(2.0) should be None, and is 5.0"
    named = Exercise("f", lambda x: {"the sum": x, "the root": x[0]}, lambda rng: [(numpy.ones(2),)], {})
    assert named.judge(lambda x: {"the sum": x, "the root": 3.0}) == "the root of f([1. 1.]) should be 1., and is 3.0"
    assert named.judge(lambda x: {"the sum": x}) is not None
    listed = Exercise("f", lambda x: x, lambda rng: [(2.0,)], {}, apply=lambda f, x: [numpy.ones(1), f(x)])
    assert listed.judge(lambda x: None) == "result 2 of f(2.0) should be 2.0, and is None: is a return missing?"
    assert nested.judge(lambda x: [[None, None], x]) == "part 2 of result 1 of f(2.0) should be [1. 1.], and is None"


def test_an_exercise_that_uses_a_wrong_one_waits_for_it() -> None:
    text = lesson("14").answers.read_text().replace("/ 2 / pixels", "/ 3 / pixels + vectors")  # in ticks
    names: dict[str, Any] = {}
    exec(text, names)
    assert verdicts("14", names)["best_block"] == "first mend ticks, which this may use"
    names["best_block"] = lambda outputs: (1, 16)
    names["ticks"] = lesson("14").exercises[1].solution
    assert str(verdicts("14", names)["best_block"]).startswith("best_block(8) should be")


class TestQuiz:
    def test_its_answers_are_computed(self) -> None:
        answers = [question.answer() for question in quiz.QUESTIONS]
        assert answers == [7.0, 8.0, 0.0, 3, 6.0, 3, 1152, "no", 3, 1, 0.5, 2.0]
        assert all(question.right(str(answer)) for question, answer in zip(quiz.QUESTIONS, answers, strict=True))
        assert not any(question.right("12345") or question.right("") for question in quiz.QUESTIONS)

    def test_before_and_after(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.chdir(tmp_path)
        for right in (1, 12):
            answers = iter([str(q.answer()) if i < right else "x" for i, q in enumerate(quiz.QUESTIONS)])
            monkeypatch.setattr("builtins.input", lambda text, answers=answers: next(answers))
            quiz.ask()
        said = capsys.readouterr().out
        assert "1 of 12 are right; look again at 2, 3" in said and "12 of 12 are right\n" in said and "it was 1" in said
        assert sum(json.loads((tmp_path / "quiz.jsonl").read_text().splitlines()[0])["right"]) == 1


def test_the_page_for_teachers_names_files_and_commands_that_exist() -> None:
    page = LESSONS / "README.md"
    text = page.read_text()
    links = re.findall(r"\]\(([\w./]+)[^)]*\)", text)
    assert links and all((page.parent / link).exists() for link in links)
    commands = re.findall(r"^tinygen learn (\w+) ?(\d\d)?", text, re.MULTILINE)
    assert {verb for verb, _ in commands} == set(get_args(Verb))
    planned = set(re.findall(r"(\d\d) \d\d ?[·|]", text))
    assert {lesson.number for lesson in lessons()} <= planned and {number for _, number in commands if number} <= planned
