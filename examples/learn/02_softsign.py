# %% [markdown]
# # 02 A function that knows its slope
#
# Lesson 01 measured slopes. An engine such as tinygen does not measure: each function knows its own
# slope, and the engine only combines them. Here you write such a function, softsign, the way every
# function of tinygen is written: a `forward` and a `backward`. Then `gradcheck`, which measures as
# you did, judges it.
#
# ## What backward is given, and what it returns
#
# Somewhere behind y = f(x), one number is computed, the loss L. A program goes back from L
# (lesson 04: the walk) and brings to f
#
#     g = dL/dy, how much L changes for each unit of y.
#
# If x changes a little, by h, then y changes by f'(x) h, and so L changes by g f'(x) h. That is the
# chain rule: **dL/dx = g f'(x)**. `backward` takes g and returns dL/dx. It never sees L.
#
# For arrays in which each element has its own y, this holds element by element.

# %%
import numpy as np

import tinygen as tg
from tinygen.learn import check, predict
from tinygen.testing import gradcheck


class Cube(tg.Function):
    """y = x^3. An example: forward computes with NumPy arrays, backward with tinygen's Tensors."""

    def forward(self, x):
        return x**3

    def backward(self, g, y, x):
        return g * 3 * x**2


# %% [markdown]
# `Cube()(x)` applies it to a Tensor, tinygen's array that remembers what it was computed from.
# backward is given g, then the output y, then the inputs.
#
# `tg.grad(y, x, g)` goes back from y with a g of your choice, and returns what arrives at x. If y is
# one number, g may be left out; then it is 1. `.item()` is the number in a Tensor of one element. A
# Tensor knows + - * / and **, also -x, and there are tg.abs, tg.exp and tg.log.


# %%
def at_two(g):
    """What arrives at x = 2 if g arrives at y = x^3."""
    x = tg.tensor([2.0], requires_grad=True)
    return tg.grad(Cube()(x), x, tg.tensor([g])).item()


predict("y = x^3 at x = 2. What is dL/dx, if dL/dy = 1?", lambda: at_two(1.0))
predict("And if L = -10 y?", lambda: at_two(-10.0))


# %% [markdown]
# ## The trap
#
# What if somebody forgets g, and returns 3 x^2 alone? If L is the plain sum of y, then g = 1
# everywhere, and nothing is wrong. Most checks that people write have g = 1.


# %%
class Forgetful(Cube):
    def backward(self, g, y, x):
        return 3 * x**2


def verdict(function):
    """Whether gradcheck accepts a function, and if not, what it says. It draws g at random, for this reason."""
    try:
        gradcheck(lambda x: function()(x), tg.tensor(np.linspace(-2.1, 2.0, 6), requires_grad=True))
    except AssertionError as error:
        print("   ", str(error).splitlines()[-1])
        return "no"
    return "yes"


predict("Does gradcheck accept Forgetful? (yes or no)", lambda: verdict(Forgetful))


# %% [markdown]
# ## Softsign
#
#     y = x / (1 + |x|)
#
# lies between -1 and 1 and looks like an S. For x > 0 differentiate x / (1 + x), for x < 0
# x / (1 - x), by the rule for quotients: (u/v)' = (u' v - u v') / v^2. One formula holds for both.


# %%
class Softsign(tg.Function):
    def forward(self, x):
        """x / (1 + |x|) for an array x."""
        raise NotImplementedError

    def backward(self, g, y, x):
        """dL/dx, from the Tensors g = dL/dy, y and x."""
        raise NotImplementedError


# %%
check("02", globals())
predict("Does gradcheck accept your Softsign? (yes or no)", lambda: verdict(Softsign))
