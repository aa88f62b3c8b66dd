"""All public functions of tinygen.functional in one table: what each takes, and what NumPy says it means.

A row is an `Op`. Everything that must hold for every function is said once, in functional/test_op_table.py,
and holds for a new function by adding its row here. Shapes, axes, strides and paddings are drawn by hypothesis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
from geometry_strategies import convolutions, grouped_convolutions, pools, transposed_convolutions
from hypothesis import strategies as st
from numpy import ndarray
from op_strategies import (
    EXPONENTS,
    PLACES,
    Call,
    along_an_axis,
    any_shape,
    attentions,
    axis_of_three,
    biased,
    classifications,
    einsums,
    embeddings,
    enlarged,
    group_normalisations,
    image_shape,
    joined,
    layers,
    normalisations,
    one,
    paddings,
    products,
    reductions,
    reshapes,
    sequence_convolutions,
    sequences,
    shuffled,
    side,
    slopes,
    splits,
    spread,
    squeezes,
    stretched,
    takes,
    targeted,
    three,
    transposes,
    twins,
    two,
)

import tinygen.functional as F
from tinygen import Tensor, grad, manual_seed
from tinygen.backend import array_module, to_device
from tinygen.testing import random_tensor, shapes


@dataclass(frozen=True)
class Example:
    """A function with its other arguments filled in, and arrays to apply it to."""

    function: Callable[..., Tensor]
    arrays: tuple[ndarray, ...]
    expected: ndarray | None

    def tensors(self, dtype: str = "float64", device: str = "cpu", layout: Callable[[ndarray], ndarray] = numpy.copy) -> list[Tensor]:
        return [Tensor(to_device(layout(a.astype(dtype)), device), requires_grad=True) for a in self.arrays]


@dataclass(frozen=True)
class Op:
    """One row: `name` in tinygen.functional, the calls to draw, NumPy's function of the same meaning, and the range of the inputs.

    `linear` says that the function is linear in its first input. `function` stands in where the call needs rearranging.
    """

    name: str
    calls: st.SearchStrategy[Call]
    oracle: Callable[..., Any] | None = None
    linear: bool = False
    low: float = -2.0
    high: float = 2.0
    function: Callable[..., Tensor] | None = None
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.note}".rstrip()

    def examples(self) -> st.SearchStrategy[Example]:
        return st.builds(self._example, self.calls, st.integers(0, 2**32 - 1))

    def _example(self, call: Call, seed: int) -> Example:
        sizes, arguments = call
        counts = [int(numpy.prod(size)) for size in sizes]
        # Cut from one array of distinct numbers, so that no element of one input ties with one of another.
        flat = random_tensor((sum(counts),), numpy.random.default_rng(seed), self.low, self.high).data
        parts = numpy.split(flat, numpy.cumsum(counts)[:-1])
        arrays = tuple(part.reshape(size) for part, size in zip(parts, sizes, strict=True))
        expected = None if self.oracle is None else numpy.asarray(self.oracle(*arrays, **arguments))
        return Example(partial(self.function or getattr(F, self.name), **arguments), arrays, expected)


def derivatives(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """y = f(x), then the gradients of <y, c> to x, and then the gradients to x and c of the squares of those.

    c takes part in the last step, so that it is never empty: even a linear function has a gradient that moves with c.
    """
    y = function(*inputs)
    module = array_module(y.data)
    c = Tensor(module.linspace(1.0, 2.0, y.size, dtype=y.dtype).reshape(y.shape), requires_grad=True)
    first = grad(y, inputs, c, create_graph=True)
    second = grad(first, [*inputs, c], [g.detach() for g in first])
    return [y, *first, *second]


def same(name: str, calls: st.SearchStrategy[Call], expression: Callable[..., Any], **row: Any) -> Op:
    """A row for an expression that means the same for Tensors and for NumPy's arrays."""
    return Op(name, calls, expression, function=expression, **row)


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


def activated_convolution(name: str) -> Callable[..., Tensor]:
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


