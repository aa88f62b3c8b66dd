"""The time that a network allows a step on many processes."""

from pathlib import Path

import pytest

from tinygen.bench import processes
from tinygen.bench.processes import MANY, Measured, main, predicted
from tinygen.bench.timeline import Span


def test_the_prediction_by_hand() -> None:
    # 10 small arrays in 3 rounds and 2 * 7 messages of 1 ms for each of 2 buckets are 58 ms; 7/4 of
    # 8 MB at 1 GB/s are 14 ms
    assert predicted(8, 0.1, 10, 2, 8_000_000, 1e-3, 1e9) == pytest.approx(0.172)
    assert predicted(1, 0.1, 10, 2, 8_000_000, 1e-3, 1e9) == 0.1
    assert predicted(9, 0.1, 10, 1, 0, 1e-3, 1e9) == pytest.approx(0.1 + (40 + 16) * 1e-3)


def test_what_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    steps, spans = {1: 0.1, 2: 0.055}, [Span("forward", "", 1.0, 2.0)]
    monkeypatch.setattr(
        processes, "_measured", lambda n, threads, repeats: Measured(n, steps[n], 10, 2, 8_000_000, 1e-6 * n, 1e9, [spans] * n)
    )
    main([1, 2], 2, 5, None, tmp_path / "timeline.svg")
    assert "2 of 2" in (tmp_path / "timeline.svg").read_text()
    told = " ".join(capsys.readouterr().out.split())
    assert " 2 55.0 0.55 " in told and "10 small arrays and 2 buckets of gradients, 8.0 MB, are averaged" in told
    assert "network, measured between 2 processes here: 2.0 us, 1.00 GB/s" in told
    main([1, 2], 2, 5, (1000.0, 1.0), None)
    told = " ".join(capsys.readouterr().out.split())
    assert "network, given: 1000.0 us, 1.00 GB/s" in told and " 8 172.0 58% " in told
    assert all(f" {n} " in told for n in MANY)
