"""Margins around the arrays of the CPU's kernels, which show a write outside of an array."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import pytest
from tinygen_kernels.cpu import memory

MARGIN, FILL, LINE = 512, 0xA5, 64


class Lender:
    """Lends memory as `memory.Pool` does, from the middle of blocks of its own."""

    def __init__(self) -> None:
        self.blocks: list[tuple[numpy.ndarray, int, int]] = []  # and where the array in it begins and ends

    def lend(self, size: int) -> numpy.ndarray:
        block = numpy.full(size + 2 * MARGIN + LINE, FILL, numpy.uint8)
        # A byte behind the start of a line, so that `empty` begins at the next line and leaves one
        # byte at the end.
        start = MARGIN + (1 - block.ctypes.data - MARGIN) % LINE
        self.blocks.append((block, start + LINE - 1, start + size - 1))
        return block[start : start + size]


@contextmanager
def margins() -> Iterator[None]:
    """Raises AssertionError if something in the block writes outside of an array of `memory.empty`."""
    lender = Lender()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_KEEPS": True, "_LARGE": 0, "_pool": lender}.items():
            patch.setattr(memory, name, value)
        yield
    for block, start, end in lender.blocks:
        changed = numpy.count_nonzero(block[:start] != FILL) + numpy.count_nonzero(block[end:] != FILL)
        assert not changed, f"{changed} bytes around an array of {end - start} bytes are overwritten"
