# %% [markdown]
# # 13 Four pixels share a weight
#
# Your loops of lesson 12 read along memory, and compiled they are fast. The processor is still idle
# most of the time: it could multiply much more than it can move. There are two ways out of that: move
# faster, which you cannot, or use a number more often while you have it. Here one weight, read once,
# serves four pixels.
#
# ## What one pixel costs
#
# Look at one channel c of one tap (a, b), for one output pixel. Its number of x is read once, and K
# weights, and each of the K sums is read and written. That makes K products.
#
# The pixel to the right needs **the same K weights**. So take several neighbouring output pixels
# together: read a weight, multiply it with a number of each, and go on to the next weight.

# %%
import numpy as np

from tinygen.bench.counted import Traffic, counted
from tinygen.learn import check, predict


def cost(pixels, outputs):
    """How many numbers are read and written for each product.

    `pixels` output pixels share each weight, and each has `outputs` (K) channels. One number of x, read
    before the loop over k, serves all channels of its pixel.
    """
    raise NotImplementedError


# %% [markdown]
# ## The loop
#
# A row of output pixels is taken four at a time: j, j + 1, j + 2, j + 3. Before the loop over k, the four
# numbers of x are read into four variables. In it, each weight is read once, and used four times.
#
# What if the row has 7 pixels? Take as many fours as there are, and the rest one by one, as in lesson
# 12. It is tempting to let a missing pixel add 0 to the last one instead. That is right, and slow: where
# two of the four rows of sums may be the same, a compiler does not dare to do 8 numbers at once.


# %%
def convolve(x, w, stride, dilation, y):
    """Add the convolution of x (N, H, W, C) with w (kh, kw, C, K) to y (N, H', W', K), as in lesson 12:

    y[n, i, j, k] += x[n, p, q, c] * w[a, b, c, k], p = i stride + a dilation, q = j stride + b dilation

    Four output pixels of a row share each weight that is read. The innermost loop is over k.
    """
    raise NotImplementedError


# %%
check("13", globals())


def told(pixels, outputs):
    return round(cost(pixels, outputs), 2)


predict("One pixel by itself, 16 output channels: how many numbers for each product? (such as 1.25)", lambda: told(1, 16))
predict("Four pixels, 16 output channels: how many?", lambda: told(4, 16))
predict("A thousand pixels, a thousand channels: how many? (to one decimal place)", lambda: told(1000, 1000))


def moved():
    """How many numbers convolve reads and writes for each product, for 3 channels that become 16."""
    traffic = Traffic()
    x, w, y = (counted(np.ones(shape), traffic) for shape in [(1, 5, 9, 3), (2, 2, 3, 16), (1, 4, 8, 16)])
    convolve(x, w, (1, 1), (1, 1), y)
    products = 32 * 4 * 3 * 16
    return round((traffic.reads + traffic.writes) / products, 2)


predict("Your convolve, counted: how many numbers for each product, with 16 output channels?", moved)

# %% [markdown]
# ## The floor
#
# Measure it, beside your loops of lesson 12:
#
#     python -m tinygen.bench --with learn/12_innermost.py
#     python -m tinygen.bench --with learn/13_shared_weights.py
#
# It is faster, but far from four times. However many pixels share a weight, something stays: each product
# reads its sum, and writes it back. That is the floor that you predicted above. To get below it, the
# sums must stay where they are, in the processor. That is the next lesson.
