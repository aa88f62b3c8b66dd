# %% [markdown]
# # 11 Checkerboards
#
# A GAN is two networks. A generator makes images from random numbers, and a discriminator says how
# real an image looks; each learns from the other. Images of many GANs have a fine pattern, like the
# squares of a chess board. The generator has not learned it, and no training removes it easily. Odena,
# Dumoulin and Olah (2016) found where it comes from: a transposed convolution writes some pixels more
# often than others. Here you count, and find the rule by which tinygen's DCGAN has 4x4 kernels. The
# last surprise is in the discriminator.
#
# One axis first. As in lesson 08, each y[i] is spread over as many pixels as the kernel has numbers:
#
#     x[p] += w[a] y[i],    p = i stride + a - padding
#
# n numbers y[i] reach (n - 1) stride + kernel pixels. `padding` pixels at either end are cut off.

# %%
import numpy as np
from tinygen_kernels.reference import conv2d_data

from tinygen.learn import check, predict


def written(n, kernel, stride, padding):
    """How often each pixel is written: an array of (n - 1) stride + kernel - 2 padding numbers."""
    raise NotImplementedError


# %% [markdown]
# An image has two axes. Pixel (p, q) is written once for each pair of a row's writing and a column's:
# the counts are multiplied.


# %%
def board(kernel, stride):
    """Print the counts of an image, far from its border, and return how many different ones there are."""
    counts = written(8, kernel, stride, 0)[kernel : kernel + 8]
    image = np.outer(counts, counts)
    print("\n".join("    " + " ".join(str(count) for count in row) for row in image))
    return len(np.unique(image))


predict("Stride 2, a 3x3 kernel: how many different counts has the middle of the image?", lambda: board(3, 2))
predict("Stride 2, a 4x4 kernel: how many?", lambda: board(4, 2))

# %% [markdown]
# ## The rule
#
# Which numbers w[a] of the kernel (its taps) write pixel p? Those for which p + padding - a is a multiple
# of the stride. If a is one of them, a + stride is the next. So the taps are dealt out like cards, one
# by one, to `stride` neighbouring pixels, again and again. When does everybody get as many?


# %%
def evenness(kernel, stride):
    """The count of the least written pixel divided by that of the most written one.

    Far from the border of an image with two axes, for a square kernel. 1 means even, and 0 that some
    pixels are never written.
    """
    raise NotImplementedError


def even_kernel(kernel, stride):
    """The smallest kernel that is not smaller than this one, and writes all pixels equally often."""
    raise NotImplementedError


# %%
check("11", globals())

# %% [markdown]
# ## In the discriminator
#
# A discriminator makes an image smaller, by convolutions with stride 2, until one number is left. The
# gradient of a convolution's image is conv2d_data (lesson 09): the same spreading. That gradient tells
# the generator how its image should change, and nothing else does.


# %%
def gradient_of_ones(kernel, w=None, stride=2):
    """dL/dx in the middle of a 16x16 image, where L is the sum of conv2d(x, w); w is of ones unless given."""
    w = np.ones(kernel) if w is None else np.array(w)
    n = (16 - kernel) // stride + 1
    y, table = np.ones((1, n, n, 1)), np.outer(w, w)[..., None, None]
    return conv2d_data(y, table, None, (16, 16), (stride, stride), ((0, 0), (0, 0)), (1, 1))[0, 6:10, 6:10, 0]


def most_to_least(kernel):
    middle = gradient_of_ones(kernel)
    return float(middle.max() / middle.min())


predict(
    "D is one convolution, 3x3 ones, stride 2. How many times as large is the largest gradient as the smallest, in the middle?",
    lambda: most_to_least(3),
)
predict("And with 4x4?", lambda: most_to_least(4))

# %% [markdown]
# So the checkerboard is in what the generator is taught, too. And is an even kernel the whole cure?


# %%
predict(
    "Stride 2, and a 4x4 kernel with the weights (1, 1, 1, 0) in each axis: how many different numbers has the middle?",
    lambda: len(np.unique(gradient_of_ones(4, [1.0, 1.0, 1.0, 0.0]))),
)

# %% [markdown]
# Equal counts make an even image possible; the weights decide whether it is even. A 3x3 kernel must
# learn a large middle weight against its counts. The other cure is to enlarge without weights, by
# repeating each pixel, and to convolve with stride 1 afterwards: what does even_kernel(3, 1) say?