OPS = [
    Op("add", two, numpy.add),
    Op("sub", two, numpy.subtract),
    Op("mul", two, numpy.multiply, linear=True),
    Op("div", two, numpy.divide, linear=True, low=0.5),
    Op("pow", two, numpy.power, low=0.5),
    same("add", one, lambda x: 3 + x, note="to a number"),
    same("sub", one, lambda x: 3 - x, note="from a number"),
    same("mul", one, lambda x: 3 * x, note="a number", linear=True),
    same("div", one, lambda x: 3 / x, note="into a number", low=0.5),
    same("pow", one, lambda x: 3**x, note="of a number"),
    same("pow", takes(st.tuples(any_shape), b=EXPONENTS), lambda x, b: x**b, note="to a number", low=0.5),
    same("pow", takes(st.tuples(any_shape), b=st.integers(0, 3)), lambda x, b: x**b, note="of negative numbers"),
    Op("neg", one, numpy.negative, linear=True),
    Op("abs", one, numpy.abs),
    Op("sign", one, numpy.sign),
    Op("exp", one, numpy.exp),
    Op("log", one, numpy.log, low=0.5),
    Op("sqrt", one, numpy.sqrt, low=0.5),
    Op("sin", one, numpy.sin),
    Op("cos", one, numpy.cos),
    Op("maximum", two, numpy.maximum),
    Op("minimum", two, numpy.minimum),
    Op("maximum", one, lambda x: numpy.maximum(0, x), function=lambda x: F.maximum(0, x), note="and a number"),
    Op("minimum", one, lambda x: numpy.minimum(0, x), function=lambda x: F.minimum(0, x), note="and a number"),
    Op("clip", one, lambda x: x.clip(0, 9), function=lambda x: F.clip(x, 0, 9)),
    Op("clip", one, lambda x: x.clip(-9, 0), function=lambda x: F.clip(x, -9, 0), note="from above"),
    Op("where", three, lambda c, a, b: numpy.where(c > 0, a, b), function=lambda c, a, b: F.where(c > 0, a, b)),
    Op("straight_through", one, lambda x: x + 3, function=lambda x: F.straight_through(x.detach() + 3, x)),
    Op("to", one, lambda x: x, function=lambda x: F.to(x, x.device), linear=True),
    Op("astype", one, lambda x: x, function=lambda x: F.astype(F.astype(x, "float64"), x.dtype), linear=True),
    Op("relu", one, lambda x: numpy.maximum(x, 0)),
    Op("leaky_relu", takes(st.tuples(any_shape), negative_slope=st.just(0.3)), lambda x, negative_slope: numpy.maximum(x, 0.3 * x)),
    Op("elu", takes(st.tuples(any_shape), alpha=st.just(0.7)), lambda x, alpha: numpy.where(x > 0, x, alpha * (numpy.exp(x) - 1))),
    Op("prelu", slopes, lambda x, slope: numpy.where(x > 0, x, x * slope)),
    Op("tanh", one, numpy.tanh),
    Op("sigmoid", one, lambda x: 1 / (1 + numpy.exp(-x))),
    Op("softplus", one, lambda x: numpy.log(1 + numpy.exp(x))),
    Op("silu", one, lambda x: x / (1 + numpy.exp(-x))),
    Op("gelu", one, lambda x: x / 2 * (1 + numpy.tanh((2 / numpy.pi) ** 0.5 * (x + 0.044715 * x**3)))),
    Op("softmax", along_an_axis(), numpy_softmax),
    Op("log_softmax", along_an_axis(), lambda x, axis: numpy.log(numpy_softmax(x, axis))),
    Op("dropout", takes(st.tuples(any_shape), p=st.just(0.4)), function=seeded_dropout, linear=True),
    Op("sum", reductions(), numpy.sum, linear=True),
    Op("mean", reductions(), numpy.mean, linear=True),
    Op("var", reductions(), numpy.var),
    Op("max", reductions(), numpy.max),
    Op("min", reductions(), numpy.min),
    Op("logsumexp", reductions(), lambda x, axis, keepdims: numpy.log(numpy.exp(x).sum(axis, keepdims=keepdims))),
    Op("std", spread(), numpy.std),
    Op("cumsum", along_an_axis(optional=True), numpy.cumsum, linear=True),
    Op("sum_to", stretched(back=True), linear=True),
    Op("broadcast_to", stretched(back=False), numpy.broadcast_to, linear=True),
    Op("reshape", reshapes(), numpy.reshape, function=lambda x, shape: F.reshape(x, shape), linear=True),
    Op("transpose", transposes(), numpy.transpose, function=lambda x, axes: F.transpose(x, axes), linear=True),
    Op("swapaxes", takes(st.just([(2, 3, 1)]), axis1=axis_of_three, axis2=axis_of_three), numpy.swapaxes, linear=True),
    Op("squeeze", squeezes(), numpy.squeeze, linear=True),
    Op("expand_dims", takes(st.just([(2, 3)]), axis=st.sampled_from([0, 1, -1, (0, 2), (-1, 1, 0)])), numpy.expand_dims, linear=True),
    Op("flatten", takes(st.tuples(shapes(1, 3, 3))), lambda x: x.reshape(len(x), numpy.prod(x.shape[1:], dtype=int)), linear=True),
    same("getitem", takes(st.just([(4, 3)]), index=st.sampled_from(PLACES)), lambda x, index: x[index], linear=True),
    Op("embedding", embeddings(), lambda weight, labels: weight[labels], linear=True),
    Op("concatenate", joined(differ=True), a_list(numpy.concatenate), function=a_list(F.concatenate)),
    Op("stack", joined(differ=False), a_list(numpy.stack), function=a_list(F.stack)),
    Op("pad", paddings(), numpy_pad, linear=True),
    Op("pad", paddings("reflect"), numpy_pad, linear=True, note="by reflection"),
    Op("pad", paddings("replicate"), numpy_pad, linear=True, note="by replication"),
    Op("flip", along_an_axis(), numpy.flip, linear=True),
    Op("split", splits(), joined_again(numpy.split), function=joined_again(F.split, F.concatenate), linear=True),
    Op("repeat", along_an_axis(optional=True, repeats=st.integers(0, 3)), numpy.repeat, linear=True),
    Op("tile", takes(st.tuples(any_shape), reps=st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=4)), numpy.tile, linear=True),
    Op("roll", along_an_axis(optional=True, shift=st.integers(-4, 4)), numpy.roll, linear=True),
    Op("roll", takes(st.just([(2, 3)]), shift=st.just((1, -2)), axis=st.just((1, 0))), numpy.roll, linear=True, note="two axes"),
    Op("tril", takes(st.tuples(shapes(2, 4, 3)), k=st.integers(-3, 3)), numpy.tril, linear=True),
    Op("einsum", einsums(), a_sum_of_products(numpy.einsum), function=a_sum_of_products(F.einsum), linear=True),
    Op("matmul", products(), numpy.matmul, linear=True),
    Op("dense", layers(bias=False), numpy.matmul, linear=True),
    Op("dense", layers(bias=True), lambda x, w, b: x @ w + b, note="with bias"),
    Op("conv2d", convolutions(bias=False), linear=True),
    Op("conv2d", convolutions(bias=True), note="with bias"),
    Op("conv2d", convolutions(bias=True), function=activated_convolution("conv2d"), note="with leaky ReLU"),
    Op("conv2d", grouped_convolutions(), numpy_grouped, note="with groups"),
    Op("conv1d", sequence_convolutions, numpy_conv1d),
    Op("conv_transpose2d", transposed_convolutions(bias=False), linear=True),
    Op("conv_transpose2d", transposed_convolutions(bias=True), note="with bias"),
    Op("conv_transpose2d", transposed_convolutions(bias=True), function=activated_convolution("conv_transpose2d"), note="with leaky ReLU"),
    Op("max_pool2d", pools()),
    Op("avg_pool2d", pools(), linear=True),
    Op("global_avg_pool2d", takes(st.tuples(image_shape)), lambda x: x.mean((1, 2)), linear=True),
    Op("upsample2d", takes(st.tuples(image_shape), factor=side), lambda x, factor: x.repeat(factor, 1).repeat(factor, 2), linear=True),
    Op("upsample2d", takes(st.tuples(image_shape), factor=st.just((1, 2))), lambda x, factor: x.repeat(2, 2), linear=True, note="one way"),
    Op("upsample2d", enlarged, numpy_bilinear, linear=True, note="bilinear"),
    Op("pixel_shuffle", shuffled, numpy_pixel_shuffle, linear=True),
    Op("batch_norm", normalisations(least=2)),
    Op("batch_norm", normalisations(least=2), function=activated_batch_norm, note="with leaky ReLU"),
    Op("batch_norm", normalisations(parameters=4), function=evaluated_batch_norm, note="outside training"),
    Op("layer_norm", normalisations()),
    Op("group_norm", group_normalisations(), numpy_group_norm),
    Op("instance_norm", group_normalisations(instances=True), numpy_group_norm),
    Op("attention_weights", attentions(value=False), numpy_attention_weights),
    Op("attention_weights", biased, numpy_biased_attention, function=lambda q, k, b: F.attention_weights(q, k, mask=b), note="with a bias"),
    Op("attention", attentions(value=True), lambda q, k, v, **options: numpy_attention_weights(q, k, **options) @ v),
    Op("sinusoidal_encoding", takes(st.tuples(any_shape), features=st.sampled_from([2, 6]), max_period=st.just(50.0)), numpy_sinusoids),
    Op("rnn", sequences(gates=1, states=1)),
    Op("gru", sequences(gates=3, states=1)),
    Op("lstm", sequences(gates=4, states=2), function=lambda *xs: F.stack(F.lstm(*xs))),
    Op("cross_entropy", classifications(), lambda x, labels: -numpy.log(numpy_softmax(x, 1)[range(len(x)), labels]).mean()),
    Op(
        "cross_entropy",
        classifications(weighted=True),
        numpy_weighted_cross_entropy,
        function=weighted,
        note="weighted",
        low=0.5,
    ),
    Op("binary_cross_entropy_with_logits", targeted, lambda x, t: (numpy.log(1 + numpy.exp(x)) - t * x).mean(), low=0.1, high=0.9),
    Op("mse_loss", targeted, lambda a, b: ((a - b) ** 2).mean()),
    Op("huber_loss", targeted, numpy_huber, function=lambda a, b: F.huber_loss(a, b, 0.3)),
    Op("l1_loss", targeted, lambda a, b: numpy.abs(a - b).mean()),
    Op("gaussian_kl", twins, lambda m, v: (m**2 + numpy.exp(v) - 1 - v).sum(-1).mean() / 2),
    Op("least_squares_discriminator_loss", two, lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2),
    Op("least_squares_generator_loss", one, lambda f: ((f - 1) ** 2).mean() / 2),
    Op("hinge_discriminator_loss", two, lambda r, f: (-r).clip(0).mean() + f.clip(0).mean(), function=hinge_away_from_its_kink),
    Op("wasserstein_discriminator_loss", two, lambda r, f: f.mean() - r.mean()),
    Op("wasserstein_generator_loss", one, lambda f: -f.mean(), linear=True),
    Op("gradient_penalty", takes(shapes(3, 3, 3).map(lambda shape: (shape, shape))), function=seeded_gradient_penalty),
]

