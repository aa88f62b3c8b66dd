# %% [markdown]
# # 03 Two roads, one sum
#
# A number may be used in two places, as x in x * x + 3 x. Then its gradient arrives by two roads. What
# is to be done with two gradients? This lesson answers that, and shows the bug that nearly everybody's
# first engine has.
#
# Let x be used in u = f(x) and in v = h(x), and L be computed from u and v. If x changes by a little
# s, then u changes by f'(x) s and v by h'(x) s, and L changes for both reasons at once:
#
#     (dL/du f'(x) + dL/dv h'(x)) s
#
# So dL/dx is a **sum: one term for each road**, and along a road the slopes are multiplied.

# %%
import numpy as np

import tinygen as tg
from tinygen.learn import check, predict


def found(overwriting):
    """dc/da for b = a + a; c = b + b, by hand: each + passes what arrives at it to both of its inputs."""
    at = {"c": 1.0, "b": 0.0, "a": 0.0}
    for y, x in (("c", "b"), ("c", "b"), ("b", "a"), ("b", "a")):
        at[x] = at[y] if overwriting else at[x] + at[y]
    return at["a"]


predict("b = a + a; c = b + b. What is dc/da?", lambda: found(overwriting=False))
predict("What does an engine find that keeps only the last gradient that arrives?", lambda: found(overwriting=True))


# %% [markdown]
# ## By hand
#
# Go from c back to a, along all roads. Here b is used twice in c, and a three times: twice in the
# first product, and once in the second.


# %%
def gradient(a, g):
    """dL/da for b = a * a; c = a * b + b, where g = dL/dc. All are numbers."""
    raise NotImplementedError


# %%
def by_tinygen(a):
    """The same, by tinygen's walk."""
    a = tg.tensor([a], requires_grad=True)
    b = a * a
    return tg.grad(a * b + b, a).item()


predict("What is it for a = 1, g = 1?", lambda: by_tinygen(1.0))


# %% [markdown]
# ## The bug that hides
#
# An engine keeps for each tensor the sum of what has arrived. It is tempting to write
# `sums[name] += g`. For arrays that changes the array which stands there. And which array is that?
# The first g that arrived, the very same object: nobody made a copy. A + passes **one** array to both
# of its inputs. So whoever adds to the array of one changes the gradient of the other.
#
# `s = s + g` makes a new array and changes no other.


# %%
def add_up(arrivals):
    """The sum of the gradients for each tensor: a dict from name to array.

    arrivals is a list of pairs (name, g), in the order in which they arrive. The arrays g have one
    shape for each name; one array may arrive at several names. All of them must stay as they are.
    """
    raise NotImplementedError


# %%
check("03", globals())


def shared():
    """What stands at q if the same array arrives at p and at q, and `+=` then adds 5 to p."""
    g = np.array([1.0])
    sums = {"p": g, "q": g}
    sums["p"] += 5
    return sums["q"].item()


predict("1 arrives at p and at q, in one array; then 5 arrives at p, and += adds it. What stands at q?", shared)
