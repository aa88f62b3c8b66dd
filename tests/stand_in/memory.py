"""The stand-in's memory pools: what they take from the device, lend to arrays, and give back.

The stand-in's arrays have NumPy's memory all the same. Those of the default pool are not lent any:
it holds the memory of the arrays that are alive, and nothing else. The arguments of a recorded
operation stay in use until its graph goes.
"""

import weakref
from collections.abc import Callable
from typing import Any

from cupy.cuda.memory import OutOfMemoryError  # the real one: this is imported before CuPy is replaced

from tests.stand_in.device import CUDARuntimeError, Stream

CAPACITY = 1 << 36  # bytes of the device
UNIT = 512  # a pool takes multiples of it, in bytes


class Memory:
    """cupy.cuda.Memory: a block of the device's memory, until the object is dropped."""

    def __init__(self, size: int) -> None:
        if sum(block.size for block in taken) + size > CAPACITY:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        self.size = size
        taken.add(self)


taken: weakref.WeakSet[Memory] = weakref.WeakSet()  # the device's blocks that are not free


class MemoryPointer:
    """cupy.cuda.MemoryPointer."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem = mem


class PooledMemory:
    """cupy.cuda.memory.PooledMemory: a block that a pool has lent, which is free when this is dropped."""

    def __init__(self, block: Memory, free: list[Memory]) -> None:
        weakref.finalize(self, free.append, block)


# Of all pools that there have been: in CuPy 14 free blocks and their list hold each other, unseen by
# Python's collector, so that a pool that is dropped gives none of them back.
_free_lists: list[list[Memory]] = []


class MemoryPool:
    """cupy.cuda.MemoryPool, which lends whole blocks, where CuPy's lends parts of large ones."""

    is_default = False

    def __init__(self, allocator: Callable[[int], MemoryPointer] | None = None) -> None:
        self._allocator = allocator or (lambda size: MemoryPointer(Memory(size), 0))
        self._free: list[Memory] = []
        _free_lists.append(self._free)

    def malloc(self, size: int) -> MemoryPointer:
        """The smallest free block that is large enough, or a new one."""
        if size == 0:
            return MemoryPointer(Memory(0), 0)
        size = -(-size // UNIT) * UNIT
        fitting = [block for block in self._free if block.size >= size]
        block = min(fitting, key=lambda block: block.size) if fitting else self._new(size)
        if fitting:
            self._free.remove(block)
        return MemoryPointer(PooledMemory(block, self._free), 0)

    def _new(self, size: int) -> Memory:
        """A block from the device, which gets the free ones back if it has no more memory."""
        try:
            return self._allocator(size).mem
        except CUDARuntimeError:
            self.free_all_blocks()
        try:
            return self._allocator(size).mem
        except CUDARuntimeError:
            raise OutOfMemoryError(size, sum(block.size for block in taken)) from None

    def used_bytes(self) -> int:
        from tests.stand_in.array import living

        hosts = [array.host if array.host.base is None else array.host.base for array in living.values()]
        return sum({id(host): host.nbytes for host in hosts}.values())

    total_bytes = used_bytes

    def free_all_blocks(self, stream: Stream | None = None) -> None:
        self._free.clear()
