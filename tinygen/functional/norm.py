"""Normalisation: x is centred and divided by its deviation, then scaled by gamma and shifted by beta."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tinygen_kernels import for_array

from tinygen.backend import Array, shard
from tinygen.engine.fused import Fused
from tinygen.engine.tensor import Tensor
from tinygen.functional.activation import leaky_relu
from tinygen.functional.elementwise import sqrt
from tinygen.functional.reduce import mean, var
from tinygen.functional.shape import broadcast_to, concatenate, reshape


@dataclass(slots=True, eq=False)
class BatchNormFunction(Fused):
    eps: float
    negative_slope: float
    mean: Array = field(init=False, repr=False)
    var: Array = field(init=False, repr=False)

    def composite(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        axes = tuple(range(x.ndim - 1))
        return _affine(x, mean(x, axes), var(x, axes), gamma, beta, self.eps, self.negative_slope)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y, self.mean, self.var = for_array(x, gamma, beta).batch_norm(x, gamma, beta, self.eps, self.negative_slope, *_over_all())
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array | None, ...]:
        moments = self.mean, self.var
        return for_array(x, g).batch_norm_backward(g, x, y, gamma, *moments, self.eps, self.negative_slope, *_over_all())


def _over_all() -> tuple[Callable[[Array], Array], ...]:
    """What averages the sums of batch norm over the processes that share a batch, if any do."""
    shared = shard()
    return () if shared is None else (shared.mean,)


@dataclass(slots=True, eq=False)
class GroupNormFunction(Fused):
    groups: int
    eps: float
    mean: Array = field(init=False, repr=False)
    var: Array = field(init=False, repr=False)

    def composite(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        rows = reshape(x, (len(x), math.prod(x.shape[1:-1]), x.shape[-1]))
        centred = rows - _means_of_groups(rows, self.groups)
        scale = gamma / sqrt(_means_of_groups(centred * centred, self.groups) + self.eps)
        return reshape(centred * scale + beta, x.shape)

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y, self.mean, self.var = for_array(x, gamma, beta).group_norm(x, gamma, beta, self.groups, self.eps)
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array | None, ...]:
        return for_array(x, g).group_norm_backward(g, x, gamma, self.mean, self.var, self.groups, self.eps)


@dataclass(slots=True, eq=False)
class MinibatchDeviationFunction(Fused):
    eps: float
    batches: int
    mean: Array = field(init=False, repr=False)
    deviation: Array = field(init=False, repr=False)

    def composite(self, x: Tensor) -> Tensor:
        examples = reshape(x, (-1, self.batches, *x.shape[1:]))
        centred = examples - mean(examples, 0, keepdims=True)
        s = mean(sqrt(mean(centred * centred, 0, keepdims=True) + self.eps), tuple(range(2, examples.ndim)), keepdims=True)
        return reshape(concatenate([examples, broadcast_to(s, (*examples.shape[:-1], 1))], axis=-1), (*x.shape[:-1], -1))

    def forward(self, x: Array) -> Array:
        y, self.mean, self.deviation = for_array(x).minibatch_deviation(x, self.eps, self.batches, *_over_all())
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array) -> tuple[Array | None, ...]:
        return (for_array(x, g).minibatch_deviation_backward(g, x, self.mean, self.deviation, *_over_all()),)


def _affine(x: Tensor, mean: Tensor, var: Tensor, gamma: Tensor, beta: Tensor, eps: float, negative_slope: float) -> Tensor:
    """The leaky ReLU of gamma (x - mean) / sqrt(var + eps) + beta."""
    z = (x - mean) * (gamma / sqrt(var + eps)) + beta
    return z if negative_slope == 1 else leaky_relu(z, negative_slope)


def batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.9,
    eps: float = 1e-5,
    negative_slope: float = 1.0,
) -> Tensor:
    """gamma (x - mean) / sqrt(var + eps) + beta for each channel (Ioffe & Szegedy, 2015).

    x is (..., C); gamma, beta and the running statistics are (C,). In training, mean and (biased)
    variance are taken over all axes but the last, and the running statistics, where given, change in
    place: running = momentum running + (1 - momentum) batch. Where processes share a batch, it is the
    batch of all of them. Outside training the running statistics are used. A leaky ReLU of
    `negative_slope` follows in the same pass over memory: 0 gives a ReLU, and 1 none.

    Raises ValueError where shapes do not agree, where training sees one value per channel, where
    running statistics are missing, and where negative_slope is negative.
    """
    if not negative_slope >= 0:
        raise ValueError(f"batch_norm: negative_slope must be at least 0, got {negative_slope}")
    channels = x.shape[-1:]
    for name, t in (("gamma", gamma), ("beta", beta), ("running_mean", running_mean), ("running_var", running_var)):
        if t is not None and t.shape != channels:
            raise ValueError(f"batch_norm: {name} has shape {t.shape} but x {x.shape} has {x.shape[-1] if x.ndim else 'no'} channels")
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: outside training it needs running_mean and running_var")
        return _affine(x, running_mean, running_var, gamma, beta, eps, negative_slope)
    if x.size <= x.shape[-1] and shard() is None:
        raise ValueError(f"batch_norm: training needs more than one value per channel, x is {x.shape}")
    function = BatchNormFunction(eps, negative_slope)
    y = function(x, gamma, beta)
    moments = (running_mean, function.mean), (running_var, function.var)
    moved = [(old.data, new) for old, new in moments if old is not None]
    if moved:
        running, batch = zip(*moved, strict=True)
        for_array(x.data).blend(running, batch, (momentum, 1.0 - momentum))
    return y


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """gamma (x - mean) / sqrt(var + eps) + beta for each example (Ba, Kiros & Hinton, 2016).

    x is (..., *gamma.shape). Mean and (biased) variance are taken over the axes that gamma has.
    Raises ValueError where x does not end in the shape of gamma and beta.
    """
    if gamma.shape != beta.shape or gamma.ndim == 0 or x.shape[-gamma.ndim :] != gamma.shape:
        raise ValueError(f"layer_norm: x {x.shape} must end in the shape of gamma {gamma.shape} and beta {beta.shape}")
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    return (x - mean(x, axes, keepdims=True)) / sqrt(var(x, axes, keepdims=True) + eps) * gamma + beta


def group_norm(x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float = 1e-5) -> Tensor:
    """gamma (x - mean) / sqrt(var + eps) + beta for each group of channels (Wu & He, 2018).

    x is (N, ..., C), gamma and beta are (C,). The C channels form so many groups of neighbours. Mean and
    (biased) variance of each example are taken over the channels of a group and all axes between.

    Raises ValueError where shapes do not agree, where groups does not divide C, and where a group has
    one value.
    """
    channels = x.shape[-1] if x.ndim > 1 else 0
    if not channels or gamma.shape != (channels,) or beta.shape != (channels,):
        raise ValueError(f"group_norm: x {x.shape} must be (N, ..., C), gamma {gamma.shape} and beta {beta.shape} (C,)")
    if groups < 1 or channels % groups:
        raise ValueError(f"group_norm: {channels} channels cannot be divided into {groups} groups")
    if math.prod(x.shape[1:-1]) * channels // groups < 2:
        raise ValueError(f"group_norm: a group needs more than one value, x is {x.shape} and groups {groups}")
    function = GroupNormFunction(groups, eps)
    return function(x, gamma, beta) if x.size else function.composite(x, gamma, beta)


def _means_of_groups(x: Tensor, groups: int) -> Tensor:
    """The mean of each group of channels: (N, P, C) -> (N, 1, C). Pixels come first, since their rows are long."""
    n, _, channels = x.shape
    grouped = reshape(mean(x, 1), (n, groups, channels // groups))
    return reshape(broadcast_to(mean(grouped, 2, keepdims=True), grouped.shape), (n, 1, channels))


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """`group_norm` with each channel as a group of its own (Ulyanov, Vedaldi & Lempitsky, 2016)."""
    return group_norm(x, gamma, beta, gamma.size, eps)


def minibatch_deviation(x: Tensor, eps: float = 1e-8, batches: int = 1) -> Tensor:
    """x with one channel more, which says how much the examples differ (Karras et al., 2018, section 3).

        s = mean over h, w, c of sqrt(var over n of x[n, h, w, c] + eps)

    x is (N, ..., C), the result (N, ..., C + 1), and s is the same number everywhere in the new channel.
    With several `batches` in x, which take turns, example n is one of batch n % batches, and each batch has
    its own s. Where processes share a batch, it is the batch of all of them. Raises ValueError where x has
    less than two axes, or no element, and where its examples cannot be divided into as many batches.
    """
    if x.ndim < 2 or not x.size:
        raise ValueError(f"minibatch_deviation: x must be (N, ..., C) with at least one element, it is {x.shape}")
    if batches < 1 or len(x) % batches:
        raise ValueError(f"minibatch_deviation: {len(x)} examples cannot be divided into {batches} batches")
    return MinibatchDeviationFunction(eps, batches)(x)
