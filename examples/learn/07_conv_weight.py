# %% [markdown]
# # 07 The gradient of a convolution's weight
#
# A convolution moves a small table of weights, the kernel, over an image. To learn the kernel, its
# gradient is needed: `conv2d_weight`. It looks hard, and one idea makes it easy. At the end a network
# that generates images trains with yours. It is called a DCGAN (lesson 11 says what a GAN is).
#
# ## <a, b>
#
# For arrays of one shape, **<a, b> is the sum of the products of their elements**. If g = dL/dy, then a
# small change of y changes L by <change of y, g>. That is the chain rule for a whole array.
#
# Let y = f(x) be linear: a sum of elements of x times fixed numbers. Sort the products in <f(x), g>
# by the elements of x, and they become <x, something>. That something is what each x is multiplied
# with on its way to L: it is dL/dx. It is called f*(g), and f* is the **adjoint** of f:
#
#     <f(x), g> = <x, f*(g)>    for all x and g
#
# An example, flip: y[i] = x[n - 1 - i]. Then <y, g> is the sum of x[n - 1 - i] g[i]. Element x[k] meets
# g[n - 1 - k]. So the adjoint of flip is flip.

# %%
import numpy as np

from tinygen.learn import check, predict

a, b = np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 100.0])
predict("<(1, 2, 3), (1, 10, 100)> is?", lambda: float((a * b).sum()))
predict("<flip(a), b> is?", lambda: float((a[::-1] * b).sum()))
predict("<a, flip(b)> is?", lambda: float((a * b[::-1]).sum()))

# %% [markdown]
# ## Padding
#
# pad(x) puts `top` rows of zeros above a picture x of two axes, and `bottom` rows below it. In
# <pad(x), g>, which elements of g meet an element of x?


# %%
def pad_adjoint(g, top, bottom):
    """f*(g) for f = pad: what g is for x. g has top + height + bottom rows."""
    raise NotImplementedError


# %% [markdown]
# ## The convolution, as a loop
#
# A pixel is a list of numbers, its channels, such as red, green and blue. The stride is how many pixels
# the kernel moves on from one output pixel to the next. The dilation is how many pixels of the image
# lie from one weight of the kernel to the next: 1 is side by side.
#
# x has the axes (image n, row, column, channel c), w (row a, column b, channel c, output channel k),
# y (n, row i, column j, k). Here it is, with nothing to make it fast. `x[n, p, q] @ w[a, b]` is
# a row of C numbers times a table of C x K numbers.


# %%
def convolved(x, w, stride, padding, dilation):
    (top, bottom), (left, right) = padding
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    height = (x.shape[1] - dilation[0] * (w.shape[0] - 1) - 1) // stride[0] + 1
    width = (x.shape[2] - dilation[1] * (w.shape[1] - 1) - 1) // stride[1] + 1
    y = np.zeros((x.shape[0], height, width, w.shape[3]))
    for n, i, j in np.ndindex(y.shape[:3]):
        for a, b in np.ndindex(w.shape[:2]):
            p, q = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
            y[n, i, j] += x[n, p, q] @ w[a, b]
    return y


predict(
    "A 7x7 image, kernel 3x3, stride 2, padding 1 on all sides: how many rows has y?",
    lambda: convolved(np.ones((1, 7, 7, 1)), np.ones((3, 3, 1, 1)), (2, 2), ((1, 1), (1, 1)), (1, 1)).shape[1],
)


# %% [markdown]
# It is linear in w, so there is an adjoint. Each pass of the loop adds this to <y, g>:
#
#     sum over c, k of  x[n, p, q, c] w[a, b, c, k] g[n, i, j, k]
#
# What is w[a, b, c, k] multiplied with? Sum that over all passes. No matrix is turned, no kernel is
# flipped: the loop stays the same. Only the line in its middle is another one.


# %%
def conv2d_weight(x, y, size, stride, padding, dilation):
    """dL/dw of shape (*size, C, K). y (n, i, j, k) is the gradient that arrives: g in the text. x is the image.

    size is (rows, columns) of the kernel; the rest is as in `convolved`. All arrays are NumPy's, and the
    result has the dtype of x. np.outer(u, v) is the table of all products u[c] v[k].
    """
    raise NotImplementedError


# %% [markdown]
# When it is right, train with it. One epoch takes minutes with loops in Python, where tinygen's
# compiled functions need seconds, and ends with the same losses to the digits that are printed:
#
#     python examples/dcgan.py --with learn/07_conv_weight.py --epochs 1

# %%
check("07", globals())
