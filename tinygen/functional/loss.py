"""Losses. Those on probabilities take logits, so that no probability is ever rounded to 0 or 1."""

from tinygen.backend import Array, array_module
from tinygen.functional.activation import softplus
from tinygen.functional.elementwise import abs, exp
from tinygen.functional.reduce import logsumexp, mean
from tinygen.functional.reduce import sum as sum_
from tinygen.functional.shape import expect_labels
from tinygen.tensor import Operand, Tensor, raw


def cross_entropy(logits: Tensor, labels: Tensor | Array) -> Tensor:
    """mean_n -log softmax(logits_n)[labels_n], in nats: logits (N, classes), labels (N,) integers.

    Raises ValueError where the shapes do not agree or a label is no class. Labels that lie on a GPU wrap around instead: to look at
    them would be to wait for it.
    """
    classes = raw(labels)
    if logits.ndim != 2 or classes.shape != logits.shape[:1]:
        raise ValueError(f"cross_entropy: logits must be (N, classes) and labels (N,), got {logits.shape} and {classes.shape}")
    expect_labels("cross_entropy", classes, logits.shape[1])
    rows = array_module(logits.data).arange(len(logits))
    return mean(logsumexp(logits, axis=1) - logits[rows, classes])


def binary_cross_entropy_with_logits(logits: Tensor, targets: Operand) -> Tensor:
    """The mean over all elements of -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)) = softplus(z) - t z, in nats.

    `targets` is a number or a Tensor that broadcasts to logits, from 0 to 1.
    """
    return mean(softplus(logits) - logits * targets)


def mse_loss(a: Tensor, b: Operand) -> Tensor:
    """The mean over all elements of (a - b)^2."""
    difference = a - b
    return mean(difference * difference)


def l1_loss(a: Tensor, b: Operand) -> Tensor:
    """The mean over all elements of |a - b|."""
    return mean(abs(a - b))


def gaussian_kl(mean_: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) || N(0, 1)) in nats, summed over the last axis and averaged over the others (Kingma & Welling, 2014).

    1/2 sum(mean^2 + e^log_var - 1 - log_var); both (..., dimensions).
    """
    return mean(sum_(mean_ * mean_ + exp(log_var) - 1.0 - log_var, axis=-1)) * 0.5
