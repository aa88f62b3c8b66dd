"""Signals that ask a program to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a closed terminal."""

import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Interruption:
    """Within the block, the first of these signals is only recorded in `number`.

    A second signal has its usual effect. A signal that is ignored, as SIGHUP under `nohup`, stays
    ignored. Python handles signals in the main thread only; in other threads, nothing changes.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
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
