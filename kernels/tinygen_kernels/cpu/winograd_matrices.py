"""The matrices of convolutions with fewer multiplications (Winograd 1980; Lavin & Gray 2015).

Two neighbouring outputs of a kernel of three taps read four inputs d:

    y[0] = d[0]*g[0] + d[1]*g[1] + d[2]*g[2]
    y[1] = d[1]*g[0] + d[2]*g[1] + d[3]*g[2]

That is six products, but four are enough. y[0] and y[1] share d[1] and d[2], so take their sum and
their difference as new inputs. With e = g[0] + g[2],

    m[1] = (d[1] + d[2]) * (e + g[1])/2  and  m[2] = (d[2] - d[1]) * (e - g[1])/2
    m[1] + m[2] = d[2]*e + d[1]*g[1]     and  m[1] - m[2] = d[1]*e + d[2]*g[1]

The first sum has d[2]*g[0], where y[0] has d[0]*g[0], and m[0] = (d[0] - d[2]) * g[0] mends that.
The second has d[1]*g[2], where y[1] has d[3]*g[2], and m[3] = (d[3] - d[1]) * g[2] mends that. So
y = A^T m and m = (G g) * (B^T d), element by element, with three small matrices:

>>> import numpy
>>> BT = numpy.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
>>> G = numpy.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
>>> AT = numpy.array([[1, 1, 1, 0], [0, 1, -1, 1]])
>>> d, g = numpy.array([1, 2, 3, 4]), numpy.array([5, 6, 7])
>>> AT @ ((G @ g) * (BT @ d)), numpy.correlate(d, g)
(array([38., 56.]), array([38, 56]))

In two dimensions d and g become matrices: a *patch* of 4x4 inputs and the 3x3 kernel give a *tile*
of 2x2 outputs. The transforms apply to the rows and to the columns. Sixteen products do for 36:

>>> d, g = numpy.arange(16).reshape(4, 4) ** 2, numpy.arange(9).reshape(3, 3)
>>> AT @ ((G @ g @ G.T) * (BT @ d @ BT.T)) @ AT.T
array([[2088., 2640.],
       [4728., 5568.]])
>>> [[int((d[i : i + 3, j : j + 3] * g).sum()) for j in (0, 1)] for i in (0, 1)]
[[2088, 2640], [4728, 5568]]

This is F(2x2, 3x3). In general, F(m x m, r x r) gives tiles of m x m for r x r taps, from
(m + r - 1)^2 products: F(4x4, 3x3) takes 36 of them in the place of 144. Where its matrices come
from (Toom 1963; Cook 1966): the product of a polynomial g with r coefficients and a polynomial u
with m has m + r - 1 coefficients. It is known from its values at as many points, and each value
takes one product, g(a) u(a). The value at the point "infinity" is the product of the leading
coefficients. Lagrange's formula then gives the coefficients:

    p(x) = sum over a of g(a) u(a) L_a(x) / N_a + g_last u_last product over a of (x - a)
    L_a(x) = product over b != a of (x - b)      N_a = L_a(a)

The sum of d[k] times the coefficient p[k] is linear in u, and the factor of u[i] in it is
sum over j of d[i + j] g[j] = y[i]. So the rows of B^T are the coefficients of L_a, those of G are
(1, a, a^2, ...) / N_a, and the columns of A^T are (1, a, a^2, ...). For infinity these are the
product of all (x - a), and a 1 at the end of otherwise 0. Where N_a is negative, the rows of G and
B^T change their sign. The points 0, 1, -1 and infinity give the matrices above:

>>> at_points(2, 3, 0, 1, -1).A_T
((1.0, 1.0, 1.0, 0.0), (0.0, 1.0, -1.0, 1.0))

How exact it is. `float32` rounds each result by at most e = 2^-24 of its size. To first order in e,
the error of an output is at most

    s^2 (C + 4 n) e * sum over C of (largest |input| in the patch) * (largest |weight|)

where C is the number of input channels (with stride 2, four times that: see `winograd.py`), n = m +
r - 1 is the number of points, and s is the largest number in |A^T| ((|G| 1) * (|B^T| 1)), with 1
for a column of ones: 4 for F(2x2, 2x2), 8 for F(2x2, 3x3), 13 for F(4x4, 2x2) and 22 for F(4x4,
3x3). The direct convolution has r^2 in the place of s^2, but r^2 C in the place of C + 4 n, since
it adds all products one after another. We measured errors (root mean square) of 0.4 to 1.7 times
those of the direct one with tiles of 2x2, and of 1.1 to 2.9 times with tiles of 4x4, or up to 5
times in weight gradients of few tiles, where sums of products are short. The points matter: with 0,
1, -1, 2 and -2, which are the usual ones, they would be half as large again. `float64`, in which
gradients are checked, takes the direct convolution. A NaN or an infinity in a patch can reach
outputs of the tile that do not depend on it.
"""

from typing import NamedTuple

import numpy

Matrix = tuple[tuple[float, ...], ...]


class F(NamedTuple):
    """F(tile x tile, taps x taps): y = A^T [(G g G^T) * (B^T d B)] A."""

    tile: int  # numbers in a row of y
    taps: int  # in a row of g
    size: int  # in a row of d
    B_T: Matrix
    G: Matrix
    A_T: Matrix


def at_points(tile: int, taps: int, *points: float) -> F:
    """F with these points and infinity, as derived above."""
    size = tile + taps - 1
    B_T, G, A_T = numpy.zeros((size, size)), numpy.zeros((size, taps)), numpy.zeros((tile, size))
    for j, a in enumerate(points):
        others = numpy.array([b for b in points if b != a])
        divisor = numpy.prod(a - others)
        B_T[j, :-1] = numpy.copysign(1, divisor) * numpy.poly(others)[::-1]  # NumPy begins with the highest power
        G[j] = a ** numpy.arange(taps) / abs(divisor)
        A_T[:, j] = a ** numpy.arange(tile)
    B_T[-1] = numpy.poly(points)[::-1]
    G[-1, -1] = A_T[-1, -1] = 1
    return F(tile, taps, size, *(tuple(map(tuple, matrix.tolist())) for matrix in (B_T, G, A_T)))


F_2_2, F_2_3 = at_points(2, 2, 0, 1), at_points(2, 3, 0, 1, -1)
# Of the points that are 0 or a power of 2 with either sign, these have the smallest rounding errors.
F_4_2, F_4_3 = at_points(4, 2, 0, -1, 0.5, 2), at_points(4, 3, 0, 0.5, -0.5, 2, -2)
ALGORITHMS = F_2_2, F_2_3, F_4_2, F_4_3
