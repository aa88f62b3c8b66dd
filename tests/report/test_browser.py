"""The report in a browser: what moves, moves, and nothing is asked of a network."""

from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from browser import CHROMIUM, Browser, browser
from folders import DETAILS, evaluation, run_folder

from tinygen.report.html import write_report
from tinygen.report.pictures import grid, save_png
from tinygen.saving.run_folder import PLANE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: on Debian, apt-get install chromium")

LOG = [{"D": 1.0 + epoch, "G": 10.0 - epoch, "diversity": 0.9} for epoch in range(9)]
PICTURE = "document.querySelector('#film img').src"
LEGEND = "document.querySelector('.legend').textContent"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_folder(tmp_path_factory.mktemp("runs") / "run", LOG, judged=evaluation(), details=DETAILS)
    save_png(folder / "samples" / "latent.png", grid(numpy.random.default_rng(0).random((PLANE**2, 4, 4, 1)), PLANE, gap=0, scale=1))
    write_report([folder], folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def page(chromium: Browser, report: Path) -> Iterator[Browser]:
    """The report, opened anew. Whatever a test does, nothing is said on the console, and nothing but the file is asked for."""
    chromium.open(report)
    yield chromium
    chromium.settle()
    assert chromium.errors == []
    assert [address for address in chromium.requests if not address.startswith("data:")] == [report.resolve().as_uri()]


def at(page: Browser, selector: str, across: float, down: float = 0.5) -> tuple[float, float]:
    """The point of an element at these shares of its width and height."""
    page.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    page.settle()
    script = f"(({{x, y, width, height}}) => [x, y, width, height])(document.querySelector('{selector}').getBoundingClientRect())"
    x, y, width, height = page.run(script)
    return x + across * width, y + down * height


def epoch_of_chart(page: Browser, epoch: int) -> tuple[float, float]:
    """The point of the first chart where an epoch is drawn."""
    x, y = at(page, ".chart > svg", 0)
    width = page.run("document.querySelector('.chart > svg').clientWidth")
    return x + 46 + (epoch - 1) / (len(LOG) - 1) * (width - 56), y


def click(page: Browser, point: tuple[float, float]) -> None:
    page.mouse("mouseMoved", *point)
    page.mouse("mousePressed", *point, 1)
    page.mouse("mouseReleased", *point, 1)
    page.settle()


def test_the_slider_changes_the_picture(page: Browser) -> None:
    frames = page.run("data.runs[0].frames")
    assert len(set(frames.values())) == len(LOG)
    assert page.run(PICTURE) == frames["9"]
    click(page, at(page, "#epoch", 0.01))
    assert page.run(PICTURE) == frames["1"] and page.run("document.querySelector('#shown').textContent") == "epoch 1 of 9"
    page.run("document.querySelector('#play').click()")
    page.run("new Promise((done) => listeners.push(() => state.epoch === data.epochs && done(0)))")
    page.settle()
    assert page.run(PICTURE) == frames["9"]


def test_a_curve_answers_the_pointer(page: Browser) -> None:
    assert page.run(LEGEND) == "D 9G 2"
    page.mouse("mouseMoved", *epoch_of_chart(page, 4))
    page.settle()
    assert page.run(LEGEND) == "D 4G 7"
    page.mouse("mouseMoved", 1, 1)
    page.settle()
    assert page.run(LEGEND) == "D 9G 2"
    click(page, epoch_of_chart(page, 3))
    assert page.run(PICTURE) == page.run("data.runs[0].frames[3]"), "a click shows the samples of that epoch"


def test_dragging_zooms_and_a_button_shows_the_whole_run(page: Browser) -> None:
    hidden = "document.querySelector('#whole').hidden"
    assert page.run(hidden) is True
    page.mouse("mouseMoved", *epoch_of_chart(page, 3))
    page.mouse("mousePressed", *epoch_of_chart(page, 3), 1)
    page.mouse("mouseMoved", *epoch_of_chart(page, 6), 1)
    page.settle()
    assert page.run("document.querySelectorAll('.chosen').length") >= 1
    page.mouse("mouseReleased", *epoch_of_chart(page, 6), 1)
    page.settle()
    assert page.run("[state.from, state.to]") == [3, 6] and page.run(hidden) is False
    assert page.run("document.querySelector('.chart > svg path').getAttribute('d').match(/[ML]/g).length") == 4
    click(page, at(page, "#whole", 0.5))
    assert page.run("document.querySelector('.chart > svg path').getAttribute('d').match(/[ML]/g).length") == len(LOG)


def test_smoothing_averages_and_keeps_the_curve_itself_in_sight(page: Browser) -> None:
    click(page, at(page, "#smoothing", 0.5))
    beta = page.run("state.smoothing")
    assert 0.3 < beta < 0.7
    mean = sum((1 - beta) * beta ** (8 - i) * (1 + i) for i in range(9)) / (1 - beta**9)
    assert page.run(LEGEND).startswith(f"D {mean:.4g}".rstrip("0"))
    assert page.run("document.querySelectorAll('.chart:first-of-type path.raw').length") == 2


def test_one_moves_through_the_latent_space(page: Browser) -> None:
    shown = "[document.querySelector('.view').ariaLabel, document.querySelector('.view').style.backgroundPosition]"
    page.mouse("mouseMoved", *at(page, ".map", 0.5 / PLANE, 0.5 / PLANE))
    assert page.run(shown) == ["image in column 1, row 1", "0% 0%"]
    page.mouse("mouseMoved", *at(page, ".map", 19.5 / PLANE, 2.5 / PLANE))
    assert page.run(shown) == ["image in column 20, row 3", f"100% {200 / 19:.4f}%"]
    click(page, at(page, ".map", 19.5 / PLANE, 2.5 / PLANE))
    page.run("document.querySelector('.map').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown")
    assert page.run(shown)[0] == "image in column 20, row 4"


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_follows_its_colours(page: Browser, report: Path, dark: bool) -> None:
    page.open(report, width=390, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= 390
    red = int(page.run("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").partition(",")[0])
    assert red < 40 if dark else red > 215
