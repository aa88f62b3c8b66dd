"""How long a number takes from one core to another is told behind what was timed by several threads."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import pytest

from tinygen.bench import peak, protocol
from tinygen.bench.protocol import Protocol, between_cores

TWO = Protocol(2, wall_clock=True)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine with one."""
    monkeypatch.setattr(protocol, "cores", lambda: 2)


def test_a_line_behind_the_block_tells_both_times(capsys: pytest.CaptureFixture[str]) -> None:
    with between_cores(TWO):
        print("timings")
    assert re.match(
        r"timings\n\nfrom one core to another, a number took \d+ ns before these timings and \d+ ns after them\n", capsys.readouterr().out
    )


@pytest.mark.parametrize("alone", [Protocol(1, wall_clock=False), Protocol(2, wall_clock=True, device="cuda")])
def test_nothing_is_told_where_no_two_cores_work(alone: Protocol, capsys: pytest.CaptureFixture[str]) -> None:
    with between_cores(alone):
        pass
    assert capsys.readouterr().out == ""


def test_nothing_is_told_by_two_threads_on_one_core(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """There, each turn would wait until the system takes the core from the thread that waits."""
    monkeypatch.setattr(protocol, "cores", lambda: 1)
    with between_cores(TWO):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "advice"), [((5e-8, 6e-8), False), ((5e-8, 2e-7), True), ((2e-7, 5e-8), True)])
def test_cores_that_were_far_apart_are_explained(
    seconds: tuple[float, float], advice: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    following = iter(seconds)

    @contextmanager
    def process(_: Protocol) -> Iterator[Any]:
        yield lambda _: next(following)

    monkeypatch.setattr(protocol, "process", process)
    with between_cores(TWO):
        pass
    told = capsys.readouterr().out
    assert f"{seconds[0] * 1e9:.0f} ns before these timings and {seconds[1] * 1e9:.0f} ns after" in told
    assert ("compare only what took turns" in told) == advice


def test_a_thread_waits_for_its_turn() -> None:
    board = numpy.zeros(1, numpy.int64)
    second = threading.Thread(target=peak._take_turns, args=(board, 1, 4), daemon=True)
    second.start()
    second.join(0.05)
    assert second.is_alive() and board[0] == 0
    peak._take_turns(board, 0, 4)
    second.join(60)
    assert not second.is_alive() and board[0] == 4
    assert peak.handover() > 0
