"""24: ten mistakes that train without complaint, two in each function, mended."""

import numpy

import tinygen as tg
from tinygen import nn
from tinygen.learn import Exercise

bce = tg.binary_cross_entropy_with_logits


def negative_elbo(decoder, x, mean, log_var, noise):
    z = mean + tg.exp(0.5 * log_var) * noise
    logits = decoder(z)
    reconstruction = (tg.softplus(logits) - x * logits).sum(axis=(1, 2, 3)).mean()
    return reconstruction + tg.gaussian_kl(mean, log_var)


def discriminator_step(generator, discriminator, x, z):
    real = discriminator(x)
    fake = discriminator(generator(z).detach())
    loss = bce(real, 1.0) + bce(fake, 0.0)
    loss.backward()
    return loss


def wasserstein_critic(x, fake, penalty):
    critic = nn.Sequential(nn.Dense(2, 8), nn.LeakyReLU(), nn.Dense(8, 1))
    loss = critic(fake).mean() - critic(x).mean()
    return critic, loss + 10.0 * penalty(critic, x, fake)


def reconstructions(model, images):
    x = tg.tensor((images / 127.5 - 1).transpose(0, 2, 3, 1), "float32")
    with nn.evaluating(model):
        return (model(x).numpy() + 1) / 2


def generator_loss(real, fake, guess, code):
    loss = bce(fake - real.mean(), 1.0) + bce(real - fake.mean(), 0.0)
    return loss + ((guess - code.reshape(-1, 1)) ** 2).mean()


def vae(deviation=lambda log_var: tg.exp(0.5 * log_var), reduce=lambda t: t.sum(axis=(1, 2, 3)).mean(), kl=tg.gaussian_kl):
    """The negative ELBO with another deviation, another sum over the pixels, or another KL."""

    def negative_elbo(decoder, x, mean, log_var, noise):
        logits = decoder(mean + deviation(log_var) * noise)
        return reduce(tg.softplus(logits) - x * logits) + kl(mean, log_var)

    return negative_elbo


def step(loss=lambda real, fake: bce(real, 1.0) + bce(fake, 0.0), before=lambda images: images.detach(), after=lambda logits: logits):
    """A step with another loss, or something else done with the generated images or with the logits."""

    def discriminator_step(generator, discriminator, x, z):
        found = loss(after(discriminator(x)), after(discriminator(before(generator(z)))))
        found.backward()
        return found

    return discriminator_step


def for_its_own_only(generator, discriminator, x, z):
    loss = bce(discriminator(x), 1.0) + bce(discriminator(generator(z)), 0.0)
    loss.backward(inputs=discriminator.parameters())
    return loss


def critic_with(layers=(), loss=lambda real, fake: fake.mean() - real.mean(), weight=10.0):
    """A critic with more layers, another loss, or another weight of the penalty."""

    def wasserstein_critic(x, fake, penalty):
        critic = nn.Sequential(nn.Dense(2, 8), *[layer(8) for layer in layers], nn.LeakyReLU(), nn.Dense(8, 1))
        return critic, loss(critic(x), critic(fake)) + weight * penalty(critic, x, fake)

    return wasserstein_critic


def made_by(axes=(0, 2, 3, 1), mode=nn.evaluating, result=lambda y: (y + 1) / 2, scaled=lambda images: images / 127.5 - 1):
    """Reconstructions with the axes in another order (None: reshaped), in another mode, or in another range."""

    def reconstructions(model, images):
        n, c, h, w = images.shape
        x = scaled(images)
        x = tg.tensor(x.reshape(n, h, w, c) if axes is None else x.transpose(axes), "float32")
        with mode(model):
            return result(model(x).numpy())

    return reconstructions


def in_training(model):
    return tg.no_grad()


def left_there(model, images):
    return made_by(mode=in_training)(model.eval(), images)


def by_hand(model, images):
    x = numpy.moveaxis(images, 1, -1).astype("float32") / 255
    y = model.eval()(tg.tensor(2 * x - 1)).numpy()
    model.train()
    return 0.5 * y + 0.5


def with_secret(guess_error=lambda guess, code: ((guess - code.reshape(-1, 1)) ** 2).mean(), adversarial=None):
    """G's loss with another error of the guesses, or another first part."""

    def generator_loss(real, fake, guess, code):
        right = bce(fake - real.mean(), 1.0) + bce(real - fake.mean(), 0.0)
        return (right if adversarial is None else adversarial(right, real, fake)) + guess_error(guess, code)

    return generator_loss


def overwritten(right, real, fake):
    return bce(fake, 1.0) + 0.0 * real.mean()


