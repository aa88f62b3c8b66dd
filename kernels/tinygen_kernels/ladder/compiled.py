"""Rung 2, the idea: a compiler.

The loops are those of rung 1, word for word. Numba looks up the types once and translates the loops
into machine code, in which a multiplication and an addition are one instruction each.

What is still slow? The innermost loop runs over c. Memory moves in *cache lines* of 64 bytes, which
are 16 numbers of float32. Neighbouring c of w lie K numbers apart, so every weight comes from
another line. The other 15 numbers of the line belong to the next k; when their turn comes, the line
has left the fastest of the core's caches. And the sum is one long chain: an addition takes 3 or 4
cycles of the core's clock, and the next one must wait for it. In another order the sum would be
rounded differently, so the compiler may not change the order. Nor can it use the instructions that
add several numbers at once: those of AVX2 add 8, and two of them start in each cycle.
"""

from tinygen_kernels.cpu.compiled import compiled
from tinygen_kernels.ladder import loops

convolve = compiled(loops.convolve)
