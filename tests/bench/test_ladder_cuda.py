"""What the rungs of the GPU's ladder read and write, counted in the simulator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tinygen_kernels.ladder import cuda

from tinygen.bench import command, ladder, ladder_cuda
from tinygen.bench.layers import Layer
from tinygen.bench.protocol import Call, Protocol, process
from tinygen.bench.warps import Counts

WARPS = Layer(1, (9, 5), 16, 32, 2, 1, 0)  # 32 pixels of 32 channels: whole warps for the first rungs


@pytest.fixture(scope="module")
def simulator() -> Iterator[Call]:
    with process(Protocol(1, wall_clock=True, device="cuda"), NUMBA_ENABLE_CUDASIM="1") as worker:
        yield worker


# For each multiply-add: numbers read, sectors, and reads of shared memory; then sectors of one
# read, and barriers in 1,000.
@pytest.mark.parametrize(
    ("rung", "layer", "expected"),
    [
        # x is 32 sectors and w one
        ("pixel", WARPS, (2, 33 / 32, 0, 33 / 2, 0)),
        # x is one sector and w four
        ("coalesced", WARPS, (2, 5 / 32, 0, 5 / 2, 0)),
        # Each number serves 16 threads, and there are two barriers for 16 multiply-adds.
        ("shared", WARPS, (2 / 16, 2 / 16 / 8, 2, 4, 2000 / 16)),
        # It serves 64, and there are two barriers for 16 x 4 x 4.
        ("registers", ladder_cuda.COUNTED, (2 / 64, 2 / 64 / 8, 8 / 16, 4, 2000 / 256)),
        ("buffered", ladder_cuda.COUNTED, (2 / 64, 2 / 64 / 8, 8 / 16, 4, 1000 / 256)),
        # It reads four numbers with an instruction, which are 16 sectors for a warp.
        ("tile", ladder_cuda.COUNTED, (2 / 64, 2 / 64 / 8, 2 / 16, 16, 1000 / 256)),
    ],
)
def test_the_counts(simulator: Call, rung: str, layer: Layer, expected: tuple[float, ...]) -> None:
    found: Counts = simulator(ladder_cuda.count, rung, layer)
    assert (found.reads, found.sectors, found.shared_reads, found.sectors_of_a_read, found.barriers) == expected
    assert found.writes == 1 / 64  # once, after 4 taps x 16 channels


def test_the_docstring_lists_the_rungs_and_each_says_what_still_costs_time() -> None:
    assert tuple(ladder.ideas(cuda)) == cuda.RUNGS
    for rung in cuda.RUNGS[:-1]:
        lines = Path(cuda.__path__[0], f"{rung}.py").read_text().splitlines()
        assert len(lines) < 60 and any(line.startswith("What still costs time?") for line in lines)


def test_the_command_says_that_it_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(ladder, "ideas", lambda package: {"coalesced": "neighbours"})
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    command.command_line(["--ladder", "--device", "cuda", "--layer", "1,3,3,4,32,2,1,0"])
    printed = capsys.readouterr().out
    assert "Nothing is timed (NUMBA_ENABLE_CUDASIM is set)" in printed
    assert any(line.split() == ["coalesced", "2", "0.0625", "0.156", "0", "0", "2.5"] for line in printed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--plot", "x.svg"], "are for the CPU's ladder"), (["--layer", "64,16,16,64,128,4,2,1"], "536,870,912 multiply-adds, too many")],
)
def test_what_it_cannot_do_is_refused(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    with pytest.raises(SystemExit, match=message):
        command.command_line(["--ladder", "--device", "cuda", *arguments])
