"""Rung 3, the idea: let the innermost loop run along memory.

The sums may be done in any order. Here the loop over k is the innermost one: one number of the image
times K weights goes to K sums. Weights and sums are neighbours in memory, so every cache line is used
up. The K sums do not wait for each other, so the compiler does 4, 8 or 16 of them with one vector
instruction.

What is still slow? For one multiplication and addition, a weight and a sum are loaded and a sum is
stored. A core can calculate twice as much as it can move that way.
"""

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.parallel import compiled


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


in_python, convolve = convolve, compiled(convolve)
