"""Layers that compute a mean and a deviation: normalisation, and the deviation itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from tinygen import functional as F
from tinygen.engine.tensor import Shape, Tensor
from tinygen.nn.activation import Activation
from tinygen.nn.describe import expect_sizes
from tinygen.nn.module import Module
from tinygen.nn.parameter import Buffer, Parameter


class BatchNorm(Module):
    """Batch normalisation over all axes but the last, `functional.batch_norm` (Ioffe & Szegedy, 2015).

    In training it uses the batch's mean and variance, and moves the running ones:

        running = momentum running + (1 - momentum) batch.

    Outside of training it uses the running ones. `negative_slope` is that of a leaky ReLU that is
    computed in the same pass; 1 means none. `forward` takes an `activation`, a ReLU or LeakyReLU, to
    the same end. Raises ValueError for channels below 1 and a momentum
    that is not from 0 to 1.
    """

    def __init__(self, channels: int, momentum: float = 0.9, eps: float = 1e-5, negative_slope: float = 1.0) -> None:
        expect_sizes("BatchNorm", channels=channels)
        if not isinstance(momentum, int | float) or not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum must be from 0 to 1, got {momentum!r}")
        self.gamma = Parameter(F.ones((channels,)))
        self.beta = Parameter(F.zeros((channels,)))
        self.running_mean = Buffer(F.zeros((channels,)))
        self.running_var = Buffer(F.ones((channels,)))
        self.momentum, self.eps, self.negative_slope = momentum, eps, negative_slope

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        statistics = self.running_mean, self.running_var, self.training, self.momentum
        negative_slope = self.negative_slope if activation is None else self.negative_slope * activation.negative_slope
        return F.batch_norm(x, self.gamma, self.beta, *statistics, self.eps, negative_slope)

    def describe(self) -> str:
        activation = f", negative_slope {self.negative_slope}" if self.negative_slope != 1 else ""
        return f"BatchNorm({self.gamma.shape[0]}{activation})"


class LayerNorm(Module):
    """Layer normalisation of each example over its last axes, `functional.layer_norm` (Ba et al., 2016).

    `shape` has the sizes of these axes. Raises ValueError for sizes that are not integers of at least 1.
    """

    def __init__(self, shape: int | Shape, eps: float = 1e-5) -> None:
        normalized = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        for size in normalized:
            expect_sizes("LayerNorm", shape=size)
        self.gamma = Parameter(F.ones(normalized))
        self.beta = Parameter(F.zeros(normalized))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gamma, self.beta, self.eps)

    def describe(self) -> str:
        return f"LayerNorm({', '.join(map(str, self.gamma.shape))})"


class GroupNorm(Module):
    """Normalisation of groups of channels of each example, `functional.group_norm` (Wu & He, 2018).

    x is (N, ..., C): `GroupNorm(8, 64)` normalises 8 groups of 8 of the 64 channels.

    Raises ValueError for sizes that are not integers of at least 1, and where groups does not divide
    channels.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        expect_sizes(type(self).__name__, groups=groups, channels=channels)
        if channels % groups:
            raise ValueError(f"GroupNorm: {channels} channels cannot be divided into {groups} groups")
        self.gamma = Parameter(F.ones((channels,)))
        self.beta = Parameter(F.zeros((channels,)))
        self.groups, self.eps = groups, eps

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.gamma, self.beta, self.groups, self.eps)

    def describe(self) -> str:
        return f"GroupNorm({self.groups}, {self.gamma.shape[0]})"


class InstanceNorm(GroupNorm):
    """Normalisation of each channel of each example, `functional.instance_norm` (Ulyanov et al., 2016).

    It is a GroupNorm with as many groups as channels. Raises ValueError unless channels is an integer of
    at least 1.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, channels, eps)

    def describe(self) -> str:
        return f"InstanceNorm({self.groups})"


class MinibatchDeviation(Module):
    """One channel more, which says how much the images of a batch differ: `functional.minibatch_deviation`.

    In a discriminator it tells generated images that are too much alike from real ones (Karras et
    al., 2018). Within `taking_turns`, each of several batches in one input is compared by itself.
    """

    batches: int = 1

    def forward(self, x: Tensor) -> Tensor:
        return F.minibatch_deviation(x, batches=self.batches)


@contextmanager
def taking_turns(module: Module, batches: int) -> Iterator[None]:
    """Within, example n of the module's inputs is one of batch n % batches, for each MinibatchDeviation in it.

    Batch norm still takes them for one batch.
    """
    before = {layer: layer.batches for layer in module.modules() if isinstance(layer, MinibatchDeviation)}
    for layer in before:
        layer.batches = batches
    try:
        yield
    finally:
        for layer, number in before.items():
            layer.batches = number
