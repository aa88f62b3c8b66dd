# %% [markdown]
# # 17 A GAN with one parameter
#
# A generator invents data, a critic tells them from real data, and each learns from the other: a
# GAN. GANs are known to be hard to train. Is it because networks are large? Here both players have
# a single parameter. The game is solved on paper, and still every step, in which each player
# improves, leads both away from the solution. You see why, and what brings them back.
#
# The real data are one number, `real`. The generator's data are one number, too: **theta**. The
# critic gives x the score **psi x**. It wants real data to have a higher score than generated data:
#
#     V = psi real - psi theta = psi (real - theta)
#
# The critic climbs V: it adds rate * dV/dpsi to psi. The generator goes down V: it subtracts rate *
# dV/dtheta from theta. The goal is theta = real, where no critic finds a difference, and psi = 0.
#
# The predictions below do not wait for you: `measured` plays, by slopes measured as in lesson 01.

# %%
import math

from tinygen.learn import check, predict, show

# %% [markdown]
# ## Both at once
#
# Both slopes are taken at the same place (theta, psi), and then both players move.


# %%
def step(theta, psi, real, rate):
    """One step of both at once: the new (theta, psi)."""
    raise NotImplementedError


# %%
def slope(f, x, h=1e-3):
    return (f(x + h) - f(x - h)) / (2 * h)


def measured(theta, psi, real, rate, weight=0.0, in_turns=False):
    """A move of both. The critic climbs V - weight / 2 * psi^2; `in_turns`, the generator sees its new psi."""
    new_psi = psi + rate * slope(lambda p: p * (real - theta) - weight / 2 * p**2, psi)
    critic = new_psi if in_turns else psi
    return theta - rate * slope(lambda t: critic * (real - t), theta), new_psi


def after(measure, count, move, *numbers):
    """Measure `count` moves with real = 0 from theta = 1, psi = 0: move(theta, psi, real, *numbers)."""
    places = [(1.0, 0.0)]
    for _ in range(count):
        places.append(move(*places[-1], 0.0, *numbers))
    return measure(places)


def distance(places):
    """How far the last place is from the goal, theta = 0 and psi = 0."""
    return round(math.hypot(*places[-1]), 2)


def mean_theta(places):
    return round(abs(sum(theta for theta, _ in places)) / len(places), 1)


def drawing(places, size=14):
    """The way: theta to the right, psi upwards, + is the goal; 0 is the first tenth of it, 9 the last."""
    scale = max(math.hypot(*place) for place in places) / size
    page = [[" "] * (4 * size + 1) for _ in range(2 * size + 1)]
    for n, (theta, psi) in enumerate(places):
        page[size - round(psi / scale)][2 * size + round(2 * theta / scale)] = str(10 * n // len(places))
    page[size][2 * size] = "+"
    return "\n".join("    " + "".join(row).rstrip() for row in page)


predict(
    "From the distance 1, rate 0.1: how far from the goal are they after 200 steps? (to one decimal place)",
    lambda: after(distance, 200, measured, 0.1),
)
predict("Were the steps too large? Rate 0.05, 400 steps: how far?", lambda: after(distance, 400, measured, 0.05))
show("200 of your steps:", lambda: after(drawing, 200, step, 0.1))

# %% [markdown]
# For real = 0 the step is rate * (psi, -theta): at a right angle to the line from the goal to the
# place (theta, psi). By Pythagoras the new distance is sqrt(1 + rate^2) times the old one, at every
# place and in each step. A smaller rate makes the spiral slower, and never turns it inwards.
#
# ## One after the other
#
# In practice the critic moves first, and the generator answers to the new critic.


# %%
def turns(theta, psi, real, rate):
    """The critic's step, and then the generator's, which sees the new psi: the new (theta, psi)."""
    raise NotImplementedError


# %%
predict("In turns, rate 0.1: how far from the goal after 1000 turns?", lambda: after(distance, 1000, measured, 0.1, 0.0, True))
predict("What is the mean of theta over these turns? (real is 0)", lambda: after(mean_theta, 1000, measured, 0.1, 0.0, True))

# %% [markdown]
# They turn round the goal for ever, at about the same distance. But the mean of the way is at the
# goal. That is why the mean of a generator's weights over the last steps often gives better images
# than the last weights (`--average` in tinygen's examples).
#
# ## What brings them back
#
# At the goal the critic should be flat: psi = 0. It has no reason to become so, since while theta
# passes real, psi is at its largest. Give it one: a penalty on its slope at the real data (R1;
# Mescheder, Geiger & Nowozin, 2018, who also invented this small GAN). The slope of psi x is psi.
# The critic climbs
#
#     V - weight / 2 * psi^2
#
# and the generator goes down V, as before. Both at once.


# %%
def penalised(theta, psi, real, rate, weight):
    """One step of both at once, with the penalty: the new (theta, psi)."""
    raise NotImplementedError


# %%
check("17", globals())

# %% [markdown]
# A step takes the line from the goal to (theta, psi) to another, by the matrix
#
#     1           rate
#     -rate       1 - rate * weight
#
# A matrix multiplies areas by its determinant, the product of the one diagonal minus that of the
# other: here 1 - rate * weight + rate^2. On a way round the goal both sides of an area are distances,
# so 1000 steps multiply the distance by about that to the power 500.

# %%
predict("Rate 0.1, weight 1: how far after 200 steps?", lambda: after(distance, 200, measured, 0.1, 1.0))
predict("Weight 0.1, as large as the rate: how far after 1000 steps?", lambda: after(distance, 1000, measured, 0.1, 0.1))
predict("And weight 0.05?", lambda: after(distance, 1000, measured, 0.1, 0.05))
show("200 of your steps with the weight 0.3:", lambda: after(drawing, 200, penalised, 0.1, 0.3))

# %% [markdown]
# So the way leads inwards if weight is larger than rate. Now a smaller rate does help.
