"""The threads that share a loop.

A thread that launches a loop invites helpers and begins at once. A helper joins as soon as a core
is free for it. All take items from one counter until none is left, and the launch waits only for
the helpers that have joined.

Numba's own parallel loops, by TBB, OpenMP or its workqueue, give each thread a share in advance and
wait for every thread. A core that another program holds then delays the whole loop.
"""

import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from numba import config


def threads() -> int:
    """The most threads that share a loop: as many as there are cores, or NUMBA_NUM_THREADS."""
    count: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return count


def run(work: Callable[[], Any], helpers: int) -> None:
    """Call work() in this thread and in at most `helpers` others at once.

    `work` returns when nothing is left to do. What it raises in any thread is raised here.
    """
    call, invitations = _Call(work, helpers), _invitations()
    for _ in range(helpers):
        invitations.put(call)
    try:
        work()
    finally:
        call.end()


class _Call:
    """What `run` was called for, and the places of its helpers."""

    def __init__(self, work: Callable[[], Any], helpers: int):
        self._work, self._helpers = work, helpers
        self._places = [True] * helpers  # `pop` gives a place to one thread only
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def join(self) -> None:
        """Help, unless the call has ended."""
        if self._take_place():
            try:
                self._work()
                self._ended.put(None)
            except BaseException as error:
                self._ended.put(error)

    def end(self) -> None:
        """Take the places that are left, and wait for the helpers that have the others."""
        joined = self._helpers
        while self._take_place():
            joined -= 1
        errors = [self._ended.get() for _ in range(joined)]
        del self._work  # it holds arrays, and an invitation that nobody has read yet holds this call
        for error in filter(None, errors):
            raise error

    def _take_place(self) -> bool:
        try:
            return self._places.pop()
        except IndexError:
            return False


@functools.cache
def _invitations() -> "queue.SimpleQueue[_Call]":
    """The queue that the helpers read. The first call starts them."""
    invitations: queue.SimpleQueue[_Call] = queue.SimpleQueue()

    def help() -> None:
        while True:
            invitations.get().join()

    for _ in range(threads() - 1):
        threading.Thread(target=help, name="tinygen kernels", daemon=True).start()
    return invitations


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child starts its own
    os.register_at_fork(after_in_child=_invitations.cache_clear)
