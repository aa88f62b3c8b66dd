"""23: the hinge loss, the relativistic average losses, and a layer that normalises each pixel."""

import tinygen as tg
from tinygen import nn
from tinygen.learn import Exercise

bce = tg.binary_cross_entropy_with_logits


def hinge_discriminator_loss(real, fake):
    return tg.relu(1.0 - real).mean() + tg.relu(1.0 + fake).mean()


def relativistic_losses(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return bce(a, 1.0) + bce(b, 0.0), bce(b, 1.0) + bce(a, 0.0)


class PixelNorm(nn.Module):
    def forward(self, x):
        return x / tg.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-8)


def relativistic(compared, losses=lambda a, b: (bce(a, 1.0) + bce(b, 0.0), bce(b, 1.0) + bce(a, 0.0))):
    """The losses with other logits, compared(scores, scores of the other kind), or made otherwise from the logits."""
    return lambda real, fake: losses(compared(real, fake), compared(fake, real))


def average(scores, others):
    return scores - others.mean()


def constant_average(scores, others):
    return scores - others.detach().mean()


def by_softplus(real, fake):
    a, b = real - fake.mean(), fake - real.mean()
    return [tg.softplus(-a).mean() + tg.softplus(b).mean(), tg.softplus(a).mean() + tg.softplus(-b).mean()]


def written(forward):
    """A layer with this forward."""
    return type("PixelNorm", (nn.Module,), {"forward": lambda self, x: forward(x)})


def size(x, axis=-1):
    return tg.sqrt((x * x).mean(axis=axis, keepdims=True) + 1e-8)


def centred(x):
    c = x - x.mean(axis=-1, keepdims=True)
    return c / size(c)


def with_gradients(function, real, fake, g):
    """The losses, and the gradients of the first loss plus g times the last to all scores."""
    real, fake = tg.tensor(real, requires_grad=True), tg.tensor(fake, requires_grad=True)
    found = function(real, fake)
    losses = list(found) if isinstance(found, tuple | list) else [found]
    return [*losses, *tg.grad([losses[0], losses[-1]], [real, fake], [tg.ones(losses[0].shape, "float64"), tg.tensor(g)])]


def normalised(layer, x, g):
    """The output, and the gradient that arrives at x."""
    x = tg.tensor(x, requires_grad=True)
    y = layer()(x)
    return [y, tg.grad(y, x, tg.tensor(g))]


def scores(rng):
    return [(rng.normal(size=(4, 1)) * 2 + 0.5, rng.normal(size=(4, 1)) * 2 - 0.3, rng.normal(size=())) for _ in range(3)]


