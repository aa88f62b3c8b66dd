# %% [markdown]
# # 16 The input that shows the bug
#
# A kernel passes its test. Is it right, or did the test not look? There is a way to know: plant
# bugs, one at a time, and count how many the test sees. tinygen does that to its own GPU kernels,
# in tests/cuda/test_mutations.py. Here you do it to the kernel of lesson 15. Twelve small changes:
# ten of them are bugs, and one well chosen input shows them all. Two do no harm, and no input shows
# them.
#
# Here is the kernel, as a text. Each change replaces a part of it, wherever that part stands.

# %%
import numpy as np

from tinygen.learn import check, predict, show
from tinygen.learn.threads import Memory, launch

KERNEL = """
def convolve_tiled(block, t, threads, x, w, y, tile):
    first, i, total = block * threads, block * threads + t, 0.0
    for c in range(w.shape[0]):
        for p in range(t, threads + w.shape[1] - 1, threads):
            if first + p < x.shape[1]:
                tile[p] = x[c, first + p]
        yield  # all is there
        if i < y.shape[0]:
            for a in range(w.shape[1]):
                total += w[c, a] * tile[t + a]
        yield  # all is read
    if i < y.shape[0]:
        y[i] = total
"""

CHANGES = {
    1: ("* tile[t + a]", "* tile[t + w.shape[1] - 1 - a]"),
    2: ("if first + p < x.shape[1]:", "if True:"),
    3: ("    if i < y.shape[0]:\n        y[i]", "    if i <= y.shape[0]:\n        y[i]"),
    4: ("w[c, a]", "w[0, a]"),
    5: ("        if i < y.shape[0]:\n            for", "        if True:\n            for"),
    6: ("yield  # all is there", ""),
    7: ("yield  # all is read", ""),
    8: ("yield  # all is read", "if c + 1 < w.shape[0]: yield"),
    9: ("threads + w.shape[1] - 1, threads)", "min(threads + w.shape[1] - 1, 2 * threads), threads)"),
    10: ("x[c, first + p]", "x[c, p]"),
    11: ("for p in", "total = 0.0\n        for p in"),
    12: ("block * threads", "block * 4"),
}


def kernel(number=None):
    """The kernel with a change, or without."""
    names = {}
    exec(KERNEL.replace(*CHANGES[number]) if number else KERNEL, names)
    return names["convolve_tiled"]


def run(kernel, x, w, threads):
    """The y that a kernel writes, and the faults: races, places outside an array, waiting for ever."""
    outputs = len(x[0]) - len(w[0]) + 1
    memories = Memory("x", x), Memory("w", w), Memory("y", np.zeros(outputs))
    faults = launch(kernel, -(-outputs // threads), threads, *memories, shared=threads + len(w[0]) - 1)
    return memories[2].numbers, faults


def seen(number, x, w, threads):
    """Whether an input shows the change: there is a fault, or y differs from the right kernel's."""
    y, faults = run(kernel(number), x, w, threads)
    return bool(faults) or not np.allclose(y, run(kernel(), x, w, threads)[0])


# %% [markdown]
# ## The first test that comes to mind
#
# One channel of eight ones, a kernel of three ones, blocks of 4 threads.

# %%
ones = np.ones((1, 8)), np.ones((1, 3)), 4
predict("How many of the ten bugs does it show?", lambda: sum(seen(n, *ones) for n in CHANGES))


def table(x, w, threads):
    """A line for each change: does this input show it?"""
    short = {number: " -> ".join(" ".join(text.split()) or "(nothing)" for text in change) for number, change in CHANGES.items()}
    return "\n".join(f"    {number:2}  {'seen' if seen(number, x, w, threads) else '    '}  {short[number]}" for number in CHANGES)


show("What the ones show:", lambda: table(*ones))

# %% [markdown]
# Why does it not see the others? With ones a sum is the same, whichever numbers were added. One
# channel does not show that a second one would be wrong. For each change, ask what must be
# **different** for its line to matter: two channels, two blocks, both ends of the kernel, the sizes
# of block and kernel.
#
# ## Two that nobody sees
#
# Two of the twelve do no harm: whatever x, w and threads are (no size is 0), y is right and no
# fault is told. Find them by thinking; or by a loop over many random inputs, which is called
# fuzzing.


# %%
def harmless():
    """The numbers of the two changes that no input shows, as a list, the smaller one first."""
    raise NotImplementedError


# %% [markdown]
# ## One for all
#
# x has the shape (channels, length), w (channels, size of the kernel), as lists of lists or arrays.


# %%
def one_input():
    """A tuple (x, w, threads) that shows all ten bugs."""
    raise NotImplementedError


# %%
check("16", globals())
show("What your input shows:", lambda: table(*one_input()))

# %% [markdown]
# Is it enough to draw the numbers at random? tinygen's own tests do that, but in odd shapes: sizes
# that are not multiples of each other, and no two of them equal. What if the numbers are random,
# and the shapes are nice?

# %%
rng = np.random.default_rng(16)
nice = rng.normal(size=(2, 10)), rng.normal(size=(2, 3)), 4
predict(
    "Random numbers, 2 channels of 10, kernels of 3, 4 threads. How many of the ten bugs are not seen?",
    lambda: 10 - sum(seen(n, *nice) for n in CHANGES),
)
