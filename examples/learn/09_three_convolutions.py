# %% [markdown]
# # 09 Three convolutions, one loop
#
# All convolutional networks of tinygen, forward and backward, to any order of gradients, are made of
# three functions. You know all three: conv2d, its adjoint in x (lesson 08, now with two axes), and its
# adjoint in w (lesson 07). Here you write them so that one loop serves all, and test them without a
# single right answer in the file.
#
# Every product in a convolution is a **meeting**: at output pixel (i, j), the kernel's tap (a, b)
# meets pixel (p, q) of the image. Which (p, q) that is, is all of the geometry:
#
#     p = i stride + a dilation - top,    q = j stride + b dilation - left
#
# A dilation of 2 leaves every second pixel between taps out. stride, dilation and size are pairs (for
# rows, for columns), and padding is ((top, bottom), (left, right)). Pixels outside the image are zero:
# they add nothing, so they do not meet anybody.

# %%
import numpy as np

from tinygen.learn import check, predict, show


def output_size(size, kernel, stride, padding, dilation):
    """The (rows, columns) of the output: how often a kernel of (rows, columns) fits in an image of `size`."""
    return tuple((size[d] + sum(padding[d]) - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(2))


def meetings(size, kernel, stride, padding, dilation):
    """All meetings, a list of (i, j, a, b, p, q): for an image of `size` and a kernel of (rows, columns).

    (i, j) runs over the output, which has output_size(...) pixels; 0 <= p < size[0] and 0 <= q < size[1].
    """
    raise NotImplementedError


# %%
predict(
    "A 3x3 image, a 3x3 kernel, padding 1: how many rows has the output?",
    lambda: output_size((3, 3), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))[0],
)
predict(
    "A dilation of 2: over how many pixels of a row does a kernel of 3 stretch?",
    lambda: next(n for n in range(1, 99) if output_size((n, n), (3, 3), (1, 1), ((0, 0), (0, 0)), (2, 2))[0] == 1),
)

# %% [markdown]
# ## One line each
#
# Images are (N, rows, columns, C): x[:, p, q] is the pixel (p, q) of all images, a table N x C. A weight
# is (rows, columns, C, K), so w[a, b] is a table C x K, and y[:, i, j] is N x K. At each meeting conv2d
# does
#
#     y[:, i, j] += x[:, p, q] @ w[a, b]
#
# Now read <y, g> at one meeting, sum over n, c, k of x[n,p,q,c] w[a,b,c,k] g[n,i,j,k], three ways: as
# something times x, as something times w, and as it is. Only the line in the loop changes. u.T is a
# table on its side, and the shapes leave you little choice.
#
# A bias is one number for each channel of the result, added everywhere; None means none. Each result
# has the dtype of the first argument, as from np.zeros(shape, x.dtype).


# %%
def conv2d(x, w, bias, stride, padding, dilation):
    """y of shape (N, *output, K), from the images x and the weight w."""
    raise NotImplementedError


def conv2d_data(y, w, bias, size, stride, padding, dilation):
    """The adjoint of conv2d in x: an array (N, *size, C) for y (N, *output, K), plus bias (C,)."""
    raise NotImplementedError


def conv2d_weight(x, y, size, stride, padding, dilation):
    """The adjoint of conv2d in w: an array (*size, C, K). size is the kernel's; the image's size is x.shape[1:3]."""
    raise NotImplementedError


# %% [markdown]
# ## A test without answers
#
# Draw any x, w and g. If the three belong together, then <conv2d(x, w), g>, <x, conv2d_data(g, w)> and
# <w, conv2d_weight(x, g)> are **one number**. A mistake in a border or a stride of one of them makes
# it differ. tinygen's own tests do just this (tests/functional/test_adjoints.py).


# %%
def three_numbers():
    """Show the three products, for an odd geometry and random arrays."""
    rng = np.random.default_rng(9)
    size, kernel, *geometry = (7, 6), (3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2)
    x, w = rng.normal(size=(2, *size, 2)), rng.normal(size=(*kernel, 2, 3))
    g = rng.normal(size=(2, *output_size(size, kernel, *geometry), 3))
    show("<conv2d(x, w), g>       ", lambda: (conv2d(x, w, None, *geometry) * g).sum())
    show("<x, conv2d_data(g, w)>  ", lambda: (x * conv2d_data(g, w, None, size, *geometry)).sum())
    show("<w, conv2d_weight(x, g)>", lambda: (w * conv2d_weight(x, g, kernel, *geometry)).sum())


check("09", globals())
three_numbers()

# %% [markdown]
# The identity sees whether the three agree, and not whether they are a convolution: if your meetings
# have a mistake, all three have it, and agree. That is why somebody has to write one of them right.
# When all are, a whole GAN trains with them, and with your walk. Each meeting is a step of Python, so
# an epoch takes minutes. After 17 of them you can tell trousers, shirts and shoes. (With `--classes
# "Trouser,Ankle boot"` it takes a fifth of the time.)
#
#     python examples/dcgan.py --with learn/04_walk.py learn/09_three_convolutions.py --epochs 20
