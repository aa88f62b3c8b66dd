"""Losses. Those on probabilities take logits, so that no probability is ever rounded to 0 or 1."""

from collections.abc import Callable, Sequence

import numpy
from tinygen_kernels import for_array

from tinygen.backend import Array, array_module, from_host, generator, to_device
from tinygen.engine.arguments import shown
from tinygen.engine.fused import Fused
from tinygen.engine.grad import grad
from tinygen.engine.mode import is_recording, switched
from tinygen.engine.tensor import Operand, Tensor, array_of
from tinygen.functional.activation import softplus
from tinygen.functional.elementwise import abs, exp, sqrt
from tinygen.functional.indexing import checked_labels
from tinygen.functional.reduce import logsumexp, mean
from tinygen.functional.reduce import sum as sum_
from tinygen.functional.selection import clip, maximum, where
from tinygen.functional.shape import expand_dims, reshape


def cross_entropy(
    logits: Tensor,
    labels: Tensor | Array | Sequence[int],
    weight: Tensor | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean of -log softmax(logits)[label], in nats: logits (N, ..., classes), labels (N, ...) integers.

    `weight` (classes,) makes it a weighted mean, in which each label counts as much as its class. Labels
    equal to `ignore_index` do not count; where none is left the loss is 0. `label_smoothing` s takes
    the class of the label with probability 1 - s, and with s any class at random (Szegedy et al., 2016).

    Raises ValueError where the shapes do not agree, a label is not a class or s is not from 0 to 1, and
    TypeError where labels are not integers. Labels on a GPU are not looked at, since the host would
    have to wait for it: there they wrap around.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be from 0 to 1, got {label_smoothing}")
    kept: Array | None = None
    if ignore_index is not None:
        array = array_of(labels) if hasattr(labels, "dtype") else numpy.asarray(labels)
        here = array != ignore_index
        kept, labels = to_device(here, logits.device), here * array
    classes = _classes_of(logits, labels, weight)
    if logits.ndim > 2:
        logits, classes, kept = reshape(logits, (-1, logits.shape[-1])), classes.ravel(), None if kept is None else kept.ravel()
    xp = array_module(logits.data)
    normalizer = logsumexp(logits, axis=1)
    losses, shares = normalizer - logits[xp.arange(len(logits)), classes], None
    if weight is not None:
        shares = weight[classes]
        losses = losses * shares
    if label_smoothing:
        each = expand_dims(normalizer, 1) - logits
        losses = losses * (1.0 - label_smoothing) + mean(each if weight is None else each * weight, 1) * label_smoothing
    if kept is not None:
        losses, shares = where(kept, losses, 0.0), where(kept, Tensor(xp.ones_like(losses.data)) if shares is None else shares, 0.0)
    if shares is None:
        return mean(losses)
    whole = sum_(shares)
    return sum_(losses) / where(whole == 0, 1.0, whole)


def _classes_of(logits: Tensor, labels: Tensor | Array | Sequence[int], weight: Tensor | None) -> Array:
    """The labels, checked, and checked with them that the logits and the weight have their shapes."""
    count = logits.shape[-1] if logits.ndim else 0
    classes = checked_labels("cross_entropy", labels, count)
    if logits.ndim < 2 or classes.shape != logits.shape[:-1]:
        cure = {
            logits.shape: "; labels.argmax(axis=-1) makes labels of one-hot rows",
            (*logits.shape[:1], 1): "; labels.reshape(-1) is (N,)",
        }
        got = f"got {logits.shape} and {classes.shape}{cure.get(classes.shape, '')}"
        raise ValueError(f"cross_entropy: logits must be (N, ..., classes) and labels (N, ...), {got}")
    if weight is not None and weight.shape != (count,):
        raise ValueError(f"cross_entropy: weight must be ({count},), a number for each class, got {weight.shape}")
    return classes


def _expect_target(name: str, a: Tensor, b: Operand) -> None:
    """Raise an error unless the target has the dtype of a and broadcasts to its shape.

    Scores (N, 1) and targets (N,) would make N^2 differences.
    """
    if isinstance(b, Tensor) and b.dtype != a.dtype:
        raise TypeError(f"{name}: the target is {b.dtype}, but must be {a.dtype}; convert it with .astype('{a.dtype}')")
    if isinstance(b, Tensor) and (b.ndim > a.ndim or any(n not in (1, m) for n, m in zip(b.shape[::-1], a.shape[::-1], strict=False))):
        cure = f"; write target.reshape{a.shape}" if a.size == b.size else ""
        raise ValueError(f"{name}: the target {b.shape} does not broadcast to {a.shape}{cure}")


class BinaryCrossEntropyFunction(Fused):
    """softplus(z) - t z of logits z and targets t, which require no gradient."""

    __slots__ = ()

    def composite(self, z: Tensor, t: Operand) -> Tensor:
        return softplus(z) - z * t

    def forward(self, z: Array, t: Array | float) -> Array:
        return for_array(z, None if isinstance(t, float) else t).binary_cross_entropy(z, t)

    def kernel_backward(self, g: Array, y: Array, z: Array, t: Array | float) -> tuple[Array | None, ...]:
        return for_array(z).binary_cross_entropy_backward(g, z, t), None


def binary_cross_entropy_with_logits(logits: Tensor, targets: Operand) -> Tensor:
    """The mean of -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)) = softplus(z) - t z, in nats.

    `targets` is a number or a Tensor that broadcasts to logits, from 0 to 1. Raises ValueError
    where it does not.
    """
    _expect_target("binary_cross_entropy_with_logits", logits, targets)
    terms = BinaryCrossEntropyFunction()
    learned = isinstance(targets, Tensor) and targets.requires_grad
    return mean(terms.composite(logits, targets) if learned else terms(logits, targets))


def mse_loss(a: Tensor, b: Operand) -> Tensor:
    """The mean over all elements of (a - b)^2. Raises ValueError where b does not broadcast to a."""
    _expect_target("mse_loss", a, b)
    difference = a - b
    return mean(difference * difference)


def l1_loss(a: Tensor, b: Operand) -> Tensor:
    """The mean over all elements of |a - b|. Raises ValueError where b does not broadcast to a."""
    _expect_target("l1_loss", a, b)
    return mean(abs(a - b))


def huber_loss(a: Tensor, b: Operand, delta: float = 1.0) -> Tensor:
    """The mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = a - b (Huber, 1964).

    Raises ValueError where b does not broadcast to a, and where delta is not positive.
    """
    _expect_target("huber_loss", a, b)
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    difference = a - b
    clipped = clip(difference, -delta, delta)
    return mean(clipped * (difference - clipped * 0.5))


def gaussian_kl(mean_: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) || N(0, 1)) in nats (Kingma & Welling, 2014).

    1/2 sum(mean^2 + e^log_var - 1 - log_var) over the last axis, averaged over the others. Both are
    (..., dimensions). Raises ValueError where their
    shapes differ.
    """
    if mean_.shape != log_var.shape:
        raise ValueError(f"gaussian_kl: mean {mean_.shape} and log_var {log_var.shape} must have one shape")
    return mean(sum_(mean_ * mean_ + exp(log_var) - 1.0 - log_var, axis=-1)) * 0.5


def least_squares_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 mean (D(x) - 1)^2 + 1/2 mean D(G(z))^2 of the scores `real` and `fake` (Mao et al., 2017)."""
    return (mse_loss(real, 1.0) + mse_loss(fake, 0.0)) * 0.5


