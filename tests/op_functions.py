"""The functions in `op_table` that take more than an expression: NumPy's, and rearranged ones."""

from collections.abc import Callable
from typing import Any

import numpy
from numpy import ndarray

import tinygen.functional as F
from tinygen import Tensor, manual_seed
from tinygen.backend import to_device


def a_sum_of_products(einsum: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs, subscripts: einsum(subscripts, *xs)


def joined_again(split: Callable[..., Any], concatenate: Callable[..., Any] = numpy.concatenate) -> Callable[..., Any]:
    """The parts, the last in front, each with a factor of its own, in one array."""
    return lambda x, axis, **arguments: concatenate([part * k for k, part in enumerate(split(x, axis=axis, **arguments), 2)][::-1], axis)


def a_list(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of one list as one of many arguments."""
    return lambda *xs, **arguments: function(xs, **arguments)


def seeded_dropout(x: Tensor, p: float) -> Tensor:
    manual_seed(0)
    return F.dropout(x, p)


def evaluated_batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, deviation: Tensor, eps: float) -> Tensor:
    return F.batch_norm(x, gamma, beta, mean, deviation * deviation, training=False, eps=eps)


def activated_batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """With the channels far from the kink of leaky ReLU, in turn below and above it."""
    sides = numpy.resize([-20.0, 20.0], beta.shape).astype(beta.dtype)
    return F.batch_norm(x, gamma, beta + Tensor(to_device(sides, beta.device)), eps=eps, negative_slope=0.3)


def activated_layer(name: str) -> Callable[..., Tensor]:
    """With the channels far from the kink of leaky ReLU, in turn below and above it."""

    def function(x: Tensor, weight: Tensor, bias: Tensor, **arguments: Any) -> Tensor:
        sides = numpy.resize([-200.0, 200.0], bias.shape).astype(bias.dtype)
        return getattr(F, name)(x, weight, bias + Tensor(to_device(sides, bias.device)), negative_slope=0.3, **arguments)  # type: ignore[no-any-return]

    return function


def hinge_away_from_its_kink(real: Tensor, fake: Tensor) -> Tensor:
    return F.hinge_discriminator_loss(real + 1, fake - 1)


def seeded_gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
    manual_seed(0)
    return F.gradient_penalty(lambda x: x * F.sin(x + F.sum(x, (1, 2), keepdims=True)), real, fake)


def numpy_softmax(x: ndarray, axis: int) -> ndarray:
    return numpy.exp(x) / numpy.exp(x).sum(axis, keepdims=True)


def numpy_group_norm(x: ndarray, gamma: ndarray, beta: ndarray, eps: float, groups: int | None = None) -> ndarray:
    parts, over = numpy.split(x, groups or x.shape[-1], axis=-1), {"axis": tuple(range(1, x.ndim)), "keepdims": True}
    normal = [(part - part.mean(**over)) / numpy.sqrt(part.var(**over) + eps) for part in parts]
    return numpy.concatenate(normal, -1) * gamma + beta  # type: ignore[no-any-return]


def numpy_minibatch_deviation(x: ndarray, eps: float, batches: int = 1) -> ndarray:
    y = numpy.concatenate([x, x[..., :1]], -1)
    for i in range(batches):
        y[i::batches, ..., -1] = numpy.sqrt(x[i::batches].var(0) + eps).mean()
    return y


def numpy_attention_weights(query: ndarray, key: ndarray, scale: float | None, mask: ndarray | None, causal: bool) -> ndarray:
    similarity = numpy.exp(query @ key.swapaxes(-1, -2) * (max(1, query.shape[-1]) ** -0.5 if scale is None else scale))
    similarity = similarity if mask is None else similarity * mask
    similarity = numpy.tril(similarity) if causal else similarity
    return similarity / similarity.sum(-1, keepdims=True)


def numpy_huber(a: ndarray, b: ndarray) -> ndarray:
    return numpy.where(abs(a - b) < 0.3, (a - b) ** 2 / 2, 0.3 * (abs(a - b) - 0.15)).mean()  # type: ignore[no-any-return]


def numpy_pad(x: ndarray, widths: Any, mode: Any) -> ndarray:
    return numpy.pad(x, widths, "edge" if mode == "replicate" else mode)


def numpy_grouped(x: ndarray, weight: ndarray, bias: ndarray, groups: int, **geometry: Any) -> ndarray:
    parts = zip(numpy.split(x, groups, -1), numpy.split(weight, groups, -1), strict=True)
    return numpy.concatenate([F.conv2d(Tensor(a), Tensor(w), **geometry).numpy() for a, w in parts], -1) + bias


def numpy_conv1d(x: ndarray, weight: ndarray, bias: ndarray, padding: tuple[int, int]) -> ndarray:
    padded = numpy.pad(x, ((0, 0), padding, (0, 0)))
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, len(weight), 1)  # (N, T', C, k)
    return numpy.einsum("ntck,kco->nto", windows, weight) + bias


def numpy_bilinear(x: ndarray, factor: tuple[int, int], mode: str) -> ndarray:
    for axis, times in enumerate(factor, 1):
        places = ((numpy.arange(x.shape[axis] * times) + 0.5) / times - 0.5).clip(0, max(0, x.shape[axis] - 1))
        below, above = numpy.floor(places).astype(int), numpy.ceil(places).astype(int)
        share = (places - below).reshape([-1 if a == axis else 1 for a in range(4)])
        x = (1 - share) * x.take(below, axis) + share * x.take(above, axis)
    return x


def numpy_pixel_shuffle(x: ndarray, factor: int) -> ndarray:
    n, h, w, channels = x.shape
    y = numpy.empty((n, h * factor, w * factor, channels // factor**2))
    for a, b in numpy.ndindex(factor, factor):
        y[:, a::factor, b::factor] = x[..., a * factor + b :: factor**2]
    return y


def numpy_biased_attention(query: ndarray, key: ndarray, bias: ndarray) -> ndarray:
    similarity = numpy.exp(query @ key.swapaxes(-1, -2) * max(1, query.shape[-1]) ** -0.5 + bias)
    return similarity / similarity.sum(-1, keepdims=True)


def numpy_sinusoids(t: ndarray, features: int, max_period: float) -> ndarray:
    angles = [t / max_period ** (2 * i / features) for i in range(features // 2)]
    return numpy.stack([*map(numpy.sin, angles), *map(numpy.cos, angles)], -1)


def weighted(logits: Tensor, weight: Tensor, labels: ndarray, **options: Any) -> Tensor:
    return F.cross_entropy(logits, labels, weight, **options)


def numpy_weighted_cross_entropy(logits: ndarray, weight: ndarray, labels: ndarray, ignore_index: int, label_smoothing: float) -> float:
    """The loss of each label that counts, one after the other."""
    places = [place for place in numpy.ndindex(labels.shape) if labels[place] != ignore_index]
    losses = 0.0
    for place in places:
        of_classes = -weight * numpy.log(numpy_softmax(logits[place], 0))
        losses += (1 - label_smoothing) * of_classes[labels[place]] + label_smoothing * of_classes.mean()
    return losses / sum(weight[labels[place]] for place in places)  # type: ignore[no-any-return]
