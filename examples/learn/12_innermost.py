# %% [markdown]
# # 12 The innermost loop
#
# So far it did not matter how long a convolution takes. From here on it does. Seven loops are all of a
# convolution. Compiled, that is, translated for the processor before they run, they are ten times as
# fast in one order as in another, with the same products. You find the reason, write the fast order,
# and measure it on your machine.
#
# Here is the convolution of lesson 09, one product at a time. The border of zeros is in x already, so
# no pixel lies outside. The result is added to what stands in y.

# %%
import numpy as np

from tinygen.bench.counted import Traffic, counted
from tinygen.learn import check, predict


def loops(x, w, stride, dilation, y):
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for k in range(y.shape[3]):
                    for a in range(w.shape[0]):
                        for b in range(w.shape[1]):
                            for c in range(w.shape[2]):
                                p = i * stride[0] + a * dilation[0]
                                q = j * stride[1] + b * dilation[1]
                                y[n, i, j, k] += x[n, p, q, c] * w[a, b, c, k]


# %% [markdown]
# ## Counting
#
# To multiply costs next to nothing. What costs is to bring the numbers from memory to the processor, and
# the sums back. `counted` makes arrays that count how often a number is read or written; += is one read
# and one write.


# %%
def moved(convolve):
    """How many numbers are read and written for each product, for 3 channels that become 16."""
    traffic = Traffic()
    x, w, y = (counted(np.ones(shape), traffic) for shape in [(1, 4, 4, 3), (2, 2, 3, 16), (1, 3, 3, 16)])
    convolve(x, w, (1, 1), (1, 1), y)
    products = 9 * 4 * 3 * 16
    return round((traffic.reads + traffic.writes) / products, 2)


predict("How many numbers does `loops` read and write for each product? (+= is one read and one write)", lambda: moved(loops))

# %% [markdown]
# ## Lines
#
# Memory does not deliver single numbers. It delivers **lines** of 64 bytes. tinygen's numbers have 4
# bytes (float32), so a line has 16 of them, all neighbours. An array's last axis lies in one piece:
# w[a, b, c, k] and w[a, b, c, k + 1] are neighbours; w[a, b, c + 1, k] lies K numbers further on.


# %%
def lines(count, step):
    """How many lines of 16 numbers are touched by reading `count` numbers that lie `step` apart.

    The first one stands at the beginning of a line. Both are whole numbers of at least 1.
    """
    raise NotImplementedError


predict("loops, its innermost loop over c: with C = 64 and K = 128 it reads 64 weights. From how many lines?", lambda: lines(64, 128))
predict("64 weights that are neighbours: from how many lines?", lambda: lines(64, 1))

# %% [markdown]
# ## Another order
#
# The loops may change places. Let **k be innermost**, and every sum keeps its terms and their order. One
# number of x is then multiplied with K weights, which are neighbours, and goes to K sums, which are
# neighbours. A line that was delivered is used up before the next. And a processor has instructions that
# multiply and add 8 neighbours at once; a compiler uses them where it sees such a loop.


# %%
def convolve(x, w, stride, dilation, y):
    """Add the convolution of x (N, H, W, C) with w (kh, kw, C, K) to y (N, H', W', K), as loops does.

    The innermost loop is over k. What does not depend on k is read before that loop. It will be
    compiled: use loops, numbers and arrays, as loops does, and nothing else.
    """
    raise NotImplementedError


# %%
check("12", globals())
predict("How many numbers does your convolve read and write for each product? (two decimals)", lambda: moved(convolve))

# %% [markdown]
# ## Fewer is not faster
#
# Who counts numbers alone has another idea: leave the order of `loops`, and keep the sum in a variable.


# %%
def summed(x, w, stride, dilation, y):
    for n, i, j, k in np.ndindex(y.shape):
        total = y[n, i, j, k]
        for a, b, c in np.ndindex(w.shape[:3]):
            total += x[n, i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], c] * w[a, b, c, k]
        y[n, i, j, k] = total


predict("How many numbers does `summed` read and write for each product? (two decimals)", lambda: moved(summed))

# %% [markdown]
# It moves fewer than yours, and compiled it is far slower. Each weight comes from another line. Each
# addition waits for the one before it, since there is one sum only, and 8 at once cannot be had.
#
# Now measure. Your loops are compiled and put on a ladder, from Python to tinygen's compiled function:
#
#     python -m tinygen.bench --with learn/12_innermost.py
