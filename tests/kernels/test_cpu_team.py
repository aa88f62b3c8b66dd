# mypy: allow-untyped-defs
"""The threads that share a loop. The kernels here tell which thread has run each item."""

import contextlib
import ctypes
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numba
import numpy
import pytest
from numba import types
from tinygen_kernels.cpu import team
from tinygen_kernels.cpu.atomic import read_atomically
from tinygen_kernels.cpu.parallel import launch_shared

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the kernels of these tests call functions of POSIX")

this_thread = types.ExternalFunction("pthread_self", types.int64())
sleep = types.ExternalFunction("usleep", types.int32(types.uint32))


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A team of this thread and one helper, and compiled kernels: while one is compiled, the helper falls asleep."""
    ones = numpy.ones(8, numpy.int64)
    for kernel, arguments in ((meet, (ones, 0)), (hold, (zeros(2), ones)), (begin, (ones, zeros(8)))):
        launch_shared(kernel, 2, 1, *arguments)
    with contextlib.suppress(ZeroDivisionError):
        launch_shared(fail, 2, 1, numpy.ones(2, numpy.int64), 0)
    monkeypatch.setattr(team, "threads", lambda: 2)
    team.team.cache_clear()
    yield
    team.team.cache_clear()


def meet(item, ran, slow):
    """Wait until another thread runs the other item, for at most ten seconds; then the slow item takes longer."""
    ran[item] = this_thread()
    for _ in range(10_000):
        if read_atomically(ran, 1 - item):
            break
        sleep(1000)
    if item == slow:
        sleep(50_000)
        ran[2 + item] = 1


def hold(item, ran, free):
    """Wait until free[0] is set."""
    ran[item] = this_thread()
    while not read_atomically(free, 0):
        sleep(1000)


def begin(item, thread, ran, numbers):
    """Wait until the other thread is at the same place of its share."""
    ran[item], numbers[item] = this_thread(), thread
    for _ in range(100_000):
        if read_atomically(ran, (item + 4) % 8):
            break
        sleep(100)


def work(item, ran):
    ran[item] = this_thread()


def fail(item, ran, leader):
    """Raise in the helper only, when both threads run an item."""
    ran[item] = this_thread()
    while not read_atomically(ran, 1 - item):
        sleep(1000)
    if ran[item] != leader:
        raise ZeroDivisionError("in a helper")


def zeros(count: int) -> numpy.ndarray:
    return numpy.zeros(count, numpy.int64)


@pytest.mark.parametrize("slow", [0, 1])
def test_two_threads_run_the_items_and_the_leader_waits_for_both(slow: int) -> None:
    """The leader takes the first item; its own is the slow one in the first case, the helper's in the second."""
    ran = zeros(4)
    launch_shared(meet, 2, 2, ran, slow)
    assert len(set(ran[:2])) == 2 and threading.get_ident() in ran[:2]
    assert ran[2 + slow] == 1


def test_a_sleeping_helper_is_woken() -> None:
    launch_shared(meet, 2, 2, zeros(4), 0)
    for _ in range(1000):
        if team.team()._asleep:
            break
        time.sleep(0.01)
    assert len(team.team()._asleep) == 1
    ran = zeros(4)
    launch_shared(meet, 2, 2, ran, 0)
    assert len(set(ran[:2])) == 2
    if team._CHOOSES_CORES:  # it was kept from the leader's core only until it ran
        (helper,) = [each.native_id for each in threading.enumerate() if each.ident in ran[:2] and each.ident != threading.get_ident()]
        assert os.sched_getaffinity(helper) == os.sched_getaffinity(0)


@pytest.mark.skipif(not team._CHOOSES_CORES, reason="this system does not let a program choose a thread's cores")
def test_a_helper_is_woken_on_another_core_than_that_of_the_thread_that_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[int, set[int]]] = []
    monkeypatch.setattr(team, "_use", lambda thread, cores: used.append((thread, cores)))
    monkeypatch.setattr(team, "_this_core", lambda: min(os.sched_getaffinity(0)))
    nobody = team.Team(0)
    woken = threading.Lock()
    woken.acquire()
    nobody._asleep.append((woken, 7))
    nobody.wake(3)
    assert used == [(7, os.sched_getaffinity(0) - {min(os.sched_getaffinity(0))})] and not woken.locked()


def test_a_loop_that_is_posted_while_a_helper_falls_asleep_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: queue.SimpleQueue[None] = queue.SimpleQueue()

    def watch(board: numpy.ndarray, *_helper: int) -> None:
        """What happens just after the last look: another thread, which finds nobody asleep, posts a loop; then it ends."""
        board[team._PLACES] = 1 if looks.empty() else 0
        looks.put(None)

    monkeypatch.setattr(team, "_watch", watch)
    helpers = team.Team(1)
    for _ in range(1000):
        if looks.qsize() == 2:
            break
        time.sleep(0.01)
    assert looks.qsize() == 2 and helpers.board[team._PLACES] == 0


