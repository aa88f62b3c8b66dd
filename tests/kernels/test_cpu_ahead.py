"""A second process compiles what a training needs last."""

import subprocess
from pathlib import Path

import pytest
from small_run import small_run
from test_cpu_cache import UNWRITABLE, Copy
from test_cpu_processes import printed
from tinygen_kernels.cpu import ahead

from tinygen import backend

# Prints how many processes `begin` starts, twice.
BEGIN = """
import subprocess
from tinygen_kernels.cpu import ahead
started = []
subprocess.Popen = lambda command, **_: started.append(command)
ahead.begin()
ahead.begin()
print(len(started))
"""
# Prints which kernels the backward pass and the optimiser of a training still have to compile.
BACKWARD = """
import tinygen as tg
from tinygen import nn, optim
from tinygen_kernels.cpu.cache import Cache
model = nn.Sequential(
    nn.Conv2D(1, 32, 4, stride=2, padding="same"), nn.LeakyReLU(), nn.Conv2D(32, 64, 4, stride=2, padding="same"), nn.BatchNorm(64),
    nn.LeakyReLU(), nn.Flatten(), nn.Dense(8 * 8 * 64, 1))
adam = optim.Adam(model.parameters())
loss = model(tg.randn((16, 32, 32, 1))).mean()
compiled, save = [], Cache.save_overload
Cache.save_overload = lambda self, *arguments: [compiled.append(self._py_func.__name__), save(self, *arguments)]
adam.minimize(loss)
print(*compiled)
"""


def test_the_backward_pass_of_a_training_is_compiled_ahead(tmp_path: Path) -> None:
    cache, threads = {"NUMBA_CACHE_DIR": str(tmp_path)}, {"NUMBA_NUM_THREADS": "2"}
    assert printed("-c", BEGIN, **cache, **threads) == "1\n"
    printed("-m", "tinygen_kernels.cpu.ahead", **cache)
    assert printed("-c", BEGIN, **cache, **threads) == "0\n"
    assert printed("-c", BACKWARD, **cache) == "\n"


def test_no_process_is_started_without_a_core_for_it(tmp_path: Path) -> None:
    assert printed("-c", BEGIN, NUMBA_CACHE_DIR=str(tmp_path), NUMBA_NUM_THREADS="1") == "0\n"


def test_no_process_is_started_where_nothing_is_kept(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    copy.environment["NUMBA_NUM_THREADS"] = "2"
    assert copy.run(BEGIN)[0] == 1
    assert copy.run(UNWRITABLE + BEGIN)[0] == 0


def test_a_training_on_a_cpu_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    monkeypatch.setattr(ahead, "begin", lambda: begun.append("here"))
    backend.compile_ahead("cuda:1")
    assert begun == []
    small_run(tmp_path / "run", epochs=1).run()
    assert begun == ["here"]


def test_a_system_that_starts_no_process_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def refuse(command: list[str], **_: object) -> None:
        asked.append(command)
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(ahead, "threads", lambda: 2)
    monkeypatch.setattr(ahead.Cache, "can_be_filled", lambda _: True)
    ahead.begin.__wrapped__()
    assert len(asked) == 1
