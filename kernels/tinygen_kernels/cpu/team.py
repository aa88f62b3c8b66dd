"""The threads that share a loop.

A thread that launches a loop posts it on a board and begins at once. The helpers, threads that
watch the board, join as soon as they see it and a core is free for them. All take items until none
is left, and the launch waits only for the helpers that have joined. Each thread has a number, 0 for
the one that launches and its place for a helper, and begins with the share of this number. With two
threads, that is in the next loop about the same part of the same arrays, which is still in the
caches of its core. Then it takes from the shares of the others.

Helpers run compiled code, without Python's lock. One that watches joins within a microsecond. To
wake one that sleeps takes 50 microseconds, and in a virtual machine often a millisecond. So a
helper watches for about a millisecond after each loop, since in a training step the next loop comes
soon, and sleeps then, until a launch wakes it. Meanwhile it offers its core to other programs. Once
one has taken it, the helper sleeps at once: Linux soon runs a thread that a launch wakes, and late
one that has offered its core.

Another program may also take the core of a helper in the middle of an item. The launch then waits
for milliseconds, until the helper has its core back. So on Linux the thread that launches, which
has nothing else to do, lends the helper its own core: it moves the helper there, and sleeps. Beside
one other program on two cores, a training step takes 0.9 of the time.

Numba's own parallel loops, by TBB, OpenMP or its workqueue, give each thread a share in advance and
wait for every thread. A core that another program holds then delays the whole loop.
"""

import contextlib
import ctypes
import functools
import os
import sys
import threading
import time

import numpy
from numba import config, types

from tinygen_kernels import Array
from tinygen_kernels.cpu.atomic import add_atomically, call, exchange, read_atomically, relax
from tinygen_kernels.cpu.compiled import compiled, helper

# Where the words of a board are, each on a cache line of its own, so that writing one does not slow
# those who read another; the set of cores that a helper is moved to, a bit for each; and the
# helpers' lines.
_LINE, _MOST_CORES = 16, 1 << 13  # numbers, and cores that Linux can be built for
_OWNED, _CODE, _ARGUMENTS, _PLACES, _ENDED, _EXCEPTION, _CORES = range(0, 7 * _LINE, _LINE)
_HELPERS = _CORES + _MOST_CORES // 64

# What a line tells of the helper that has its place: its thread, or 0 if it has ended, or less than 0 if
# it was moved; the clock of its processor time; and the time on it when the leader looked.
_THREAD, _CLOCK, _TIME = range(3)

# How often a thread looks for what it waits for before it lets others have its core, how often a helper
# then does before it sleeps, and after how many looks a leader asks whether all helpers run.
_PATIENCE, _WATCH, _ASK = 1 << 13, 1 << 11, 1 << 10
_SOON = 500_000  # nanoseconds in which a core comes back that no other program has taken

if sys.platform == "win32":
    _yield = types.ExternalFunction("SwitchToThread", types.int32())
    _sleep = types.ExternalFunction("Sleep", types.void(types.uint32))
    _read_clock = types.ExternalFunction("_timespec64_get", types.int32(types.uintp, types.int32))
    _NAP = 1  # millisecond
else:
    _yield = types.ExternalFunction("sched_yield", types.int32())
    _sleep = types.ExternalFunction("usleep", types.int32(types.uint32))
    _read_clock = types.ExternalFunction("timespec_get", types.int32(types.uintp, types.int32))
    _NAP = 20  # microseconds

# In a virtual machine, Linux takes a core that has nothing to do for one that the host has taken
# away. It then wakes a helper on the core of the thread that wakes it, where the helper waits for
# milliseconds. So that thread rules out its own core first.
_CHOOSES_CORES = sys.platform == "linux"
if _CHOOSES_CORES:
    _this_core = ctypes.CDLL(None).sched_getcpu
    _read_core = types.ExternalFunction("sched_getcpu", types.int32())
    _set_cores = types.ExternalFunction("sched_setaffinity", types.int32(types.int32, types.uintp, types.uintp))
    _read_time = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))


def threads() -> int:
    """The most threads that share a loop: as many as there are cores, or NUMBA_NUM_THREADS."""
    count: int = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return count


class Team:
    """A board and the helpers that watch it, which begin at once."""

    def __init__(self, helpers: int):
        self.board: Array = numpy.zeros(_HELPERS + helpers * _LINE, numpy.int64)
        self._asleep: list[tuple[threading.Lock, int]] = []  # what each sleeping helper waits for, and the helper
        self._cores = _cores()  # that the thread which last woke a helper may use
        for _ in range(helpers):
            threading.Thread(target=self._help, name="tinygen kernels", daemon=True).start()

    def wake(self, helpers: int) -> None:
        """Wake so many helpers, if they sleep."""
        for _ in range(min(helpers, len(self._asleep))):
            try:
                woken, helper = self._asleep.pop()
            except IndexError:  # another thread has woken it
                return
            self._cores = _cores()
            if _CHOOSES_CORES:
                _use(helper, self._cores - {_this_core()})
            woken.release()

    def _help(self) -> None:
        woken, helper = threading.Lock(), threading.get_native_id()
        clock = time.pthread_getcpuclockid(threading.get_ident()) if _CHOOSES_CORES else 0
        woken.acquire()
        while True:
            _watch(self.board, helper, clock)
            _use(helper, self._cores)  # a leader may have moved it
            self._asleep.append((woken, helper))
            # A thread may have looked for sleepers before, and posted its loop after this helper's last look.
            if not woken.acquire(timeout=0.001):
                if self.board[_PLACES] > 0:
                    self.wake(1)
                woken.acquire()
            _use(helper, self._cores)


