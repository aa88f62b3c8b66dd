"""The examples on the CPU with --graph: the same bits as without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from few_steps import expect_replayed, log_of
from repository import EXAMPLES

from tinygen.training import finish


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_replayed_example_has_the_same_bits(
    example: str, few_data: Callable[[str], Path], replays: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(finish, "GENERATED", 10)
    eager, replayed = (log_of(example, few_data(example), tmp_path / str(graph), device="cpu", graph=graph) for graph in (False, True))
    assert replayed == eager
    expect_replayed(example, capsys.readouterr().out, replays, tmp_path / "False", tmp_path / "True")
