# %% [markdown]
# # 18 Learn most where you are worst
#
# In most GANs the critic is a **discriminator**: it gives a probability, D(x), that x is real. The
# generator wants D of what it generates to be large. It can make log(1 - D) small, or make -log D
# small. Both say the same, and the first is what the theory of GANs is about. Nobody trains with
# it. You see why, by the slopes of two short formulas, and how to compute them so that nothing
# overflows.
#
# D computes any number **a**, the logit, and makes a probability of it:
#
#     D = sigmoid(a) = 1 / (1 + exp(-a))
#
# D is 1/2 for a = 0, nearly 1 for large a, nearly 0 for very negative a. And 1 - sigmoid(a) =
# sigmoid(-a).

# %%
import math

import numpy as np

from tinygen.learn import check, predict


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def first_infinite():
    """The first a = 1, 2, 3, ... at which log(1 - D) is minus infinity, in float32."""
    a = np.arange(1, 100, dtype="float32")
    return int(a[1 - 1 / (1 + np.exp(-a)) == 0][0])


predict("a = -3: what is D, to two digits?", lambda: round(sigmoid(-3), 2))
predict(
    "float32 has about 7 digits. For a = 1, 2, 3, ..., where is 1 - D first rounded to 0, so that log(1 - D) is infinite?",
    first_infinite,
    tolerance=0.1,
)


# %% [markdown]
# ## Losses of logits
#
# A discriminator that is that sure is nothing rare. So a loss should never see D, but a. By the
# formula above,
#
#     -log D = log(1 + exp(-a)),    log(1 - D) = -log(1 + exp(a))
#
# Both need one function, softplus(x) = log(1 + exp(x)). It has a trap of its own: exp(1000) is
# infinite, although softplus(1000) is just 1000. For x > 0, take exp(x) out of the logarithm, and
# what is left is harmless. (np.log1p(u) is log(1 + u), exact for tiny u, too; np.maximum compares
# element by element.)


# %%
def softplus(x):
    """log(1 + exp(x)) for each number of an array, to all digits, from -1000 to 1000."""
    raise NotImplementedError


def losses(a):
    """The pair (log(1 - D), -log D) for an array of logits: the generator's two losses, by softplus."""
    raise NotImplementedError


# %% [markdown]
# ## Slopes
#
# Both losses fall as a rises. How steeply? The slope of softplus(x) is exp(x) / (1 + exp(x)), and
# that is sigmoid(x). Now the chain rule; mind the signs.


# %%
def slopes(a):
    """The slopes of both losses in a, for an array of logits: a pair, in the order of losses."""
    raise NotImplementedError


# %%
def measured(loss, a, h=1e-4):
    """The slope of a loss of D at the logit a, measured as in lesson 01."""
    return (loss(sigmoid(a + h)) - loss(sigmoid(a - h))) / (2 * h)


def saturating(d):
    return math.log(1 - d)


def non_saturating(d):
    return -math.log(d)


bad = math.log(1 / 999)  # the logit at which D is 1/1000
predict("D(generated) = 1/2. What is the slope of -log D in a? (such as 0.25)", lambda: round(measured(non_saturating, 0), 3))
predict(
    "D(generated) = 1/1000, a bad image. How many times as steep is -log D as log(1 - D)?",
    lambda: round(measured(non_saturating, bad) / measured(saturating, bad)),
)


# %% [markdown]
# At the beginning the generator draws noise, and D soon knows: a is about -10. Let the generator
# change a by minus the slope in each step. How many steps until D cannot tell, at a = 0?


# %%
def steps(which, a=-10.0):
    """The number of steps from a to 0, by the slopes of one of the losses."""
    count = 0
    while a < 0 and count < 100_000:
        a, count = a - float(slopes(np.array([a]))[which][0]), count + 1
    return count


check("18", globals())
predict("From a = -10 by -log D: how many steps?", lambda: steps(1))
predict("And by log(1 - D)?", lambda: steps(0))

# %% [markdown]
# log(1 - D) is flat where the generator is bad: it **saturates**. Where the images are good already
# it is the steeper one, which helps nobody. -log D is steep where the images are bad: it is the
# loss of Goodfellow et al. (2014) in practice, and of all of tinygen's GANs with probabilities. It
# does not cure everything: a slope says in which direction D rises, and if D is sure everywhere,
# what it has learned around the generated images is flat as well. The next lesson has another
# measure.

# %%
if __name__ == "__main__":
    print("      a        D   slopes: log(1 - D)    -log D")
    for a in (-10, -5, -2, 0, 2, 5):
        print(f"    {a:3}  {sigmoid(a):7.5f}             {measured(saturating, a):8.5f}  {measured(non_saturating, a):8.5f}")
