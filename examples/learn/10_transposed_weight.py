# %% [markdown]
# # 10 The gradient of a transposed convolution's weight
#
# A generator enlarges images by transposed convolutions, and has to learn their weights. So it needs
# the gradient of a transposed convolution's weight. You need not write a new function for it. The
# three functions of lesson 09 are one sum with a place left open, and so are all their gradients, and
# the gradients of these.
#
# Take images x, a weight w, and an array y with the shape of conv2d(x, w). Over all meetings, the sum
#
#     S(x, w, y) = sum of  x[n, p, q, c] w[a, b, c, k] y[n, i, j, k]
#
# is one number with three places. Leave one place open, and ask what would be multiplied with an array
# that stood there. The three answers are the three functions, which is how you tested them:
#
#     S(x, w, y) = <conv2d(x, w), y> = <conv2d_data(y, w), x> = <conv2d_weight(x, y), w>

# %%
import numpy as np
from tinygen_kernels.reference import conv2d, conv2d_data, conv2d_weight  # tinygen's plain versions of yours

import tinygen as tg
from tinygen.learn import check, predict
from tinygen.testing import gradcheck

PLAIN = (1, 1), ((0, 0), (0, 0)), (1, 1)  # stride, padding and dilation


def ones():
    """S for arrays of ones: a 3x3 image, a 2x2 kernel, a 2x2 output, one channel."""
    x, w, y = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), np.ones((1, 2, 2, 1))
    by_data, by_weight = conv2d_data(y, w, None, (3, 3), *PLAIN) * x, conv2d_weight(x, y, (2, 2), *PLAIN) * w
    print("    by conv2d_data:", by_data.sum(), " by conv2d_weight:", by_weight.sum())
    return float((conv2d(x, w, None, *PLAIN) * y).sum())


predict("A 3x3 image, a 2x2 kernel, a 2x2 output, all ones, one channel: what is S?", ones)

# %% [markdown]
# ## g takes the open place
#
# Let y = conv2d(x, w) and g = dL/dy. If x changes by a little d, then y changes by conv2d(d, w),
# and L by
#
#     <conv2d(d, w), g> = S(d, w, g) = <conv2d_data(g, w), d>
#
# So dL/dx = conv2d_data(g, w), as you know. Now look at the places. conv2d had the place of y open,
# and **g has taken it**. x, whose gradient is wanted, has left its place, and **that is open now**. w
# has stayed. This holds for all three functions: g has the shape of the output, so it fits where the
# output would stand.
#
# Apply it to x = conv2d_data(y, w), the transposed convolution. Here the large image x is the output,
# so g = dL/dx is a large image.


# %%
def transposed_gradients(g, y, w, stride, padding, dilation):
    """(dL/dy, dL/dw) for x = conv2d_data(y, w, None, size, stride, padding, dilation), where g = dL/dx.

    Each is one call of a function above, with these arguments (None stands for no bias):
    conv2d(x, w, None, stride, padding, dilation),
    conv2d_data(y, w, None, size, stride, padding, dilation), size being the (rows, columns) of x, and
    conv2d_weight(x, y, size, stride, padding, dilation), size being the (rows, columns) of w.
    """
    raise NotImplementedError


# %%
def numbers_in_weight():
    """How many numbers dL/dw has, where 4x4x16 becomes 8x8x3: as many as w (rows, columns, C, K)."""
    return np.ones((4, 4, 3, 16)).size


predict("Images 4x4 with 16 channels become 8x8 with 3, by a 4x4 kernel. How many numbers has dL/dw?", numbers_in_weight)

# %% [markdown]
# ## The third function
#
# Some losses contain a gradient (lesson 06), and a gradient of a weight is computed by conv2d_weight. So
# the walk comes through conv2d_weight, too, with a g that has the shape of a weight.


# %%
def weight_gradients(g, x, y, stride, padding, dilation):
    """(dL/dx, dL/dy) for w = conv2d_weight(x, y, size, stride, padding, dilation), where g = dL/dw."""
    raise NotImplementedError


# %% [markdown]
# Three functions with two inputs each have six gradients, and these six are the three functions again.
# That is why networks of convolutions have gradients of every order in tinygen, from three compiled
# functions.

# %%
check("10", globals())


class Enlarge(tg.Function):
    """A transposed convolution to 6x6 images, with your gradients: of raw arrays, so of one order only."""

    geometry = (2, 2), ((1, 1), (1, 1)), (1, 1)

    def forward(self, y, w):
        return conv2d_data(y, w, None, (6, 6), *self.geometry)

    def backward(self, g, x, y, w):  # after g comes the output, as always; here that is x
        return tuple(tg.tensor(array) for array in transposed_gradients(g.data, y.data, w.data, *self.geometry))


def verdict():
    """Whether gradcheck accepts the gradients."""
    rng = np.random.default_rng(10)
    y, w = (tg.tensor(rng.normal(size=size), requires_grad=True) for size in [(2, 3, 3, 3), (4, 4, 2, 3)])
    try:
        gradcheck(lambda y, w: Enlarge()(y, w), y, w)
    except AssertionError as error:
        print("   ", str(error).splitlines()[-1])
        return "no"
    return "yes"


predict("Does gradcheck, which measures slopes, accept your transposed_gradients? (yes or no)", verdict)
