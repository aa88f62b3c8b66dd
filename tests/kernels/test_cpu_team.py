"""The threads that share a loop."""

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tinygen_kernels.cpu import team


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A team of this thread and one helper."""
    monkeypatch.setattr(team, "threads", lambda: 2)
    forget = team._invitations.cache_clear
    forget()
    yield
    forget()


def in_helper(work: Callable[[], Any]) -> Callable[[], None]:
    """Does `work` in the helper only, and has the leader wait until the helper has begun."""
    leader, begun = threading.get_ident(), threading.Event()

    def share() -> None:
        if threading.get_ident() == leader:
            assert begun.wait(60)
        else:
            begun.set()
            work()

    return share


def test_the_leader_waits_for_a_helper_that_has_begun() -> None:
    done: list[int] = []
    leaving = threading.Event()
    threading.Timer(0.05, leaving.set).start()
    team.run(in_helper(lambda: (leaving.wait(60), done.append(1))), 1)
    assert done == [1]


def test_the_leader_does_not_wait_for_a_helper_that_has_not_begun() -> None:
    """The only helper is kept busy by another loop, whose leader waits for it."""
    free, results = threading.Event(), queue.SimpleQueue()  # type: ignore[var-annotated]
    begun = threading.Event()

    def occupy() -> None:
        if threading.current_thread() is other:
            assert begun.wait(60)
        else:
            begun.set()
            assert free.wait(60)

    other = threading.Thread(target=team.run, args=(occupy, 1))
    other.start()
    assert begun.wait(60)
    team.run(lambda: results.put(threading.get_ident()), 1)
    assert results.get_nowait() == threading.get_ident() and results.empty()
    free.set()
    other.join()
    team.run(in_helper(lambda: results.put("helper")), 1)  # after the invitation that it had missed
    assert results.get_nowait() == "helper" and results.empty()


def test_what_a_helper_raises_is_raised_to_the_leader_and_the_helper_goes_on() -> None:
    def fail() -> None:
        raise ZeroDivisionError("in a helper")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="in a helper"):
            team.run(in_helper(fail), 1)


def test_an_invitation_that_nobody_has_read_keeps_no_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    unread: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(team, "_invitations", lambda: unread)

    class Work:
        def __call__(self) -> None:
            pass

    work = Work()
    alive = weakref.ref(work)
    team.run(work, 3)
    del work
    assert unread.qsize() == 3 and alive() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_helpers_of_its_own() -> None:
    team.run(in_helper(lambda: None), 1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            team.run(in_helper(lambda: None), 1)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
