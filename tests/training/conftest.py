import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def signals_as_in_a_terminal() -> Iterator[None]:
    """Tests that run in the background or under nohup have inherited that signals are ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