@pytest.mark.skipif(not team._CHOOSES_CORES, reason="this system does not let a program choose a thread's cores")
def test_a_helper_sleeps_once_another_program_takes_its_core() -> None:
    """Each time that this program goes on, the other one has had the core: a few times, and not as often as a helper looks."""
    import resource

    cores = os.sched_getaffinity(0)
    core = min(cores)
    program = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            os.sched_setaffinity(0, [core])
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
            team._watch(zeros(team._HELPERS), 0, 0)
            switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - before
        finally:
            os.sched_setaffinity(0, cores)
            other.kill()
    assert 0 < switches < team._WATCH // 8


@pytest.fixture
def cores() -> Iterator[set[int]]:
    """The cores of this process, all of which this thread may use again after the test."""
    cores = os.sched_getaffinity(0)
    yield cores
    os.sched_setaffinity(0, cores)


@pytest.mark.skipif(not team._CHOOSES_CORES, reason="this system does not let a program choose a thread's cores")
def test_a_helper_that_cannot_run_is_moved_to_the_leaders_core_and_back_when_it_sleeps(
    cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its item the helper waits, which looks to the leader as if another program had its core."""
    watch, watched = team._watch, []  # the cores that the helper may use at the end of each watch
    monkeypatch.setattr(team, "_watch", lambda *helper: watched.append(watch(*helper) or os.sched_getaffinity(0)))
    monkeypatch.setattr(team, "_cores", lambda: cores)  # of a leader that stays on the first by chance
    team.team()
    os.sched_setaffinity(0, [min(cores)])
    ran = zeros(4)
    launch_shared(meet, 2, 2, ran, 1)
    (helper,) = [each.native_id for each in threading.enumerate() if each.ident == ran[1]]
    for _ in range(1000):
        if team.team()._asleep:
            break
        time.sleep(0.01)
    assert helper is not None and os.sched_getaffinity(helper) == cores
    assert {min(cores)} in watched


def test_a_helper_that_was_moved_takes_no_other_place() -> None:
    board = zeros(team._HELPERS + 2 * team._LINE)

    @ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    def move(_arguments: int, place: int) -> int:
        board[team._HELPERS + (place - 1) * team._LINE + team._THREAD] *= -1
        return 0

    board[team._CODE], board[team._PLACES] = ctypes.cast(move, ctypes.c_void_p).value, 2
    team._watch(board, 7, 0)
    assert board[team._PLACES] == 1 and board[team._ENDED] == 1


@numba.njit
def lend_core(board):
    return team._lend_core(board, 1)


@pytest.mark.skipif(not team._CHOOSES_CORES, reason="this system does not let a program choose a thread's cores")
def test_a_leader_moves_a_helper_whose_processor_time_stands_still_and_no_other(cores: set[int]) -> None:
    helpers = team.Team(1)
    line = helpers.board[team._HELPERS :]
    line[team._THREAD], line[team._CLOCK] = threading.get_native_id(), time.pthread_getcpuclockid(threading.get_ident())
    assert not any(lend_core(helpers.board) for _ in range(100))
    sleeper = threading.Thread(target=(free := threading.Event()).wait, daemon=True)
    sleeper.start()
    assert sleeper.native_id is not None and sleeper.ident is not None
    time.sleep(0.01)
    line[team._CLOCK] = time.pthread_getcpuclockid(sleeper.ident)
    for core in cores:
        os.sched_setaffinity(0, [core])
        line[team._THREAD], line[team._TIME :] = sleeper.native_id, 0
        assert [lend_core(helpers.board) for _ in range(3)] == [False, True, False]
        assert os.sched_getaffinity(sleeper.native_id) == {core} and line[team._THREAD] == -sleeper.native_id
    assert not helpers.board[team._CORES : team._HELPERS].any()  # or with 65 cores a helper could use two
    free.set()
    sleeper.join()


def test_a_launch_beside_another_one_does_not_wait_for_its_helper() -> None:
    held, free = zeros(2), zeros(1)
    other = threading.Thread(target=launch_shared, args=(hold, 2, 2, held, free))
    other.start()
    while not held.all():
        time.sleep(0.001)
    ran = zeros(100)
    launch_shared(work, 100, 2, ran)
    assert set(ran) == {threading.get_ident()}
    free[0] = 1
    other.join()
    ran = zeros(4)
    launch_shared(meet, 2, 2, ran, 0)
    assert len(set(ran[:2])) == 2


def test_what_a_helper_raises_is_raised_to_the_leader_and_the_helper_goes_on() -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="in a helper"):
            launch_shared(fail, 2, 2, zeros(2), threading.get_ident())


def test_what_the_leader_raises_alone_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="in a helper"):
        launch_shared(fail, 2, 1, numpy.ones(2, numpy.int64), 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_helpers_of_its_own() -> None:
    launch_shared(meet, 2, 2, zeros(4), 0)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ran = zeros(4)
            launch_shared(meet, 2, 2, ran, 0)
            status = int(len(set(ran[:2])) != 2)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_each_thread_begins_with_a_share_of_its_own_and_is_told_its_number() -> None:
    ran, numbers = zeros(8), zeros(8)
    launch_shared(begin, 8, 2, ran, numbers)
    assert set(numbers[:4]) == {0} and set(ran[:4]) == {threading.get_ident()}
    assert set(numbers[4:]) == {1} and len(set(ran[4:])) == 1 and ran[4] != ran[0]
