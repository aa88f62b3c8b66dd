# %% [markdown]
# # 05 What was stretched is summed
#
# A list of 10 numbers is added to each of 64 rows. One number is multiplied with a million pixels.
# NumPy calls it broadcasting: an array is repeated until the shapes fit. The gradient then arrives in
# the large shape, and the small array needs one in its own. You write how it comes down, and meet a
# mistake that trains without complaint.
#
# ## The rule
#
# Shapes are compared from the last axis. (64, 10) + (10,): the 10 numbers are repeated along a new
# first axis. (3, 4) * (3, 1): the second array has one column, which is repeated 4 times.
#
# A number that is repeated is a number that is used several times. That is lesson 03: each use is a
# road, and the roads are added up. So **where forward repeats, backward sums**.

# %%
import numpy as np

import tinygen as tg
from tinygen.learn import check, predict


def bias_gradient():
    """What arrives at the one number b if 1 arrives at each element of x + b, x of shape (1000, 1000)."""
    b = tg.tensor([0.5], requires_grad=True)
    return tg.grad((tg.ones((1000, 1000)) + b).sum(), b).item()


predict("b is one number, x has 1000 rows of 1000 numbers. What is the slope of the sum of x + b in b?", bias_gradient)


# %%
def sum_to(g, shape):
    """The array g, summed over the axes along which an array of this shape is repeated to have g's shape.

    The result has this shape. `shape` may have fewer axes than g: those that are missing are the first
    ones. It may have 1 where g has more. NumPy: g.sum(axis=...) with an int or a tuple, keepdims=True,
    g.reshape(shape).
    """
    raise NotImplementedError


# %% [markdown]
# ## In a backward
#
# For y = a * b, element by element, backward returns g * b for a and g * a for b, as the slope of a
# product in one factor is the other factor. Both have the large shape. Bring them down.


# %%
def product_gradients(g, a, b):
    """The gradients (to a, to b) of y = a * b, arrays whose shapes fit by repetition. g has the shape of y."""
    raise NotImplementedError


# %%
check("05", globals())

# %% [markdown]
# ## The mistake without complaint
#
# A network gives one number for each example, as a column (4, 1). The right answers are a list (4,).
# Somebody computes the mean of (prediction - answer)^2, and the loss falls. What was computed?

# %%
prediction, answer = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([1.0, 2.0, 3.0, 4.0])
predict("How many differences has prediction - answer, for shapes (4, 1) and (4,)?", lambda: (prediction - answer).size)
predict("All four predictions are right. What is that loss?", lambda: float(((prediction - answer) ** 2).mean()))
mean = np.full((4, 1), answer.mean())
print("The loss if all four predictions are the mean of the answers:", float(((mean - answer) ** 2).mean()))

# %% [markdown]
# Every prediction is compared with every answer. So the loss is smallest where all predictions are the
# mean of all answers, and that is what the network learns. The cure: give both the same shape.