def elbo_found(function, x, mean, log_var, noise, seed):
    """The loss and its gradients."""
    tg.manual_seed(seed)
    decoder = nn.Sequential(nn.Dense(noise.shape[1], 12), nn.Reshape(4, 3, 1)).double()
    mean, log_var = tg.tensor(mean, requires_grad=True), tg.tensor(log_var, requires_grad=True)
    loss = function(decoder, tg.tensor(x), mean, log_var, tg.tensor(noise))
    return [loss, *tg.grad(loss, [mean, log_var])]


def step_found(function, x, z, seed):
    """The loss, and all gradients that the step leaves behind."""
    tg.manual_seed(seed)
    g, d = nn.Dense(z.shape[1], 2).double(), nn.Sequential(nn.Dense(2, 3), nn.LeakyReLU(), nn.Dense(3, 1)).double()
    loss = function(g, d, tg.tensor(x), tg.tensor(z))
    return [loss, *[p.grad for p in (*d.parameters(), *g.parameters())]]


def critic_found(function, x, fake, seed):
    """Whether the critic judges points alone as in a batch (1 or 0), and by how much its loss is off."""
    tg.manual_seed(seed)
    x, fake = tg.tensor(x, "float32"), tg.tensor(fake, "float32")

    def penalty(critic, x, fake):
        return (critic(0.5 * (x + fake)) ** 2).mean()

    critic, loss = function(x, fake, penalty)
    alone = int(numpy.allclose(critic(x[:2]).numpy(), critic(x).numpy()[:2], atol=1e-5))
    right = (critic(fake).mean() - critic(x).mean() + 10.0 * penalty(critic, x, fake)).item()
    return [alone, round(loss.item() - right, 3) + 0.0]


def images_found(function, images, seed):
    """The images, and the mode and the running mean of the model afterwards."""
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Conv2D(images.shape[1], images.shape[1], 1), nn.BatchNorm(images.shape[1]), nn.Tanh())
    found = function(model, images)
    return [found, int(model.training), model.state_dict()["layers.1.running_mean"]]


def secret_found(function, real, fake, guess, code):
    real, fake, guess = (tg.tensor(t, requires_grad=True) for t in (real, fake, guess))
    loss = function(real, fake, guess, tg.tensor(code))
    return [loss, *tg.grad(loss, [real, fake, guess])]


