"""Rung 3, the idea: let the innermost loop run along memory.

The loops may change places, for each sum keeps its terms and their order. Here the loop over k is the
innermost one: one number of the image times K weights goes to K sums. Weights and sums are neighbours
in memory, so every cache line is used up. The K sums do not wait for each other, so the compiler does
4, 8 or 16 of them with one *vector instruction*, which does the same in every *lane* of a vector.

What is still slow? A *multiply-add*, sum += pixel * weight, of vectors takes 2 loads, of weights
and of sums, and 1 store. A core such as a Zen 3 starts 2 multiply-adds in a cycle of its clock, but
only 2 such loads and 1 such store. So half of its *peak*, what it could calculate without loads and
stores, is the most. It is less, because every output pixel reads all of w: 512 KiB in the layer of
the benchmark, where the fastest cache has 32 KiB and the next one delivers one vector in a cycle,
not two. Neighbouring output pixels read the same weights.
"""

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.compiled import compiled


def convolve(x: Array, w: Array, stride: Pair, dilation: Pair, y: Array) -> None:
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                sums = y[n, i, j]
                for a in range(w.shape[0]):
                    for b in range(w.shape[1]):
                        for c in range(w.shape[2]):
                            pixel = x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c]
                            weights = w[a, b, c]
                            for k in range(y.shape[3]):
                                sums[k] += pixel * weights[k]


in_python, convolve = convolve, compiled(convolve)  # the benchmark counts what the first one reads and writes
