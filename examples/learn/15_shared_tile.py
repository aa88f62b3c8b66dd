# %% [markdown]
# # 15 A tile that a block shares
#
# A GPU runs one function, the kernel, in many thousand threads at once. In the time that it takes
# to read one number from its large memory, a thread could do some tens of multiplications. So
# threads read together what several of them need. Here you write that, for a GPU simulated in
# Python: it tells mistakes that a real one passes over in silence, and you see why they can stay
# hidden for long.
#
# Threads come in **blocks** of equal size. A kernel is told which thread it is:
#
#     block      the number of its block
#     t          its number in the block, 0 <= t < threads
#     threads    how many threads a block has
#
# Here `launch` runs all of them. An array that threads use is a `Memory`: read and written one
# number at a time, as x[3] or x[0, 3]. It counts how often, and notes what is read or written
# outside of it, and what one thread reads while another may write it. To read an old number of the
# tile is not noted. `launch` returns a list of these mistakes, and the check shows you the first one.

# %%
import numpy as np

from tinygen.learn import check, predict
from tinygen.learn.threads import Memory, launch


def reverse_blocks(block, t, threads, x, y):
    """An example: each block copies its part of x to y, the last number first."""
    y[block * threads + t] = x[block * threads + threads - 1 - t]


def reversed_blocks(blocks, threads):
    x, y = Memory("x", np.arange(blocks * threads)), Memory("y", np.zeros(blocks * threads))
    launch(reverse_blocks, blocks, threads, x, y)
    return y.numbers


predict("3 blocks of 4 threads, x = 0, 1, 2, ... What is y[5]?", lambda: reversed_blocks(3, 4)[5].item())


# %% [markdown]
# ## One thread, one output
#
# Lesson 08's convolution on one axis, now with channels c:
#
#     y[i] = sum over c and a of  w[c, a] x[c, i + a]
#
# x has the shape (C, L) and w (C, K), so y has L - K + 1 numbers. Each thread computes one of them.
# The blocks are as many as needed, and the last one may have more threads than there are outputs
# left. Those must do nothing: the **guard**.


# %%
def idle(outputs, threads):
    """Start blocks until each output has a thread, and count the threads that are too many."""
    started = 0
    while started < outputs:
        started += threads
    return started - outputs


predict("10 outputs, blocks of 4 threads. How many threads have nothing to do?", lambda: idle(10, 4))


# %%
def convolve(block, t, threads, x, w, y):
    """Write the y of this thread, if there is one. x.shape, w.shape and y.shape are as in NumPy."""
    raise NotImplementedError


# %% [markdown]
# ## Neighbours read the same
#
# Outputs i and i + 1 need nearly the same numbers of x. A block with `threads` outputs needs only
# threads + K - 1 numbers of each channel. A block has a small, fast memory that its threads share,
# and that other blocks do not see: the **tile**, the kernel's last argument. At first it holds
# whatever was left there. Each thread copies its share of x to the tile, and then reads what the
# others copied, if they have done so. Nobody knows who comes first. What if nobody waits?


# %%
def lucky(threads):
    """Thread t writes tile[t], then reads tile[threads - 1 - t]: how many find the right number there?"""
    tile, right = [None] * threads, 0
    for t in range(threads):
        tile[t] = t
        right += tile[threads - 1 - t] == threads - 1 - t
    return right


predict("8 threads, thread 0 is first. How many find what they look for?", lambda: lucky(8))


# %% [markdown]
# Half of it is right by luck. On a GPU it may be more: 32 threads mostly go in step there, and all
# write before any reads. So a program without waiting may pass its test with 32 threads, and fail
# with 64.
#
# A **barrier** is a line at which all threads of the block wait until the last one has come. Here
# it is the statement `yield`, in CUDA `syncthreads`:


# %%
def reverse_in_tile(block, t, threads, x, y, tile):
    """The example above, by a tile of `threads` numbers."""
    tile[t] = x[block * threads + t]
    yield
    y[block * threads + t] = tile[threads - 1 - t]


# %% [markdown]
# **All** threads of a block must come to each barrier. A thread that has returned does not come. A
# thread's own variables keep their values while it waits.
#
# Now the convolution. The tile has threads + K - 1 numbers, enough for one channel. So the block
# fills it with channel 0, computes with that, fills it with channel 1, and so on; w stays where it
# is. Four questions to think about: K may be larger than `threads`, so how many numbers does a
# thread copy? What if they lie behind the end of x? What do threads without an output do? And when
# must all wait?


# %%
def convolve_tiled(block, t, threads, x, w, y, tile):
    """As convolve, but a block reads each number of x that it needs once, and shares that work equally."""
    raise NotImplementedError
    yield  # a barrier; put as many as you need where you need them


# %%
check("15", globals())


def reads(kernel, shared):
    """How many numbers of x are read for 64 outputs, by blocks of 16 threads, w of 9 numbers."""
    x, w, y = Memory("x", np.ones((1, 72))), Memory("w", np.ones((1, 9))), Memory("y", np.zeros(64))
    launch(kernel, 4, 16, x, w, y, shared=shared)
    return x.reads.total()


predict("64 outputs, a kernel of 9 numbers. How often does convolve read from x?", lambda: reads(convolve, 0))
predict("And convolve_tiled, with 4 blocks of 16 threads?", lambda: reads(convolve_tiled, 16 + 9 - 1))
