"""The time that a network allows a step on many processes."""

import pytest

from tinygen.bench import processes
from tinygen.bench.processes import MANY, Measured, main, predicted


def test_the_prediction_by_hand() -> None:
    # 10 small arrays in 3 rounds and 2 * 7 messages of 1 ms are 44 ms; 7/4 of 8 MB at 1 GB/s are 14 ms
    assert predicted(8, 0.1, 10, 8_000_000, 1e-3, 1e9) == pytest.approx(0.158)
    assert predicted(1, 0.1, 10, 8_000_000, 1e-3, 1e9) == 0.1
    assert predicted(9, 0.1, 10, 0, 1e-3, 1e9) == pytest.approx(0.1 + (40 + 16) * 1e-3)


def test_what_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    steps = {1: 0.1, 2: 0.055}
    monkeypatch.setattr(processes, "_measured", lambda n, threads, repeats: Measured(n, steps[n], 10, 8_000_000, 1e-6 * n, 1e9))
    main([1, 2], 2, 5, None)
    told = " ".join(capsys.readouterr().out.split())
    assert " 2 55.0 0.55 " in told and "10 small arrays and 8.0 MB of gradients" in told
    assert "network, measured between 2 processes here: 2.0 us, 1.00 GB/s" in told
    main([1, 2], 2, 5, (1000.0, 1.0))
    told = " ".join(capsys.readouterr().out.split())
    assert "network, given: 1000.0 us, 1.00 GB/s" in told and " 8 158.0 63% " in told
    assert all(f" {n} " in told for n in MANY)
