"""Rung 4, the idea: use a number that was loaded more than once.

Neighbouring output pixels need the same weights. Here four of them are computed together: a weight is
loaded once and multiplied with a number of each of the four. That is 1 load of a weight for 4
multiplications, where rung 3 has 4, and w is read from the slower caches a quarter as often.

What is still slow? The sums: each multiplication still loads one and stores one, so half of the
peak is the most, as on rung 3. Only numbers in *registers* are free, the 16 or 32 vectors that a
core can compute with. The 4 K sums, in the benchmark's layer 64 vectors of 8, do not fit there. At
one tap, the sums over c are a matrix product, and libraries of matrix products keep a few sums at a
time in registers: each is then loaded and stored once for a tap. But NumPy makes a product for each
row of output pixels, in that layer of 8 pixels only. So small a product costs more to begin than it
saves, and there the next rung is slower.
"""

from tinygen_kernels import Array, Pair
from tinygen_kernels.cpu.compiled import compiled


def convolve(x: Array, w: Array, stride: Pair, dilation: Pair, y: Array) -> None:
    last = y.shape[2] - 1
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(0, last + 1, 4):
                j1, j2, j3 = min(j + 1, last), min(j + 2, last), min(j + 3, last)
                # At the end of a row some of the four are the same pixel. The first one of these has its sums in
                # y. Those of the others go to `spare`, which nobody reads.
                sums, spare = y[n, i], y[n, i, 0].copy()
                s0, s1 = sums[j], sums[j1] if j1 > j else spare
                s2, s3 = sums[j2] if j2 > j1 else spare, sums[j3] if j3 > j2 else spare
                for a in range(w.shape[0]):
                    row = x[n, i * stride[0] + a * dilation[0]]
                    for b in range(w.shape[1]):
                        q = b * dilation[1]
                        for c in range(w.shape[2]):
                            p0, p1 = row[j * stride[1] + q, c], row[j1 * stride[1] + q, c]
                            p2, p3 = row[j2 * stride[1] + q, c], row[j3 * stride[1] + q, c]
                            weights = w[a, b, c]
                            for k in range(y.shape[3]):
                                weight = weights[k]
                                s0[k] += p0 * weight
                                s1[k] += p1 * weight
                                s2[k] += p2 * weight
                                s3[k] += p3 * weight


in_python, convolve = convolve, compiled(convolve)  # the benchmark counts what the first one reads and writes
