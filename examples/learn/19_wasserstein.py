# %% [markdown]
# # 19 How far must the sand be carried?
#
# A generator's numbers are one pile of sand, the real ones another. A discriminator that tells them
# apart without mistakes says the same of piles that lie a hand apart and of piles that lie a mile
# apart: "different". The **Wasserstein distance** says how far. It is the least work that makes one
# pile of the other, mass times way. On a line you can compute it by sorting, and you meet the
# critic of a Wasserstein GAN, which does the same for images, where nothing can be sorted.
#
# x and y are n numbers each: n grains of sand, of the mass 1/n. To carry the grains at x to the
# places y, pair each x with one y. The work is the mean of |x - y| over the pairs. W is the work of
# the best pairing.

# %%
import itertools

import numpy as np

from tinygen.learn import check, predict


def works(x, y):
    """The work of each pairing, all n! of them; the first pairs x with y as they stand."""
    return np.array([abs(x - np.array(order)).mean() for order in itertools.permutations(y)])


x, y = np.array([0.0, 1.0, 3.0, 4.0, 7.0]), np.array([1.0, 2.0, 2.5, 6.0, 9.0])  # both are sorted
predict(
    "Of the 120 pairings of x and y, how many are cheaper than first with first, second with second, ...?",
    lambda: int((works(x, y) < works(x, y)[0] - 1e-9).sum()),
)
predict(
    "All x lie to the left of all y. How many of the 120 pairings are the cheapest?",
    lambda: int(np.isclose(works(x, y + 10), works(x, y + 10).min()).sum()),
)

# %% [markdown]
# On a line, two ways that cross can exchange their ends, and no work is added. Do that until none
# cross: then the leftmost x is with the leftmost y, the next with the next, and so on.


# %%
def wasserstein(x, y):
    """W of two arrays of n numbers each, in any order."""
    raise NotImplementedError


# %% [markdown]
# ## Downhill
#
# If W is a loss, each x needs a slope. Move one x a little, so that nobody is overtaken: the pairs
# stay, and only the way of this x changes, one to one.


# %%
def gradient(x, y):
    """dW/dx for each x, in the order of x. No x is at the place of its y. (np.argsort; np.sign)"""
    raise NotImplementedError


# %% [markdown]
# ## The same by shares
#
# Stand at t, and let F(t) be the share of the grains of x at t or to the left of it, G(t) that of
# y. If F is larger by 0.3, then 0.3 of the sand must be carried over your head to the right. So the
# work is the **area between F and G**. Both are constant between neighbouring places of grains.
# Here x and y may have different numbers of grains.


# %%
def area(x, y):
    """The area between the shares F and G, for arrays of any lengths."""
    raise NotImplementedError


# %%
check("19", globals())


def travel(count=50, rate=0.1):
    """Draw x in ten lines of 60 characters on its way down W to two piles, and return W at the end."""
    rng = np.random.default_rng(19)
    x, y = rng.normal(size=400), np.concatenate([rng.normal(-3, 0.5, 200), rng.normal(3, 0.5, 200)])
    for step in range(count):
        if step % 5 == 0:
            heights = np.histogram(x, 60, (-5, 5))[0]
            print("    " + "".join(" .:-=+*#%@"[min(9, (h + 3) // 4)] for h in heights))
        x = x - rate * len(x) * gradient(x, y)
    return round(wasserstein(x, y), 2)


predict(
    "One pile in the middle, the goal is two piles at the sides. After 50 steps of 0.1, what is W? (within 0.05)", travel, tolerance=1.0
)

# %% [markdown]
# ## The critic
#
# Take a function f, a critic, and compare its means: gap = mean f(x) - mean f(y). At each t, the
# slope f'(t) counts for what is carried over t, with a sign: the gap is minus the area of f' (F -
# G). If no slope of f is beyond 1 and -1, then
#
#     gap <= W,    and gap = W for the f whose slope is 1 where F < G, and -1 where F > G
#
# So W is the **largest gap of a critic whose slope is at most 1**. Nothing is sorted in that
# sentence. A network looks for this f among images, and is kept from being steep: that is a
# Wasserstein GAN (examples/wgan.py; Arjovsky, Chintala and Bottou, 2017).


# %%
def gap(f, x, y):
    return float(f(x).mean() - f(y).mean())


middle, sides = np.array([0.0, 0.0]), np.array([-1.0, 1.0])
predict("x = (0, 0), y = (-1, 1). Which gap has f(t) = t?", lambda: gap(lambda t: t, middle, sides))
predict("And f(t) = -|t|?", lambda: gap(lambda t: -abs(t), middle, sides))
predict("And f(t) = -10 |t|, which nobody keeps from being steep?", lambda: gap(lambda t: -10 * abs(t), middle, sides))
