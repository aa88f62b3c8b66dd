# %% [markdown]
# # 22 Collapse
#
# A generator is asked for pictures of ten digits, and draws beautiful ones: all of them ones. That is
# collapse, the best known way in which a GAN fails. Its loss does not show it. Here you write a measure
# that does, provoke a collapse on eight spots in the plane, and bring most of them back with one more
# number for the discriminator.
#
# ## Why it happens
#
# D gives each point a score by itself. G wants a large mean score. Let D stand still for a moment.

# %%
import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.learn import check, predict

scores = np.array([0.1, 0.5, 0.4])


def best_share(kind):
    """The share of this kind among all ways to share out 20 draws that has the largest mean score."""
    ways = [np.array([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    return float(max(ways, key=lambda shares: shares @ scores)[kind])


predict(
    "D's scores for three kinds of pictures are 0.1, 0.5, 0.4. Which share of the best G's draws has the third? (from 0 to 1)",
    lambda: best_share(2),
)

# %% [markdown]
# Collapse is no accident: for a D that stands still it is the best answer. Then D learns that this one
# kind is generated, G goes to the next, and so on. What keeps G from it is only that D learns as fast
# as G does.
#
# ## A measure
#
# Real points lie around K centres. A generated point is **good** if its distance from the centre that
# is nearest to it is at most a radius. A collapsed G has good points only; noise falls near all
# centres. So two numbers are needed:
#
#     found      how many centres are the nearest one for at least n / (4 K) good points
#     quality    the share of good points among all n
#
# A fair share would be n / K; a quarter of it is enough.


# %%
def coverage(points, centres, radius):
    """(found, quality) for arrays of n points (n, 2) and K centres (K, 2)."""
    raise NotImplementedError


# %% [markdown]
# ## A cure
#
# One point does not tell D that all others are the same. So tell it: give each point of a batch one
# number more, which says how different the points of this batch are (Karras et al., 2018). A batch
# of G's that has collapsed is then known at once, and the gradient says in which direction to
# spread. That brings most of the kinds back, and not always all.


# %%
def with_spread(x):
    """(N, 2) -> (N, 3): the points of a batch, and in each row, as last column, the batch's spread.

    The spread is the deviation over the batch, sqrt(mean of (x - mean)^2 + 1e-8), of each of the two
    coordinates, and then the mean of these two numbers. x is a Tensor, and the gradient flows through
    the spread, too. There are x.mean(axis=0), tg.sqrt, tg.concatenate([a, b], axis=1). All numbers of a
    Tensor have one dtype, and Tensors of two dtypes do not mix: write tg.ones((N, 1)).astype(x.dtype),
    since tg.ones is float32 and x may be float64.
    """
    raise NotImplementedError


# %%
check("22", globals())

angles = 2 * np.pi * np.arange(8) / 8
CENTRES = np.stack([np.cos(angles), np.sin(angles)], axis=1)


def network(inputs, outputs):
    """Dense: each output is a weighted sum of all inputs, plus a number. LeakyReLU: x, or x / 5 where x < 0."""
    return nn.Sequential(nn.Dense(inputs, 32), nn.LeakyReLU(), nn.Dense(32, 32), nn.LeakyReLU(), nn.Dense(32, outputs))


def trained(seen, columns, steps=500):
    """1000 points after each hundred steps of a GAN whose D sees seen(x). G's steps are ten times as long as D's."""
    tg.manual_seed(0)
    rng = np.random.default_rng(0)
    g, d = network(2, 2), network(columns, 1)
    adam_g, adam_d = optim.Adam(g.parameters(), lr=1e-2, betas=(0.5, 0.999)), optim.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loss, shots = tg.binary_cross_entropy_with_logits, []
    for step in range(1, steps + 1):
        points = CENTRES[rng.integers(8, size=64)] + 0.05 * rng.normal(size=(64, 2))
        real, fake = tg.tensor(points, "float32"), g(tg.randn((64, 2)))
        adam_d.minimize(loss(d(seen(real)), 1.0) + loss(d(seen(fake.detach())), 0.0))
        adam_g.minimize(loss(d(seen(fake)), 1.0))
        if step % 100 == 0:
            shots.append(g(tg.randn((1000, 2))).numpy())
    return shots


def drawn(points):
    """The square from -1.5 to 1.5 with the points: the more, the darker."""
    counts, _, _ = np.histogram2d(-points[:, 1], points[:, 0], bins=(16, 36), range=((-1.5, 1.5), (-1.5, 1.5)))
    return "\n".join("".join(" .:*#"[min(4, int(n + 3) // 4)] for n in row) for row in counts)


def found(seen, columns):
    """The number of centres that are found in the end; it draws the points, and tells what was found before."""
    shots = trained(seen, columns)
    print(drawn(shots[-1]))
    print("    found after each hundred steps:", each := [int(coverage(shot, CENTRES, 0.25)[0]) for shot in shots])
    return each[-1]


# %% [markdown]
# `minimize` above is a step down the slope of a loss, in one network's weights, and `detach()` gives the
# same numbers without their nodes, so that D's step does not walk on into G. Adam is a step whose
# length adapts to each weight. Each of the two runs takes some seconds.

# %%
predict("D sees each point by itself. How many of the 8 spots does G find in 500 steps?", lambda: found(lambda x: x, 2))
predict("D sees the spread, too. How many now?", lambda: found(with_spread, 3))

# %% [markdown]
# D was always given a batch of real points alone, or of generated ones. In a mixed batch the spread
# would be the same for both, and say nothing.