EXERCISES = [
    Exercise(
        "negative_elbo",
        negative_elbo,
        lambda rng: [(rng.uniform(size=(2, 4, 3, 1)), *rng.normal(size=(3, 2, 5)), seed) for seed in range(2)],
        apply=elbo_found,
        ideas={
            "both mistakes of room 1 are still there": vae(tg.exp, tg.mean),
            "one is mended. The error is still a mean over the pixels, so the KL counts far too much": vae(reduce=tg.mean),
            "one is mended. The noise is still multiplied by the variance: the deviation is its root": vae(tg.exp),
            "the deviation is right; the error is a sum over the batch, too: take the mean over the images": vae(reduce=lambda t: t.sum()),
            "the deviation is right; you made the KL a mean over the latent numbers, and it is the error that must be a sum": vae(
                reduce=tg.mean, kl=lambda mean, log_var: tg.gaussian_kl(mean, log_var) / float(mean.shape[1])
            ),
            "the sum is right; you multiply the noise by log_var itself": vae(lambda log_var: log_var),
        },
        right=[
            vae(lambda log_var: tg.sqrt(tg.exp(log_var))),
            vae(reduce=lambda t: t.sum() / float(t.shape[0]), kl=lambda m, v: 0.5 * (m * m + tg.exp(v) - 1.0 - v).sum(axis=1).mean()),
        ],
        hints=[
            "z is drawn from q: mean plus deviation times noise. And gaussian_kl adds up over the latent numbers.",
            "log_var is the logarithm of the square of the deviation. And the ELBO has a sum over the pixels.",
            "tg.exp(0.5 * log_var), and .sum(axis=(1, 2, 3)).mean()",
        ],
        tolerance=1e-6,
    ),
    Exercise(
        "discriminator_step",
        discriminator_step,
        lambda rng: [(rng.normal(size=(4, 2)), rng.normal(size=(4, 3)), seed) for seed in range(2)],
        apply=step_found,
        ideas={
            "both mistakes of room 2 are still there": step(before=lambda images: images, after=tg.sigmoid),
            "one is mended. The loss takes logits, and makes the sigmoid itself: yours has two": step(after=tg.sigmoid),
            "one is mended. The gradient still goes on through the generated images to G": step(before=lambda images: images),
            "what is detached is D's answer, so D learns nothing from generated images: detach the images": step(
                lambda real, fake: bce(real, 1.0) + bce(fake.detach(), 0.0), before=lambda images: images
            ),
            "one sigmoid is left, on the real side": step(lambda real, fake: bce(tg.sigmoid(real), 1.0) + bce(fake, 0.0)),
            "one sigmoid is left, on the generated side": step(lambda real, fake: bce(real, 1.0) + bce(tg.sigmoid(fake), 0.0)),
            "real and generated are exchanged": step(lambda real, fake: bce(real, 0.0) + bce(fake, 1.0)),
        },
        right=[for_its_own_only, step(before=lambda images: tg.tensor(images.numpy()))],
        hints=[
            "What does bce take, by its full name? And where does the gradient go behind D?",
            "binary_cross_entropy_with_logits makes the sigmoid itself. And generator(z) has a way back to G.",
            "discriminator(generator(z).detach()), and no tg.sigmoid",
        ],
        tolerance=1e-6,
    ),
    Exercise(
        "wasserstein_critic",
        wasserstein_critic,
        lambda rng: [(rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) + 1, seed) for seed in range(2)],
        apply=critic_found,
        ideas={
            "both mistakes of room 3 are still there": critic_with([nn.BatchNorm], tg.hinge_discriminator_loss),
            "one is mended. Batch norm still makes each score depend on the whole batch, and the penalty is for one at a time": critic_with(
                [nn.BatchNorm]
            ),
            "one is mended. The loss is still the hinge loss: nothing is cut off from a Wasserstein critic's scores": critic_with(
                (), tg.hinge_discriminator_loss
            ),
            "the critic is right; the sign of its loss is turned: it wants large scores for real points": critic_with(
                (), lambda real, fake: real.mean() - fake.mean()
            ),
            "the critic is right; take no size of the difference: then it may learn either sign": critic_with(
                (), lambda real, fake: tg.abs(fake.mean() - real.mean())
            ),
            "the penalty has lost its 10": critic_with(weight=1.0),
        },
        right=[critic_with([nn.LayerNorm]), critic_with((), lambda real, fake: -(real.mean() - fake.mean()))],
        hints=[
            "Which layer looks at other points of the batch? And which loss of lesson 23 is this?",
            "Take out nn.BatchNorm(8). And the loss is in the docstring.",
            "critic(fake).mean() - critic(x).mean()",
        ],
    ),
    Exercise(
        "reconstructions",
        reconstructions,
        lambda rng: [(rng.integers(0, 256, size=(2, 3, 3, 3)), seed) for seed in range(2)],
        apply=images_found,
        ideas={
            "both mistakes of room 4 are still there": made_by(None, in_training),
            "one is mended. The model is still in training: its batch norm looks at the whole batch, and moves its running mean": made_by(
                mode=in_training
            ),
            "one is mended. reshape still puts the same bytes into other places; move the axis of the channels to the end": made_by(None),
            "the mode is right; with (0, 3, 2, 1) rows become columns": made_by((0, 3, 2, 1)),
            "the images are right, and the model is left in evaluation mode: afterwards it should be as it was": left_there,
            "both are mended, but now the images are from -1 to 1": made_by(result=lambda y: y),
        },
        right=[by_hand, made_by(scaled=lambda images: images / 255 * 2 - 1)],
        hints=[
            "Which number stands behind which in memory, for (N, C, H, W) and for (N, H, W, C)? And what does batch norm do in training?",
            "transpose moves axes, reshape does not. And a model in use is not in training.",
            "images.transpose(0, 2, 3, 1), and `with nn.evaluating(model):` around the call",
        ],
        tolerance=1e-5,
    ),
    Exercise(
        "generator_loss",
        generator_loss,
        lambda rng: [(*rng.normal(size=(3, 4, 1)), rng.normal(size=4)) for _ in range(2)],
        apply=secret_found,
        ideas={
            "both mistakes of room 5 are still there": with_secret(lambda guess, code: ((guess - code) ** 2).mean(), overwritten),
            "one is mended. (N, 1) - (N,) still makes N times N differences": with_secret(lambda guess, code: ((guess - code) ** 2).mean()),
            "one is mended. The relativistic loss is still thrown away by the line after it": with_secret(adversarial=overwritten),
            "the guesses are right; the other line is to go, and you add it": with_secret(
                adversarial=lambda right, real, fake: right + bce(fake, 1.0)
            ),
            "the first part is right; the error is a sum over the batch, and its mean is wanted": with_secret(
                lambda guess, code: ((guess - code.reshape(-1, 1)) ** 2).sum()
            ),
            "the first part is right; compare each guess with its code, and not the mean of the guesses": with_secret(
                lambda guess, code: ((guess.mean() - code) ** 2).mean()
            ),
        },
        right=[
            with_secret(lambda guess, code: tg.mse_loss(guess.reshape(-1), code)),
            with_secret(lambda guess, code: ((guess.reshape(-1) - code) ** 2).mean()),
        ],
        hints=[
            "What is `loss` before the last line, and what has become of its first value? Which shape has guess - code?",
            "One line is to go. And guess and code must have one shape, as in lesson 05.",
            "code.reshape(-1, 1)",
        ],
        tolerance=1e-6,
    ),
]
