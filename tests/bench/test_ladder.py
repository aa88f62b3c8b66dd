"""The counts of the ladder, and what it prints."""

from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from tinygen_kernels.cpu.vector import VECTOR_BYTES

from tinygen.bench import ladder
from tinygen.bench.counted import Traffic, counted
from tinygen.bench.layers import Layer
from tinygen.bench.roofline import Dot, svg

SMALL = Layer(2, (8, 8), 4, 16, 3, 1, 1)


class TestCounted:
    def test_elements_count_when_they_are_read_and_written_and_views_do_not(self) -> None:
        traffic = Traffic()
        x, y = counted(numpy.arange(6.0).reshape(2, 3), traffic), counted(numpy.zeros(3), traffic)
        row = x[1]
        assert (traffic.reads, traffic.writes) == (0, 0)
        y[0] += row[2]
        assert (traffic.reads, traffic.writes) == (2, 1) and y[0] == 5
        y[:] = row
        assert (traffic.reads, traffic.writes) == (6, 4)  # with the one read by the line before

    def test_a_numpy_function_reads_its_operands_and_writes_its_result(self) -> None:
        traffic = Traffic()
        x, w = counted(numpy.ones((4, 3)), traffic), counted(numpy.ones((3, 5)), traffic)
        y = x @ w
        assert (y == 3.0).all()
        assert traffic.writes >= 20
        before = traffic.reads
        y += 1.0
        assert traffic.reads == before + 20 and (numpy.asarray(y) == 4.0).all()


@pytest.mark.parametrize(
    ("rung", "expected"),
    [
        ("loops", 4),  # y, x and w are read, and y is written
        ("compiled", 4),
        ("innermost", 3 + 1 / 16),  # a number of x serves 16 products
        ("shared", 2 + 1 / 4 + 1 / 16),  # a weight serves four pixels
        ("block", (6 + 2 * VECTOR_BYTES / 4) / (6 * 2 * VECTOR_BYTES / 4)),
    ],
)
def test_the_traffic_of_a_product(rung: str, expected: float) -> None:
    assert ladder.traffic_of(rung, SMALL) == pytest.approx(expected, rel=0.01)


def test_the_products_of_blas_take_in_less_the_fewer_they_are() -> None:
    assert ladder.traffic_of("im2col", SMALL) < ladder.traffic_of("taps", SMALL) < 1


def test_a_rung_is_checked_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ladder.measure("loops", SMALL).gflops > 0
    monkeypatch.setattr("tinygen_kernels.ladder.loops.convolve", lambda x, w, stride, dilation, y: None)
    with pytest.raises(ArithmeticError, match="loops does not compute the convolution of"):
        ladder.measure("loops", SMALL)


def test_the_report_compares_each_rung_with_the_one_before() -> None:
    climbed = [ladder.Rung("loops", 0.002, 4.0), ladder.Rung("compiled", 1.0, 4.0, guess=50.0)]
    assert ladder.report(climbed, 100.0)[1:] == [
        ("loops", "0.002", "0.00%", "", "", "4"),
        ("compiled", "1", "1.00%", "500", "50", "4"),
    ]


def test_dots_may_have_labels() -> None:
    assert ">tile</text>" in svg([Dot("tile", "forward", 2.0, 70.0)], 100.0, 10.0, "The ladder", labels=True)


def test_only_a_reader_who_sees_the_question_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rungs: Any = SimpleNamespace(__doc__="    low   one idea\n    high  another\n")
    answers = iter(["3", EOFError()])

    def answer(question: str) -> str:
        if isinstance(given := next(answers), EOFError):
            raise given
        return given

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    guesses = []
    for seen in (False, True, True):
        monkeypatch.setattr("sys.stdout.isatty", lambda seen=seen: seen, raising=False)
        guesses.append([rung.guess for rung in ladder.climb(rungs, lambda name: ladder.Rung(name, 1.0))])
    assert guesses == [[None, None], [None, 3.0], [None, None]]
