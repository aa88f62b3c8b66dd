# %% [markdown]
# # 06 The slope of a slope
#
# Some losses contain a gradient, such as one that grows where the slope of a network is not 1 (lesson
# 19). To train with them, a gradient must be differentiated in its turn. tinygen does that with the
# walk you wrote, and with nothing else: backward is written in Tensors, so it leaves nodes behind,
# too. Here you see how one word, `.data`, breaks it, and that no first gradient shows the damage.
#
# For y = x^2, backward returns g times 2x. This is itself a function, of g and of x:
#
#     p(g, x) = 2 g x,    dp/dx = 2 g,    dp/dg = 2 x
#
# If backward computes it from Tensors, g * 2.0 * x, each * is a node, and a walk can go back through
# them to x and to g. `x.data` is the plain array in the Tensor: what is computed from it has no way
# back to x. The number is the same, and the walk takes it for a constant.

# %%
import numpy as np

import tinygen as tg
from tinygen.learn import check, predict


class Square(tg.Function):
    def forward(self, x):
        return x * x

    def backward(self, g, y, x):
        return g * 2.0 * x


class RawSquare(Square):
    def backward(self, g, y, x):
        return g * tg.tensor(2.0 * x.data)


def slopes(function, at):
    """The slope of L = y * y at a point, for y = function(x), and the slope of that slope."""
    x = tg.tensor([at], requires_grad=True)
    y = function()(x)
    first = tg.grad(y * y, x, create_graph=True)  # create_graph: the walk leaves nodes behind
    return first.item(), tg.grad(first, x).item()


# %% [markdown]
# L = x^4 here, so the slopes are 4 x^3 and 12 x^2.

# %%
predict("Square at x = 1: the first slope?", lambda: slopes(Square, 1.0)[0])
predict("RawSquare at x = 1: the first slope?", lambda: slopes(RawSquare, 1.0)[0])
predict("Square at x = 1: the second slope?", lambda: slopes(Square, 1.0)[1])
predict("RawSquare at x = 1: the second slope?", lambda: slopes(RawSquare, 1.0)[1])

# %% [markdown]
# The last one is neither right nor 0: one road, through g, was left, and the other, through x, was
# cut. A model trained with it would still learn something, and nobody would be told.
#
# ## The reciprocal
#
#     y = 1 / x,    dy/dx = -1 / x^2 = -y^2
#
# The slope can be computed from x or from y: y is a Tensor whose node is this one, so a walk that
# comes to y goes on to x.


# %%
class Reciprocal(tg.Function):
    def forward(self, x):
        """1 / x for an array x."""
        raise NotImplementedError

    def backward(self, g, y, x):
        """dL/dx, as a function of g and x that can itself be differentiated."""
        raise NotImplementedError


# %% [markdown]
# ## What it is good for
#
# A step of training goes down the slope by a length that somebody chose. The second slope says how
# fast the first one changes. At a distance s the slope is about f'(x) + f''(x) s. It is 0 at the
# bottom: solve for s, and go there. That is Newton's step. For a parabola one step is enough, from
# everywhere.


# %%
def newton_step(f, x):
    """Where the slope of f would be 0 if it went on in a straight line from x: a number.

    f takes a Tensor of one element and returns one. x is a number: make a Tensor of it, such as
    tg.tensor([x], requires_grad=True). Use tg.grad twice, as above.
    """
    raise NotImplementedError


# %%
check("06", globals())


def steps(rate):
    """How many steps of x - rate f'(x) it takes for f = (x - 3)^2 from 0 until x is within 0.001 of 3."""
    x, count = 0.0, 0
    while abs(x - 3) > 1e-3:
        x, count = x - rate * 2 * (x - 3), count + 1
    return count


predict("Newton needs one step for (x - 3)^2. How many needs a walk downhill with the rate 0.1?", lambda: steps(0.1))
print("with the rates", rates := np.array([0.01, 0.1, 0.5, 0.9]), "it needs", [steps(rate) for rate in rates])
