"""The failures: each shows in the number that tells it, and the line that cures it does so."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from browser import CHROMIUM, browser
from repository import ROOT

from tinygen.backend import random_state
from tinygen.command_line import UsageError
from tinygen.commands.gallery import GalleryOptions, main
from tinygen.gallery import FAILURES
from tinygen.gallery.failure import Failure, Outcome
from tinygen.gallery.page import page

STEPS = {"collapse": 100, "winner": 100, "detach": 120, "posterior": 40, "checkerboard": 60, "learning_rate": 60}
Pairs = dict[str, tuple[Outcome, Outcome]]


@pytest.fixture(scope="module")
def outcomes() -> Pairs:
    return {name: (failure.run(True, STEPS[name]), failure.run(False, STEPS[name])) for name, failure in FAILURES.items()}


@pytest.mark.parametrize("name", FAILURES)
def test_one_line_makes_the_training_fail_and_one_cures_it(name: str, outcomes: Pairs) -> None:
    failure, (sick, cured) = FAILURES[name], outcomes[name]
    assert not failure.healthy(sick) and failure.healthy(cured), f"{failure.measure}: {sick.measure}, cured {cured.measure}"
    assert not failure.healthy(replace(sick, measure=numpy.nan))


@pytest.mark.parametrize("name", FAILURES)
def test_the_lines_that_are_shown_are_those_that_ran(name: str) -> None:
    sick, cured = FAILURES[name].lines()
    source = (ROOT / sick.file).read_text().splitlines()[sick.number - 1].strip()
    assert (sick.file, sick.number) == (cured.file, cured.number)
    assert source.startswith(f"{sick.text} if sick else ") and cured.text.endswith(source.partition(" if sick else ")[2])


def test_the_two_readings_of_a_line() -> None:
    assert [line.text for line in FAILURES["collapse"].lines()] == ["steps_of_g = 10", "steps_of_g = 1"]
    assert [line.text for line in FAILURES["detach"].lines()] == ["seen = fake", "seen = fake.detach()"]


def test_a_training_is_the_same_every_time_and_leaves_the_random_numbers_alone(outcomes: Pairs) -> None:
    before = random_state()
    again = FAILURES["posterior"].run(True, STEPS["posterior"])
    numpy.testing.assert_array_equal(again.samples, outcomes["posterior"][0].samples)
    numpy.testing.assert_array_equal(random_state(), before)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: on Debian, apt-get install chromium")
def test_the_page_in_a_browser(outcomes: Pairs, tmp_path: Path) -> None:
    file = tmp_path / "gallery.html"
    file.write_text(page(FAILURES, outcomes))
    with browser(tmp_path / "profile") as chromium:
        chromium.open(file, width=500)
        assert chromium.run("document.querySelectorAll('section').length") == len(FAILURES)
        assert chromium.run("[...document.querySelectorAll('.verdict')].map((v) => v.classList[1])") == ["wrong", "well"] * len(FAILURES)
        assert chromium.run("[...document.images].every((image) => image.naturalWidth > 0)")
        assert chromium.run("document.documentElement.scrollWidth <= innerWidth")
        assert chromium.errors == []
        assert [address for address in chromium.requests if not address.startswith("data:")] == [file.as_uri()]


def test_a_chart_s_points_are_its_numbers() -> None:
    """On a logarithmic scale, powers of ten lie equally far apart; on a linear one, equal steps do. NaN is left out."""
    images = numpy.zeros((8, 2, 2, 1))
    growing = Outcome(1.0, {"growing": {0: 1.0, 1: 10.0, 2: 100.0}}, images)
    steady = Outcome(1.0, {"steady": {0: 1.0, 1: 2.0, 2: numpy.nan, 3: 3.0}}, images)
    failure = Failure(FAILURES["collapse"].train, 1, "a number")
    text = page({"one": failure, "two": failure}, {"one": (growing, growing), "two": (steady, steady)})
    assert text.count('d="M52.0,180.0L241.0,95.0L430.0,10.0"') == 2
    assert text.count('d="M52.0,180.0L178.0,95.0L430.0,10.0"') == 2


def test_the_command_writes_the_page_and_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FAILURES, "posterior", replace(FAILURES["posterior"], steps=2))
    main(GalleryOptions(("posterior",), tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gallery.html", "posterior-cured.png", "posterior-sick.png"]
    assert "of_pixels.sum(axis=(1, 2, 3)).mean()" in (tmp_path / "out" / "gallery.html").read_text()
    assert "Posterior collapse: " in capsys.readouterr().out


def test_a_failure_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no failure colapse; choose from collapse, winner"):
        GalleryOptions(("colapse",)).check()
