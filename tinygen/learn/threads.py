"""A GPU in a few lines: lessons run kernels here, and hear of mistakes that a GPU passes over in silence.

A GPU runs one function, the kernel, in many threads. They are grouped in blocks, and the threads of a
block share a small memory. Here a kernel is a Python function `kernel(block, t, threads, *memories)`
for thread t of a block of `threads` threads. If it has barriers it is a generator: each `yield` is one
(CUDA's `syncthreads`). The threads have their turns one after another, each up to its next barrier.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy
from tinygen_kernels import Array


class Memory:
    """An array that threads read and write, one number at a time.

    `reads` and `writes` count by (block, thread). `faults` are sentences about accesses outside the
    array, and about races: two threads use a number between the same two barriers, and one of them
    writes it. A read outside gives nan, and a write outside is lost.
    """

    def __init__(self, name: str, numbers: Array) -> None:
        self.name, self.numbers, self.shape = name, numpy.array(numbers, float), numpy.shape(numbers)
        self.reads: Counter[tuple[int, int]] = Counter()
        self.writes: Counter[tuple[int, int]] = Counter()
        self.faults: list[str] = []
        self._used: dict[tuple[int, ...], list[tuple[int, bool]]] = {}
        self._now = (0, 0)

    def __getitem__(self, index: Any) -> float:
        self.reads[self._now] += 1
        place = self._place(index, False)
        return float(self.numbers[place]) if place else numpy.nan

    def __setitem__(self, index: Any, value: float) -> None:
        self.writes[self._now] += 1
        place = self._place(index, True)
        if place:
            self.numbers[place] = value

    def _place(self, index: Any, writes: bool) -> tuple[int, ...] | None:
        """The index as a tuple, or None if it is outside. Faults are noted."""
        place = index if isinstance(index, tuple) else (index,)
        block, thread = self._now
        if len(place) != len(self.shape) or not all(0 <= i < n for i, n in zip(place, self.shape, strict=True)):
            self.faults.append(
                f"thread {thread} of block {block} {self._told(place, writes)}, and the shape of {self.name} is {self.shape}"
            )
            return None
        users = self._used.setdefault(place, [])
        other = next((user for user in users if user[0] != thread and (user[1] or writes)), None)
        if other is not None:
            did = "writes" if other[1] else "reads"
            self.faults.append(
                f"in block {block}, thread {thread} {self._told(place, writes)}, and thread {other[0]} {did} it with no barrier between"
            )
        users.append((thread, writes))
        return place

    def _told(self, place: tuple[int, ...], writes: bool) -> str:
        return f"{'writes' if writes else 'reads'} {self.name}[{', '.join(map(str, place))}]"


def launch(kernel: Callable[..., Any], blocks: int, threads: int, *arrays: Memory, shared: int = 0) -> list[str]:
    """Run a kernel in blocks * threads threads, and return the faults, in the order of the arrays.

    If `shared` is not 0, each block has a memory of so many numbers, the kernel's last argument. At
    first it holds what others left there.
    """
    faults: list[str] = []
    for block in range(blocks):
        tile = [Memory("tile", numpy.random.default_rng(block).normal(size=shared))] if shared else []
        memories = (*arrays, *tile)
        faults += _block(kernel, block, threads, memories)
        faults += [fault for memory in tile for fault in memory.faults]
    return [fault for memory in arrays for fault in memory.faults] + faults


def _block(kernel: Callable[..., Any], block: int, threads: int, memories: tuple[Memory, ...]) -> list[str]:
    """Run the threads of a block, from barrier to barrier."""
    programs = [_program(kernel, block, t, threads, *memories) for t in range(threads)]
    ended: list[int] = []
    while not ended:
        for memory in memories:
            memory._used.clear()
        for t, program in enumerate(programs):
            for memory in memories:
                memory._now = (block, t)
            if next(program, True):
                ended.append(t)
    waiting = sorted(set(range(threads)) - set(ended))
    if waiting:
        return [
            f"in block {block}, threads {waiting} wait at a barrier to which threads {ended} do not come: on a GPU they may wait for ever"
        ]
    return []


def _program(kernel: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """A thread, which stops at each barrier."""
    for _ in kernel(*arguments) or ():
        yield
