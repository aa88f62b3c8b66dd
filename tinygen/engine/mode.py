"""Two switches of the engine: whether it records, and whether it looks for values that are not finite. Each thread has its own."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


class _Switches(threading.local):
    recording = True
    detecting_anomalies = False


switches = _Switches()


@contextmanager
def switched(name: str, value: bool) -> Iterator[None]:
    """Within, the switch of this name has this value, for this thread."""
    before = getattr(switches, name)
    setattr(switches, name, value)
    try:
        yield
    finally:
        setattr(switches, name, before)


def no_grad() -> AbstractContextManager[None]:
    """Within, nothing is recorded: results require no gradients."""
    return switched("recording", False)


def is_recording() -> bool:
    """Whether functions are being recorded now."""
    return switches.recording


def detect_anomaly() -> AbstractContextManager[None]:
    """Within, the first output or gradient that is NaN or infinite raises FloatingPointError.

    The message names the function, its shapes, and the line outside tinygen that applied it. Slow: every array is looked at.
    """
    return switched("detecting_anomalies", True)
