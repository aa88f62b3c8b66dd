"""Training in a notebook: the cell shows curves and samples, and a stopped run goes on as if it had not been stopped."""

import re
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from small_run import contents, small_run

from tinygen.report.live import curves, live_display
from tinygen.saving.run_folder import RunFolder
from tinygen.training.interruption import Stopped

Outputs = list[list[str]]


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """The outputs of a cell, each with all that it has shown. IPython is replaced by the few names of it that are used."""
    outputs: Outputs = []

    def display(html: str, display_id: bool) -> SimpleNamespace:
        assert display_id
        outputs.append([html])
        return SimpleNamespace(update=outputs[-1].append)

    ipython, names = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=True)  # type: ignore[attr-defined]
    names.HTML, names.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", names)
    return outputs


def test_a_cell_shows_progress_curves_and_the_latest_samples(cell: Outputs, tmp_path: Path) -> None:
    small_run(tmp_path, epochs=2).run()
    progress, epochs = cell
    assert any("epoch 2/2:" in text and "/5" in text for text in progress) and progress[-1] == "<pre></pre>"
    first, second = epochs[1:]
    for shown, count, epoch in ((first, 1, 1), (second, 2, 2)):
        assert re.findall(r"<small>(.*?) [-\d.e]+</small>", shown) == ["loss", "now and then", "noise"]
        assert {len(points.split()) for points in re.findall(r'points="(.*?)"', shown)} == {count}
        assert shown.count('<img src="data:image/webp;base64,') == 1 and f'alt="samples of epoch {epoch}"' in shown


def test_the_stop_button_ends_the_cell_and_the_run_goes_on_with_the_same_bits(
    cell: Outputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_run(tmp_path / "whole").run()
    with pytest.raises(Stopped) as stopped:
        small_run(tmp_path / "parts", stop_at=7).run()
    assert stopped.value._render_traceback_() == [
        "stopped in epoch 2 after 3 of 5 batches; with options.resume = True, run() goes on from there"
    ]
    small_run(tmp_path / "parts", resume=True).run()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_run_in_a_thread_is_stopped_from_outside_with_a_checkpoint(cell: Outputs, tmp_path: Path) -> None:
    training = small_run(tmp_path, epochs=10**6)
    ended: list[int | str | None] = []

    def run() -> None:
        try:
            training.run()
        except SystemExit as end:
            ended.append(end.code)

    thread = threading.Thread(target=run)
    thread.start()
    while not RunFolder(tmp_path).picture(1).exists():
        assert thread.is_alive()
        time.sleep(0.01)
    training.stop()
    thread.join(60)
    assert ended == [130] and training.saved == (training.epoch, training.batch)
    small_run(tmp_path, epochs=training.epoch + 1, resume=True).run()


def test_outside_of_a_notebook_nothing_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live_display(RunFolder(tmp_path)) is None
    terminal = ModuleType("IPython")
    terminal.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert live_display(RunFolder(tmp_path)) is None


def test_a_curve_goes_from_the_smallest_value_to_the_largest_and_leaves_out_what_is_missing() -> None:
    shown = curves([{"epoch": 1, "a<b": 3.0}, {"epoch": 2, "a<b": None}, {"epoch": 3, "a<b": 1.0}])
    assert 'points="0.0,0.0 180.0,60.0"' in shown and "<small>a&lt;b 1</small>" in shown
    assert 'points="0.0,60.0 180.0,60.0"' in curves([{"epoch": 1, "x": 2.0}, {"epoch": 2, "x": 2.0}])
    assert curves([]) == "" and curves([{"epoch": 1, "x": None}]) == ""