EXERCISES = [
    Exercise(
        "hinge_discriminator_loss",
        hinge_discriminator_loss,
        scores,
        apply=with_gradients,
        ideas={
            "nobody is let off: what is beyond the margin has the punishment 0, and not a reward": lambda real, fake: (
                (1.0 - real).mean() + (1.0 + fake).mean()
            ),
            "real and generated are exchanged": lambda real, fake: hinge_discriminator_loss(fake, real),
            "the margin is missing: a real score is short of 1, and not of 0": lambda real, fake: (
                tg.relu(-real).mean() + tg.relu(fake).mean()
            ),
            "for generated scores the margin is -1: what is above it is 1 + score": lambda real, fake: (
                tg.relu(1.0 - real).mean() + tg.relu(fake - 1.0).mean()
            ),
            "the generated scores are punished for being below -1": lambda real, fake: (
                tg.relu(1.0 - real).mean() + tg.relu(-1.0 - fake).mean()
            ),
            "the mean comes after the margin: you let off the batch and not the image": lambda real, fake: (
                tg.relu(1.0 - real.mean()) + tg.relu(1.0 + fake.mean())
            ),
            "only the real ones are punished": lambda real, fake: tg.relu(1.0 - real).mean() + 0.0 * fake.mean(),
            "only the generated ones are punished": lambda real, fake: tg.relu(1.0 + fake).mean() + 0.0 * real.mean(),
            "the punishment is not squared": lambda real, fake: (tg.relu(1.0 - real) ** 2).mean() + (tg.relu(1.0 + fake) ** 2).mean(),
            "you take half of it: the two means are added up": lambda real, fake: 0.5 * hinge_discriminator_loss(real, fake),
            "these are sums over the batch, and means are wanted": lambda real, fake: len(real) * hinge_discriminator_loss(real, fake),
        },
        right=[
            lambda real, fake: (tg.relu(1.0 - real) + tg.relu(1.0 + fake)).mean(),
            lambda real, fake: tg.maximum(0.0, 1.0 - real).mean() - tg.minimum(0.0, -1.0 - fake).mean(),
        ],
        hints=[
            "What a score a is short of 1 is 1 - a, if that is positive, and else 0.",
            "tg.relu(1.0 - real) has the punishment of each real image. What is it for a generated one?",
            "tg.relu(1.0 - real).mean() + tg.relu(1.0 + ...).mean()",
        ],
    ),
    Exercise(
        "relativistic_losses",
        relativistic_losses,
        scores,
        apply=with_gradients,
        ideas={
            "no score is compared with the others: subtract the mean of the other kind": relativistic(lambda scores, others: scores),
            "each score is compared with one score of the other kind; take the mean of all": relativistic(
                lambda scores, others: scores - others
            ),
            "each score is compared with the mean of its own kind": relativistic(lambda scores, others: scores - scores.mean()),
            "the values are right, but no gradient flows through the means: do not detach them": relativistic(constant_average),
            "the mean is added, and should be subtracted": relativistic(lambda scores, others: scores + others.mean()),
            "the sigmoid is in the loss already: give it the difference itself": relativistic(
                lambda scores, others: tg.sigmoid(average(scores, others))
            ),
            "the sigmoid comes before the comparison: compare scores, and not probabilities": relativistic(
                lambda scores, others: average(tg.sigmoid(scores), tg.sigmoid(others))
            ),
            "D's loss is right; G's looks at the generated images alone, and has a second half": relativistic(
                average, lambda a, b: (bce(a, 1.0) + bce(b, 0.0), bce(b, 1.0))
            ),
            "D's loss is right; G's is the one of lesson 18, which compares nothing": lambda real, fake: (
                relativistic_losses(real, fake)[0],
                bce(fake, 1.0) + 0.0 * real.mean(),
            ),
            "D's loss is right, and G's is its negative; exchange the kinds instead": relativistic(
                average, lambda a, b: (bce(a, 1.0) + bce(b, 0.0), -bce(a, 1.0) - bce(b, 0.0))
            ),
            "the two losses are exchanged: D's comes first": lambda real, fake: relativistic_losses(real, fake)[::-1],
            "you take the mean of the two halves; they are added up": relativistic(
                average, lambda a, b: ((bce(a, 1.0) + bce(b, 0.0)) / 2.0, (bce(b, 1.0) + bce(a, 0.0)) / 2.0)
            ),
        },
        right=[by_softplus, lambda real, fake: (by_softplus(real, fake)[0], relativistic_losses(fake, real)[0])],
        hints=[
            "The logit of a real image is real - fake.mean(), and of a generated one fake - real.mean().",
            "D wants 1.0 for the first and 0.0 for the second. G wants it the other way round.",
            "G's loss is bce(fake - real.mean(), 1.0) + bce(..., 0.0), where bce is tg.binary_cross_entropy_with_logits.",
        ],
    ),
    Exercise(
        "PixelNorm",
        PixelNorm,
        lambda rng: [
            (scale * rng.normal(size=shape), rng.normal(size=shape)) for scale, shape in ((2, (4, 4)), (2, (3, 4)), (1e-4, (2, 2, 3, 4)))
        ],
        apply=normalised,
        ideas={
            "the mean is over the batch, axis 0; each pixel has its own, over axis -1": written(lambda x: x / size(x, 0)),
            "the mean is over all but the batch; each pixel has its own, over axis -1": written(
                lambda x: x / size(x, tuple(range(1, x.ndim)) if x.ndim > 2 else 0)
            ),
            "the mean is over everything; each pixel has its own, over axis -1": written(lambda x: x / size(x, tuple(range(x.ndim)))),
            "keepdims=True is missing: a mean without its axis is taken for the sizes of the channels, if it fits at all": written(
                lambda x: x / tg.sqrt((x * x).mean(axis=-1) + 1e-8)
            ),
            "the values are right, but no gradient flows through the size: use no raw data": written(lambda x: x / size(x).detach()),
            "the root is missing": written(lambda x: x / size(x) ** 2),
            "this is the length of the channels, the root of a sum; take the mean": written(
                lambda x: x / tg.sqrt((x * x).sum(axis=-1, keepdims=True) + 1e-8)
            ),
            "the mean is subtracted first: that is layer norm": written(centred),
            "1e-8 belongs under the root": written(lambda x: x / (tg.sqrt((x * x).mean(axis=-1, keepdims=True)) + 1e-8)),
            "1e-8 is missing: then a pixel of zeros is divided by 0": written(lambda x: x / tg.sqrt((x * x).mean(axis=-1, keepdims=True))),
            "you multiply by the size": written(lambda x: x * size(x)),
            "this is the mean of the sizes |x|, and not the root of the mean square": written(
                lambda x: x / tg.abs(x).mean(axis=-1, keepdims=True)
            ),
        },
        right=[
            written(lambda x: x * ((x**2).mean(axis=-1, keepdims=True) + 1e-8) ** -0.5),
            written(lambda x: x / tg.sqrt((x * x).sum(axis=-1, keepdims=True) / x.shape[-1] + 1e-8)),
        ],
        hints=[
            "(x * x).mean(axis=-1) has one number for each pixel. With keepdims=True it can be divided by.",
            "Add 1e-8, and take tg.sqrt.",
            "return x / tg.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-8)",
        ],
    ),
]
