# %% [markdown]
# # 01 A slope, and how well it can be measured
#
# A network learns by going down slopes. Here you measure one, and see why a measured slope has an
# error that no care removes. tinygen's own slopes are compared with measured ones (lesson 02).
#
# Run this file in a terminal; at each question type your answer and press Enter.
# `tinygen learn check 01` judges the stubs only.
#
# The slope of f at x says how much f changes where x changes a little:
#
#     f(x + h) = f(x) + f'(x) h + f''(x) h^2 / 2 + f'''(x) h^3 / 6 + ...
#
# Take f(x) to the left and divide by h: what remains beside f'(x) begins with f''(x) h / 2. That is
# the error of the one-sided quotient. It halves if h halves.

# %%
import math

from tinygen.learn import check, predict

predict(
    "How many times smaller is the error of (f(x + h) - f(x)) / h for f = exp, x = 0, if h goes from 0.1 to 0.01?",
    lambda: round((math.expm1(0.1) / 0.1 - 1) / (math.expm1(0.01) / 0.01 - 1), 1),
)


# %% [markdown]
# ## Both sides
#
# Write the series for -h, too, and subtract it: f(x) and the term with h^2 fall out. The quotient
# made from f at x + h and f at x - h therefore has an error of the order h^2: ten times smaller h, a
# hundred times smaller error.


# %%
def slope(f, x, h):
    """The slope of f at x, measured on both sides of x at the distance h. Its error is of the order h^2."""
    raise NotImplementedError


# %% [markdown]
# ## The V
#
# Why not take h = 1e-12? A number has about 16 digits. f(x + h) and f(x - h) agree in most of them,
# and their difference keeps only the rest: its error is about 1e-16 |f(x)|, and it is divided by 2 h.
# A factor of 2 does not matter in an estimate, and is dropped. So the whole error is about
#
#     error(h) = a h^2 + b / h,    with a = |f'''(x)| / 6 and b = 1e-16 |f(x)|
#
# On paper with logarithmic axes that is a V. At its lowest point the derivative of error is 0.


# %%
def best_step(a, b):
    """The h at which a h^2 + b / h is smallest, for positive a and b."""
    raise NotImplementedError


# %%
predict(
    "Which power of ten is the best h for exp at 0, where a = 1/6 and b = 1e-16? (type the exponent, such as -3)",
    lambda: min(range(-16, 1), key=lambda power: 10.0 ** (2 * power) / 6 + 1e-16 / 10.0**power),
)
check("01", globals())
