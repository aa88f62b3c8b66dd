# %% [markdown]
# # 08 A convolution is a table
#
# A generator makes large images from small ones with "transposed convolutions". The name sounds like
# more than it is. Any linear function is a table of numbers times its input. Here you write down the
# table of a convolution, turn it on its side, and have the other function. It is the second of the
# three convolutions that all of tinygen's networks are made of.
#
# One axis is enough: x has `size` numbers, the kernel w has a few, and
#
#     y[i] = sum over a of  w[a] x[p],    p = i stride + a - padding
#
# where x counts as zero outside. For each i the x[p] are multiplied with numbers, so y = T @ x with a
# table T that has a row for each y[i] and a column for each x[p].

# %%
import numpy as np

from tinygen.learn import check, predict


def outputs(size, kernel, stride, padding):
    """How many numbers y has: how often the kernel fits in."""
    return (size + 2 * padding - kernel) // stride + 1


predict("Size 7, a kernel of 3 numbers, stride 2, no padding: how many rows has the table?", lambda: outputs(7, 3, 2, 0))
predict("And how many of its numbers can be other than zero?", lambda: 3 * outputs(7, 3, 2, 0))


# %%
def table(w, size, stride, padding):
    """The array T of shape (outputs(size, len(w), stride, padding), size) with y = T @ x."""
    raise NotImplementedError


# %% [markdown]
# ## On its side
#
# <a, b> is the sum of the products, as in lesson 07. Each number T[i, p] stands once in <T @ x, g>, in
# the product T[i, p] x[p] g[i]. Sorted by the x[p] this is
#
#     <T @ x, g> = <x, T.T @ g>
#
# So **the adjoint is the table transposed**: a row of it for each x[p], and it makes `size` numbers of
# a few. That is `conv2d_data`, the gradient of a convolution's image. Used forward, to enlarge an image,
# it is called a transposed convolution.
#
# Nobody stores the table: most of it is zeros. Each y[i] adds w[a] y[i] to x[p], for the same p as above.


# %%
def conv_data(y, w, size, stride, padding):
    """T.T @ y as an array of `size` numbers, without a table."""
    raise NotImplementedError


# %%
check("08", globals())


def shown(kernel, size, stride, padding=0):
    """The table of a kernel of ones, and the sums of its columns: how often each x[p] is used."""
    drawn = table(np.ones(kernel), size, stride, padding)
    print("\n".join("    " + " ".join("1" if number else "." for number in row) for row in drawn))
    return " ".join(str(int(total)) for total in drawn.sum(0))


predict("Size 7, kernel 3, stride 2: how often is each x used, from left to right (such as 1 2 1)?", lambda: shown(3, 7, 2))
predict("Size 8, kernel 4, stride 2: how often?", lambda: shown(4, 8, 2))


# %% [markdown]
# Forward, some pixels are looked at more often than others. On its side, the same table **writes**
# them more often: with kernel 3 and stride 2 every second one. In generated images that shows as a
# checkerboard, which is lesson 11.
#
# Is the transposed convolution the way back, the inverse?


# %%
def there_and_back():
    """T.T @ T @ x for x = 1 and a kernel of two ones, stride 2."""
    drawn = table(np.ones(2), 6, 2, 0)
    return (drawn.T @ drawn @ np.ones(6))[0].item()


predict("x is 1 everywhere, the kernel is (1, 1), stride 2. What is T.T @ T @ x, everywhere?", there_and_back)
