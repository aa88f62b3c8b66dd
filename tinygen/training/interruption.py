"""Signals that ask a program to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a closed terminal."""

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from tinygen.command_line import drop_what_nobody_reads

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stopped(KeyboardInterrupt):
    """Ends the cell of a notebook, which shows its message and no traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's name for what to show
        return [str(self)]


class Interruption:
    """Within the block, the first of these signals is only recorded in `number`.

    A second signal has its usual effect. A signal that is ignored, as SIGHUP under `nohup`, stays
    ignored. Python handles signals in the main thread only; in other threads, nothing changes.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def ending(self, told: str, notebook: bool) -> BaseException:
        """The exception that ends the program, or the cell of a notebook; in a thread, only that ends."""
        if notebook and threading.current_thread() is threading.main_thread():
            return Stopped(f"{told}; with options.resume = True, run() goes on from there")
        with suppress(OSError):  # the terminal may be gone
            print(f"{told}; --resume goes on from there")
        drop_what_nobody_reads()
        return SystemExit(128 + (self.number or 0))

    def __enter__(self) -> Self:
        self.number = None
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        with suppress(OSError):  # the terminal may be gone
            print("\nstopping after this step ...", file=sys.stderr)
