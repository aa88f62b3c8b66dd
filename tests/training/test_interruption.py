"""A run that a signal ends leaves a checkpoint; the signals of the program around it stay as they were."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from repository import ROOT
from small_run import contents, small_run


def test_ctrl_c_in_the_last_step_finds_the_run_finished(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=2, stop_at=9).run()
    assert len(contents(tmp_path)[1]) == 2
    assert (tmp_path / "samples.gif").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_each_signal_that_ends_a_run_leaves_a_checkpoint(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    small_run(tmp_path / "whole").run()
    with pytest.raises(SystemExit) as exit_:
        small_run(tmp_path / "stopped", stop_at=6, by=number).run()
    assert exit_.value.code == 128 + number
    small_run(tmp_path / "stopped", resume=True).run()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_signals_are_the_program_s_again_after_a_run(tmp_path: Path) -> None:
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [signal.getsignal(number) for number in numbers]
    small_run(tmp_path / "whole", epochs=1).run()
    with pytest.raises(SystemExit):
        small_run(tmp_path / "stopped", stop_at=2).run()
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As `nohup` ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        small_run(tmp_path, stop_at=2, by=signal.SIGHUP).run()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(contents(tmp_path)[1]) == 3


SLEEPER = """
import os, signal, sys, time
sys.path.insert(0, "tests")
from pathlib import Path
from small_run import small_run

training = small_run(Path(sys.argv[1]))
step = training.step

def announced(*batch):
    numbers = step(*batch)
    Path(sys.argv[1] + ".stepped").touch()
    time.sleep(0.2)
    return numbers

training.step = announced
training.run()
"""


def test_a_terminal_that_closes_leaves_a_checkpoint(tmp_path: Path) -> None:
    """What the program prints after that fails."""
    import pty

    terminal, side = pty.openpty()
    command = [sys.executable, "-c", SLEEPER, tmp_path / "run"]
    take = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    environment = os.environ | {"PYTHONUNBUFFERED": ""}  # Python flushes the streams once more at the end
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), side)
    process = subprocess.Popen([sys.executable, "-c", take, *command], **streams, cwd=ROOT, env=environment)
    os.close(side)
    for _ in range(1200):
        if (tmp_path / "run.stepped").exists() or process.poll() is not None:
            break
        threading.Event().wait(0.05)
    os.close(terminal)
    assert process.wait(60) == 129
    small_run(tmp_path / "run", resume=True).run()


def test_a_run_outside_the_main_thread(tmp_path: Path) -> None:
    small_run(tmp_path / "whole").run()
    training = small_run(tmp_path / "thread")
    thread = threading.Thread(target=training.run)
    thread.start()
    thread.join()
    assert contents(tmp_path / "thread") == contents(tmp_path / "whole")