Arguments = tuple[Any, dict[str, Any]]  # an array, where the function takes one, and its other arguments
SCORES = numpy.array([[1, 3, 3], [0, -2, -2]], "float32")
ODD = numpy.array([1, numpy.inf, numpy.nan], "float32")

# The functions whose results have no gradient: name, arguments and NumPy's result.
CONSTANTS: list[tuple[str, Arguments, ndarray]] = [
    ("zeros", (None, {"shape": (2, 0)}), numpy.zeros((2, 0), "float32")),
    ("zeros", (None, {"shape": 3, "dtype": bool}), numpy.zeros(3, bool)),
    ("ones", (None, {"shape": (), "dtype": "float64"}), numpy.ones(())),
    ("full", (None, {"shape": (2, 3), "fill_value": 7}), numpy.full((2, 3), 7, "float32")),
    ("full", (None, {"shape": 2, "fill_value": 7, "dtype": int}), numpy.full(2, 7)),
    ("eye", (None, {"n": 3}), numpy.eye(3, dtype="float32")),
    ("eye", (None, {"n": 2, "m": 4, "k": 1, "dtype": "float64"}), numpy.eye(2, 4, 1)),
    ("arange", (None, {"start": 4}), numpy.arange(4)),
    ("arange", (None, {"start": 5, "stop": -3, "step": -2}), numpy.arange(5, -3, -2)),
    ("arange", (None, {"start": 0, "stop": 1, "step": 0.25}), numpy.arange(0, 1, 0.25, "float32")),
    ("arange", (None, {"start": 3, "dtype": "float64"}), numpy.arange(3.0)),
    ("zeros_like", (SCORES, {}), numpy.zeros_like(SCORES)),
    ("ones_like", (SCORES, {"dtype": int}), numpy.ones_like(SCORES, int)),
    ("argmax", (SCORES, {}), numpy.array(1)),
    ("argmax", (SCORES, {"axis": 1}), SCORES.argmax(1)),
    ("argmin", (SCORES, {"axis": -1, "keepdims": True}), SCORES.argmin(-1, keepdims=True)),
    ("argmin", (SCORES, {"axis": 0}), SCORES.argmin(0)),
    ("isfinite", (ODD, {}), numpy.isfinite(ODD)),
    ("isfinite", (ODD[0], {}), numpy.array(True)),
    ("one_hot", (numpy.array([[2], [0]]), {"classes": 3}), numpy.eye(3, dtype="float32")[[[2], [0]]]),
    ("one_hot", (numpy.array(1), {"classes": 2, "dtype": bool}), numpy.array([False, True])),
]
