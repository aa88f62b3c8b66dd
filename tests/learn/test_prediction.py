"""What is asked before it is computed."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tinygen.learn.lesson import lesson
from tinygen.learn.prediction import agrees, used

FILE = """
from tinygen.learn import predict

def unwritten():
    raise NotImplementedError

def drawn():
    print("    ..#")
    return "1 2 1"

predict("Two?", lambda: 2.0)
predict("Later?", unwritten)
predict("Drawn?", drawn)
"""


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("1,000,000", 1000000.0),
        ("1e-5", 1e-5),
        ("10^-5", 1e-5),
        (" 5/2 ", 2.5),
        ("4*4*3*16", 768),
        ("-(1 + 2)", -3),
        ("1,1,2,1", "1 1 2 1"),
        ("[1, 1, 2, 1]", "1 1 2 1"),
        ("6x2", "6 x 2"),
        ("Yes, it does", "yes"),
        ("y", "yes"),
        ("N", "no"),
    ],
)
def test_what_is_meant_is_understood(said: str, value: object) -> None:
    assert agrees(said, value, 1e-6)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("", 0.0),
        ("", "no"),
        ("3", 2.0),
        ("5?", -5),
        ("9**9**9", 1.0),
        ("open('x')", 1.0),
        ("1 1 2", "1 1 2 1"),
        ("no, yes", "yes"),
        ("n", "yes"),
        ("1/0", 1.0),
    ],
)
def test_what_is_not_meant_is_not_right(said: str, value: object) -> None:
    assert not agrees(said, value, 1e-6)


def run(file: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, *answers: str) -> None:
    left = iter(answers)
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: next(left))
    runpy.run_path(str(file), run_name="__main__")
    assert list(left) == []


def test_a_prediction_is_judged_and_asked_until_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "01_slope.py"
    file.write_text(FILE)
    later = "Later?\n    not asked yet: a function that it needs is still to be written\n"
    run(file, monkeypatch, True, "2", "9")
    told = "Two?\n    right: computed 2.0, you said 2\n" + later + "Drawn?\n    ..#\n    not this: computed 1 2 1, you said 9\n"
    assert capsys.readouterr().out == told
    run(file, monkeypatch, True, "1,2,1")
    told = "Two?\n    right before: 2.0\n" + later + "Drawn?\n    ..#\n    right: computed 1 2 1, you said 1,2,1\n"
    assert capsys.readouterr().out == told


def test_without_a_terminal_the_answer_is_printed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "01_slope.py").write_text(FILE)
    run(tmp_path / "01_slope.py", monkeypatch, False)
    assert "Two?\n    computed: 2.0\n" in capsys.readouterr().out
    assert not (tmp_path / ".predicted").exists()


SHOWN = """
from tinygen.learn import show

def unwritten():
    raise NotImplementedError

show("A half:", lambda: 1 / 2)
show("A cross:", lambda: "#.#\\n.#.")
show("Later:", unwritten)
show("Divided:", lambda: 1 / 0)
show("At last:", lambda: 3)
"""


def test_what_is_shown_waits_for_what_is_unwritten_and_no_error_ends_the_lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "01_slope.py").write_text(SHOWN)
    runpy.run_path(str(tmp_path / "01_slope.py"), run_name="__main__")
    wrong = 'raises ZeroDivisionError: division by zero (line 10: show("Divided:", lambda: 1 / 0))'
    assert capsys.readouterr().out == f"A half: 0.5\nA cross:\n#.#\n.#.\nLater: still to be written\nDivided: {wrong}\nAt last: 3\n"
    runpy.run_path(str(tmp_path / "01_slope.py"), run_name="judged")
    assert capsys.readouterr().out == ""


def test_what_needs_a_wrong_function_is_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lesson("25").path.read_text().replace("\ncheck(", "\nall_reduce = pass_on\ncheck(")
    (tmp_path / "25_two_machines.py").write_text(text)
    runpy.run_path(str(tmp_path / "25_two_machines.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "all_reduce: the sums are right, but all of x is sent" in told
    assert told.count("not asked yet: first all_reduce must be right") == 4 and told.count("computed: ") == 4


def test_what_a_question_needs_is_found_behind_functions_and_classes() -> None:
    names: dict[str, Any] = {}
    exec(
        "import functools\nclass Layer:\n    def forward(self):\n        return [inner(x) for x in range(2)]\n"
        "@functools.cache\ndef loss():\n    return (lambda: Layer())().forward()\nanswer = lambda: loss() + 1\nother = lambda: len('')",
        names,
    )
    assert {"loss", "Layer", "inner"} <= used(names["answer"], names)
    assert used(names["other"], names) == {"len"}


def test_an_input_of_one_axis_is_named_and_the_lesson_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lesson("16").path.read_text().splitlines()
    begin = lines.index("def one_input():")
    lines[begin + 2] = "    return [1, 2, 3, 4], [1, 2], 2"
    (tmp_path / "16_find_the_bug.py").write_text("\n".join(lines))
    runpy.run_path(str(tmp_path / "16_find_the_bug.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert "one_input: x and w have two axes" in told and "What your input shows: raises TypeError" in told
    assert told.splitlines()[-1] == "    computed: 4"  # of the last prediction
