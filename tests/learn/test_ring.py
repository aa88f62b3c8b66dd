"""The machines of the lesson on two of them: what is simulated, and what is told of a talk that does not end."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from repository import ROOT

from tinygen.learn.lesson import lesson
from tinygen.learn.ring import Broken, simulated


def neighbours(x: Any, rank: int, size: int) -> Iterator[Any]:
    return [(yield x), (yield 10 * x)]


def test_each_receives_what_the_one_before_has_sent() -> None:
    results, sent = simulated(neighbours, [numpy.arange(3) + i for i in range(3)])
    assert sent == [6, 6, 6]
    numpy.testing.assert_array_equal(results, [[numpy.arange(3) + i, 10 * (numpy.arange(3) + i)] for i in (2, 0, 1)])


def test_what_is_sent_does_not_change_where_the_sender_changes_it() -> None:
    def changing(x: Any, rank: int, size: int) -> Iterator[Any]:
        received = yield x
        x += 5
        return received

    assert simulated(changing, [numpy.ones(1), numpy.zeros(1)])[0] == [0, 1]


def test_talks_that_end_in_different_turns_are_told() -> None:
    def early(x: Any, rank: int, size: int) -> Iterator[Any]:
        for _ in range(rank):
            yield x

    with pytest.raises(Broken, match="of 3 machines, 1 goes on to send, and 0 has ended already"):
        simulated(early, [numpy.ones(1)] * 3)
    with pytest.raises(Broken, match="it has no yield"):
        simulated(lambda x, rank, size: x, [numpy.ones(1)])


@pytest.mark.parametrize(("message", "told"), [([1.0], "a list"), (None, "None"), (1.0, "a float")])
def test_what_is_sent_must_be_an_array(message: Any, told: str) -> None:
    def talk(x: Any, rank: int, size: int) -> Iterator[Any]:
        yield x if rank == 0 else message

    with pytest.raises(Broken, match=f"machine 1 sends {told}, and not an array"):
        simulated(talk, [numpy.ones(1)] * 2)


def test_what_is_wrong_with_the_sums_is_told() -> None:
    exercise = lesson("25").exercises[-1]

    def changed(change: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def program(x: Any, rank: int, size: int) -> Iterator[Any]:
            return change((yield from exercise.solution(x, rank, size)), rank, size)

        return program

    def longer(x: Any, rank: int, size: int) -> Iterator[Any]:
        for _ in range(3):
            yield x[: len(x) // size]
        return (yield from exercise.solution(x, rank, size))

    backwards = str(exercise.judge(changed(lambda y, rank, size: numpy.concatenate(numpy.split(y, size)[::-1]))))
    assert backwards.startswith("the sums are right, but in another order")
    assert str(exercise.judge(longer)).endswith("the sums are right, but machine 0 sends 9 pieces, and should send 6")
    one = str(exercise.judge(changed(lambda y, rank, size: y - 10 * (rank == 2))))  # machine 1's numbers are missing
    assert one.startswith("machine 2's result of all_reduce([1. 1. 1. 1.], [10.")
    assert one.endswith("should be [1111. 1111. 1111. 1111.], and is [1101. 1101. 1101. 1101.]")


def printed(file: Path, text: str) -> str:
    """What a script prints, whose processes read it anew."""
    file.write_text(text)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    result = subprocess.run([sys.executable, file], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=60)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return result.stdout


SCRIPT = """
import time

import numpy
from tinygen.learn.ring import in_processes

def talk(x):
    return (yield x)

def large(rank, size, run):
    return run(talk(numpy.full(1 << 18, rank))).max()  # more than a pipe holds: nobody receives if all send first

def failing(rank, size, run):
    if rank:
        raise KeyError("of process 1")
    run(talk(numpy.ones(1)))

def failing_early(rank, size, run):
    if rank == 0:
        time.sleep(1)  # nobody is there to receive
    failing(rank, size, run)

if __name__ == "__main__":
    print(*in_processes(large, 3))
    for work in (failing, failing_early):
        try:
            in_processes(work, 2)
        except KeyError as error:
            print(error)
"""


def test_processes_send_through_pipes_and_what_one_raises_is_raised(tmp_path: Path) -> None:
    assert printed(tmp_path / "talks.py", SCRIPT) == "2 0 1\n" + 2 * "'of process 1'\n"


def test_the_lesson_from_its_stub_to_two_processes(tmp_path: Path) -> None:
    solved = "from tinygen.learn.lesson import lesson\nglobals().update({e.name: e.solution for e in lesson('25').exercises})\n"
    stub = lesson("25").path.read_text()
    assert printed(tmp_path / "25.py", stub).count("not asked yet") == 4
    told = printed(tmp_path / "25.py", stub.replace("\ncheck(", f"\n{solved}check("))
    assert re.findall("computed: (.*)", told)[:-1] == ["2.0", "0.0", "1.0", "3000", "1500", "1980", "yes"]
    same, close = map(float, re.findall("largest difference: (.*)", told))
    assert same == 0 and close < 1e-12  # how sums are rounded is the machine's
