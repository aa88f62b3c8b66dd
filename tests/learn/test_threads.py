"""The simulated GPU of the lessons: barriers, what it counts, and the faults that it tells."""

from collections.abc import Iterator

import numpy

from tinygen.learn.threads import Memory, launch


def memory(name: str, *shape: int) -> Memory:
    return Memory(name, numpy.arange(numpy.prod(shape)).reshape(shape))


def test_threads_wait_at_a_barrier_for_what_others_write() -> None:
    def reverse(block: int, t: int, threads: int, x: Memory, y: Memory, tile: Memory) -> Iterator[None]:
        tile[t] = x[block, t]
        yield
        y[block, t] = tile[threads - 1 - t]

    x, y = memory("x", 2, 3), memory("y", 2, 3)
    assert launch(reverse, 2, 3, x, y, shared=3) == []
    numpy.testing.assert_array_equal(y.numbers, [[2, 1, 0], [5, 4, 3]])
    assert x.reads == {(block, t): 1 for block in range(2) for t in range(3)} and x.writes.total() == 0


def test_a_race_is_told_whoever_comes_first() -> None:
    def shift(block: int, t: int, threads: int, x: Memory) -> None:
        x[t] = x[t + 1] if t + 1 < threads else 0

    assert launch(shift, 1, 2, memory("x", 2)) == ["in block 0, thread 1 writes x[1], and thread 0 reads it with no barrier between"]

    def spread(block: int, t: int, threads: int, x: Memory) -> None:
        x[t] = x[t - 1] if t else 0

    assert launch(spread, 1, 2, memory("x", 2)) == ["in block 0, thread 1 reads x[0], and thread 0 writes it with no barrier between"]


def test_accesses_outside_are_told_and_change_nothing() -> None:
    def beyond(block: int, t: int, threads: int, x: Memory) -> None:
        x[t - 1] = x[t + 1]

    x = memory("x", 1)
    assert launch(beyond, 1, 1, x) == [
        "thread 0 of block 0 reads x[1], and the shape of x is (1,)",
        "thread 0 of block 0 writes x[-1], and the shape of x is (1,)",
    ]
    assert x.numbers == [0]


def test_a_barrier_to_which_a_thread_does_not_come_ends_the_block() -> None:
    def early(block: int, t: int, threads: int, y: Memory) -> Iterator[None]:
        if t != 1:
            yield
        y[t] = 7

    y = memory("y", 3)
    assert launch(early, 1, 3, y) == [
        "in block 0, threads [0, 2] wait at a barrier to which threads [1] do not come: on a GPU they may wait for ever"
    ]
    numpy.testing.assert_array_equal(y.numbers, [0, 7, 2])
