# %% [markdown]
# # 23 A loss and a layer of your own
#
# Every year has its new GAN, and often it is three lines: another loss, another layer. Here you write
# two losses from their ideas, and one layer, and a GAN with them draws shapes like trousers and boots
# in your terminal.
#
# D gives a score, as the critic of lessons 17 and 19 did, or the logits of lesson 18: any number, large
# for real. `real` and `fake` are Tensors (N, 1) with the scores of a batch of each.
#
# ## Enough is enough: the hinge
#
# A real image is punished by what its score is short of 1, a generated one by what its score is above
# -1. Beyond that nobody is punished: D need not become surer of what it knows. The loss is the mean
# punishment of the real ones, plus the mean punishment of the generated ones. (Lim and Ye, 2017.)

# %%
import numpy as np

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import load_images
from tinygen.learn import check, predict, show


def hinge_discriminator_loss(real, fake):
    """D's hinge loss: a Tensor of one element. tg.relu(x) is x where it is positive, else 0."""
    raise NotImplementedError


# %% [markdown]
# ## Compared with the others: the relativistic average
#
# Let half of a batch be real. If G has become good, D should think of everything as half real, and not
# of all as real. A usual D does not know that. So let it say how real an image is *compared with the
# others*: its logit is its score minus the mean score of the other kind. D's loss is that of lesson 18,
#
#     mean of -log sigmoid(logit of a real image)  +  mean of -log(1 - sigmoid(logit of a generated image))
#
# and G's loss is the same with the two kinds exchanged. (Jolicoeur-Martineau, 2019.)
# `tg.binary_cross_entropy_with_logits(logits, 1.0)` is the mean of -log sigmoid(logit), and with 0.0 of
# -log(1 - sigmoid(logit)).


# %%
def relativistic_losses(real, fake):
    """(D's loss, G's loss), Tensors of one element each. The gradient flows through the means, too."""
    raise NotImplementedError


# %% [markdown]
# ## A layer
#
# In a generator numbers may grow from layer to layer, as D drives it on. This layer stops that: of each
# pixel, it divides the C channels by their own size, the root of their mean square. (Karras et al.,
# 2018.) In tinygen a layer is an nn.Module with a `forward`; its backward is found by the walk.


# %%
class PixelNorm(nn.Module):
    def forward(self, x):
        """x / sqrt(mean over the channels of x^2 + 1e-8), for x (N, C) or (N, H, W, C): C is last."""
        raise NotImplementedError


# %%
check("23", globals())


def slopes(loss):
    """The slopes of a loss in four scores: two of real images, 0.5 and 3, and two of generated ones, -2 and 0."""
    real, fake = (tg.tensor([[a], [b]], requires_grad=True) for a, b in ((0.5, 3.0), (-2.0, 0.0)))
    return np.concatenate([g.numpy().ravel() for g in tg.grad(loss(real, fake), [real, fake])])


predict(
    "Real images have the scores 0.5 and 3. What is the hinge loss's slope in the first? (such as 0.25)",
    lambda: float(slopes(hinge_discriminator_loss)[0]),
)
predict("And in the second?", lambda: abs(float(slopes(hinge_discriminator_loss)[1])))
predict(
    "Generated ones have -2 and 0. What is the sum of the slopes of D's relativistic loss in all four scores?",
    lambda: abs(round(float(slopes(lambda real, fake: relativistic_losses(real, fake)[0]).sum()), 5)),
)

# %% [markdown]
# It must be: if all scores grow by the same number, no difference changes. Only comparisons are left.
#
# ## A GAN
#
# G has your layer behind each hidden one, and D has your loss. The images are 800 trousers and boots,
# 14x14. It is trained twice, ten seconds or more each: with the hinge loss, for which G's own loss is
# minus the mean score, and with the relativistic losses. It draws shapes like trousers and boots.


# %%
def hidden(inputs, *norm):
    return nn.Dense(inputs, 128), nn.LeakyReLU(), *norm


def drawn(images):
    """Five images side by side."""
    grey = (" .:-=+*#%@"[int(5 * min(value, 0.99) + 5)] * 2 for value in images.transpose(1, 0, 2).ravel())
    return "\n".join("".join(next(grey) for _ in range(5 * 14)) for _ in range(14))


def trained(losses, steps=800):
    """Five images of a generator that was trained with losses(real, fake) = (D's, G's)."""
    tg.manual_seed(0)
    data, rng = load_images(), np.random.default_rng(0)
    images = data.train_images[np.isin(data.train_labels, (1, 9))] / 127.5 - 1
    images = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196).astype("float32")
    g = nn.Sequential(*[part for n in (16, 128, 128) for part in hidden(n, PixelNorm())], nn.Dense(128, 196), nn.Tanh())
    d = nn.Sequential(*hidden(196), *hidden(128), nn.Dense(128, 1))
    adam_g, adam_d = (optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999)) for net, lr in ((g, 5e-4), (d, 1e-3)))
    for _ in range(steps):
        real, fake = tg.tensor(images[rng.integers(len(images), size=64)]), g(tg.randn((64, 16)))
        adam_d.minimize(losses(d(real), d(fake.detach()))[0])
        adam_g.minimize(losses(d(real), d(fake))[1])
    return g(tg.randn((5, 16))).numpy().reshape(-1, 14, 14)


def hinge_losses(real, fake):
    return hinge_discriminator_loss(real, fake), -fake.mean()


show("With the hinge loss:", lambda: drawn(trained(hinge_losses)))
show("With the relativistic losses:", lambda: drawn(trained(relativistic_losses)))