def _cores() -> set[int]:
    """The cores that this thread may use; none where it cannot choose."""
    return os.sched_getaffinity(0) if _CHOOSES_CORES else set()


def _use(thread: int, cores: set[int]) -> None:
    """From now on the thread uses these cores, if it may."""
    if _CHOOSES_CORES:
        with contextlib.suppress(OSError):  # there are none, or the system refuses
            os.sched_setaffinity(thread, cores)


@functools.cache
def team() -> Team:
    """The only team of this process."""
    return Team(threads() - 1)


@helper
def lead(board, helpers, code, arguments):  # type: ignore[no-untyped-def]
    """Call the code in this thread and in at most so many helpers: an exception's address, or 0.

    If another thread has posted a loop, nobody helps with this one.
    """
    if helpers == 0 or exchange(board, _OWNED, 1):
        return call(code, arguments, 0)
    board[_CODE], board[_ARGUMENTS], board[_ENDED], board[_EXCEPTION] = code, arguments, 0, 0
    exchange(board, _PLACES, helpers)  # from here on helpers join
    exception = call(code, arguments, 0)
    joined = helpers - max(exchange(board, _PLACES, 0), 0)
    looks = 0
    while read_atomically(board, _ENDED) < joined:
        looks += 1
        if (looks % _ASK == 0 or looks >= _PATIENCE) and _lend_core(board, helpers):
            looks = _PATIENCE
        if looks < _PATIENCE:
            relax()
        else:
            _sleep(_NAP)
    exception = exception or board[_EXCEPTION]
    exchange(board, _OWNED, 0)
    return exception


if _CHOOSES_CORES:

    @helper
    def _lend_core(board, helpers):  # type: ignore[no-untyped-def]
        """Move the helpers that cannot run to this thread's core: whether there are any."""
        moved = False
        for line in range(_HELPERS, _HELPERS + helpers * _LINE, _LINE):
            thread = read_atomically(board, line + _THREAD)
            if thread > 0 and not _has_run(board, line) and exchange(board, line + _THREAD, -thread) > 0:
                core = _read_core()
                board[_CORES + core // 64] = 1 << core % 64
                _set_cores(thread, _MOST_CORES // 8, board.ctypes.data + 8 * _CORES)
                board[_CORES + core // 64] = 0
                moved = True
        return moved

    @helper
    def _has_run(board, line):  # type: ignore[no-untyped-def]
        """Whether the helper's processor time is another one than when the leader asked before."""
        seconds, nanoseconds = board[line + _TIME], board[line + _TIME + 1]
        _read_time(board[line + _CLOCK], board.ctypes.data + 8 * (line + _TIME))
        return board[line + _TIME] != seconds or board[line + _TIME + 1] != nanoseconds

else:

    @helper
    def _lend_core(board, helpers):  # type: ignore[no-untyped-def]
        return False


@helper
def _core_is_taken(time):  # type: ignore[no-untyped-def]
    """Let others have this core: whether another program took it for a while."""
    offered = _nanoseconds(time)
    _yield()
    return _nanoseconds(time) - offered > _SOON


@helper
def _nanoseconds(time):  # type: ignore[no-untyped-def]
    """The time of day, which C writes as two numbers, the seconds and the nanoseconds."""
    _read_clock(time.ctypes.data, 1)  # TIME_UTC
    return time[0] * 1_000_000_000 + time[1]


@functools.partial(compiled, nogil=True)
def _watch(board, thread, clock):  # type: ignore[no-untyped-def]
    """Help with all loops that are posted, until none was for a while or another program takes this thread's core."""
    looks, time = 0, numpy.zeros(2, numpy.int64)
    while looks < _PATIENCE + _WATCH:
        # Who takes a place after the last has the number 0 or less, and `lead` does not count it.
        place = add_atomically(board, _PLACES, -1) if read_atomically(board, _PLACES) > 0 else 0
        if place > 0:
            line = _HELPERS + (place - 1) * _LINE
            board[line + _CLOCK] = clock
            exchange(board, line + _THREAD, thread)
            exception = call(board[_CODE], board[_ARGUMENTS], place)
            moved = exchange(board, line + _THREAD, 0) < 0
            if exception:
                board[_EXCEPTION] = exception
            add_atomically(board, _ENDED, 1)
            if moved:  # to the leader's core, on which it must not stay
                return
            looks = 0
        looks += 1
        if looks < _PATIENCE:
            relax()
        elif _core_is_taken(time):
            return


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child starts its own
    os.register_at_fork(after_in_child=team.cache_clear)