def least_squares_generator_loss(fake: Tensor) -> Tensor:
    """1/2 mean (D(G(z)) - 1)^2, of the discriminator's scores (Mao et al., 2017)."""
    return mse_loss(fake, 1.0) * 0.5


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z))) of the scores (Lim & Ye, 2017).

    The generator's loss is `wasserstein_generator_loss`.
    """
    return mean(maximum(0.0, 1.0 - real)) + mean(maximum(0.0, 1.0 + fake))


def wasserstein_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """mean D(G(z)) - mean D(x), of a critic's scores (Arjovsky, Chintala & Bottou, 2017).

    Its negative is at most K times the Wasserstein distance between the images and G's where no
    slope of the critic is above K.
    """
    return mean(fake) - mean(real)


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """-mean D(G(z)), of a critic's scores (Arjovsky, Chintala & Bottou, 2017)."""
    return -mean(fake)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """The gradient penalty of a Wasserstein critic (Gulrajani et al., 2017).

        mean_n (|grad critic(x_n)| - 1)^2  at  x_n = e_n real_n + (1 - e_n) fake_n,  e_n ~ U(0, 1)

    Holds the slope of a critic near 1 between real and generated examples (N, ...), by the norm of its
    gradient to each, |v| = sqrt(v.v + 1e-12). The critic must judge each example by itself: no
    batch norm. The random stream gives the e_n.

    Raises ValueError where the shapes of real and fake differ, and TypeError where the critic does
    not give a Tensor.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient_penalty: real {real.shape} and fake {fake.shape} must have one shape")
    each, dtype = (len(real), *[1] * (real.ndim - 1)), real.dtype
    e = Tensor(from_host(lambda: generator().random(each).astype(dtype), real.device))
    x = e * real + (1.0 - e) * fake
    if not x.requires_grad:
        x = Tensor(x.data, requires_grad=True)
    differentiable = is_recording()
    with switched("recording", True):
        scores = critic(x)
        if not isinstance(scores, Tensor):
            raise TypeError(f"gradient_penalty: critic must give a Tensor, got {shown(scores)}")
        slope = grad(sum_(scores), x, create_graph=differentiable)
    norm = sqrt(sum_(slope * slope, tuple(range(1, x.ndim))) + 1e-12)  # a root has no derivative at 0
    return mse_loss(norm, 1.0)
