"""Rung 2, the idea: a compiler.

The loops are those of rung 1, word for word. Numba looks up the types once and translates the loops
into machine code, in which a multiplication and an addition are one instruction each.

What is still slow? The innermost loop runs over c. Neighbouring c of w lie K numbers apart in memory,
so every weight comes from another cache line, of which 15 of 16 numbers are not used. And the sum is
one long chain: an addition must wait for the one before it.
"""

from tinygen_kernels.cpu.parallel import compiled
from tinygen_kernels.ladder import loops

convolve = compiled(loops.convolve)
