# %% [markdown]
# # 25 Two machines, one step
#
# A batch is too much for one machine, so two share it: each has all weights, and half of the rows.
# What must they tell each other to make the step that one machine would make with the whole batch?
# You write it, let two processes train with it, and see why each of a thousand machines sends hardly
# more than each of four. Large models are trained like this (`tinygen run -n 2`, too). Run this file
# in a terminal, not cell by cell, and type your answers there: the two processes read it, too.
#
# Let machine r have n_r of the N rows, and let its loss L_r be the mean over its rows. The loss of the
# whole batch is the sum of all rows' losses, divided by N:
#
#     L = (n_0 L_0 + n_1 L_1 + ...) / N,    so    dL/dw = (n_0 dL_0/dw + n_1 dL_1/dw + ...) / N
#
# No row has to be sent. All that a machine must learn from the others is in their gradients.

# %%
import functools

import numpy as np

from tinygen.learn import check, predict
from tinygen.learn.ring import in_processes, simulated

predict("Three rows on one machine have the gradient 1, one on another has 5. What is the gradient of all four?", lambda: (3 * 1 + 5) / 4)


# %%
def mean_of(parts):
    """The mean over the rows of all machines. parts stays as it is.

    parts is a list of (n, mean) of each machine: the number of its rows, and their mean, an array.
    """
    raise NotImplementedError


# %% [markdown]
# ## What no mean of gradients mends
#
# That holds if the loss of a row depends on this row alone. Batch norm divides by the deviation of
# the *batch*. If each machine takes the variance of its own rows, then they train another model than
# one machine would. The rows are not there, so go from each machine's own mean to that of all:
# x - mean = (x - own mean) + (own mean - mean). Squared and summed over its rows, the mixed term is 0.

# %%
predict("A number is 0 and 0 on one machine, and 2 and 2 on the other. What is its variance on the first?", lambda: np.var([0, 0]).item())
predict("What is its variance on all four rows?", lambda: np.var([0, 0, 2, 2]).item())


# %%
def variance_of(parts):
    """The variance over the rows of all machines: the mean of (x - mean)^2, where the mean is that of all rows, too.

    parts is a list of triples (n, mean, variance), one for each machine; it stays as it is.
    """
    raise NotImplementedError


# %% [markdown]
# ## The ring
#
# So the machines need sums over all: x_0 + x_1 + ..., on each of them. Let there be `size` machines in
# a ring. Machine `rank` sends to machine rank + 1 only, and the last one to machine 0. Here a machine is
# a generator: `yield` hands over what it sends, and waits for what arrives. It returns its result.
#
#     received = yield sent    # sends an array; receives what machine rank - 1 sends in the same turn
#
# A simple way: in each turn send on what has just arrived. After size - 1 turns all have seen everything.


# %%
def pass_on(x, rank, size):
    total = x
    for _ in range(size - 1):
        x = yield x
        total = total + x
    return total


def sent(program, size):
    """How many numbers each machine sends for arrays of 1,000 numbers."""
    return simulated(program, [np.ones(1000)] * size)[1][0]


predict("4 machines have 1,000 numbers each. How many numbers does each of them send with pass_on?", lambda: sent(pass_on, 4))

# %% [markdown]
# With a thousand machines it would be nearly a million numbers from each. But let them cut x into
# `size` pieces. At first machine r sends piece r. In the next turn it sends the piece that has just
# arrived, *after it has added its own numbers for that piece*. So a piece collects a term on each
# machine that it comes to, and after size - 1 turns it is complete. Then each machine has one complete
# piece. These go round once more, unchanged, and each machine stores them in their places.


# %%
def all_reduce(x, rank, size):
    """The sum of the arrays x of all machines, in the shape of x; x itself stays as it is.

    The first axis of x is cut: len(x) is a multiple of size. Each of 2 (size - 1) turns sends one piece.
    """
    raise NotImplementedError
    yield  # received = yield sent, where you need it


# %%
check("25", globals())
predict("4 machines, 1,000 numbers each. How many does each send with yours?", lambda: sent(all_reduce, 4))
predict("And with 100 machines?", lambda: sent(all_reduce, 100))
# 2 (size - 1) turns of len(x) / size numbers: that is always less than 2 len(x).

# %% [markdown]
# ## Two processes
#
# Now in earnest. Each process has all weights w, and its rows of 1,001: 500 or 501. The loss of a
# row is (x w - y)^2. `run` sends what your generator yields through a pipe to the other process.

# %%
rng = np.random.default_rng(0)
X = rng.normal(size=(1001, 4))
Y = X @ [[1.0], [-2.0], [3.0], [0.5]] + rng.normal(size=(1001, 1))


def trained(rank, size, run):
    """The weights after 5 steps."""
    w, rows = np.zeros((4, 1)), slice(len(X) * rank // size, len(X) * (rank + 1) // size)
    x, y = X[rows], Y[rows]
    for _ in range(5):
        gradient = 2 * x.T @ (x @ w - y) / len(x)
        w = w - 0.1 * run(all_reduce(len(x) / len(X) * gradient, rank, size))
    return w


@functools.cache
def weights(size):
    return in_processes(trained, size)


def equal(a, b):
    print("    largest difference:", abs(a - b).max())
    return "yes" if (a == b).all() else "no"


predict("Will the two processes have the same weights, to the last bit? (yes or no)", lambda: equal(*weights(2)))
predict("And will they be those of one process, to the last bit? (yes or no)", lambda: equal(weights(2)[0], *weights(1)))

# %% [markdown]
# Sums in another order are rounded in another way. Why then do the two agree in each bit? Each number
# is added up on one machine, and then sent, so all have the same copy. If each of three machines
# added up for itself, in an order of its own, their weights would drift apart, and nobody would
# notice. tinygen/training/distributed.py says the rest.
