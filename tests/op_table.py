"""All public functions of tinygen.functional in one table: what each takes, and what NumPy says it means.

A row is an `Op`. Everything that must hold for every function is said once, in test_functions.py, and holds for a new function by adding
its row here. Shapes, axes, strides and paddings are drawn by hypothesis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy
from geometry_strategies import convolutions, pools, transposed_convolutions
from hypothesis import strategies as st
from numpy import ndarray

import tinygen.functional as F
from tinygen import Tensor, manual_seed
from tinygen.backend import to_device
from tinygen.engine.tensor import Shape
from tinygen.testing import broadcastable_shapes, random_tensor, shapes

Call = tuple[Sequence[Shape], dict[str, Any]]  # the shapes of the Tensors that a function takes, and its other arguments


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


def takes(sizes: st.SearchStrategy[Sequence[Shape]], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Calls with Tensors of these shapes, and other arguments each drawn by itself."""
    return st.tuples(sizes, st.fixed_dictionaries(arguments))


def same(name: str, calls: st.SearchStrategy[Call], expression: Callable[..., Any], **row: Any) -> Op:
    """A row for an expression that means the same for Tensors and for NumPy's arrays."""
    return Op(name, calls, expression, function=expression, **row)


def a_list(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of one list as one of many arguments."""
    return lambda *xs, **arguments: function(xs, **arguments)


any_shape, side = shapes(max_dims=3, max_side=3), st.integers(1, 3)
one = takes(st.tuples(any_shape))
two = takes(broadcastable_shapes())
three = takes(broadcastable_shapes(3))
targeted = takes(broadcastable_shapes().map(lambda both: (numpy.broadcast_shapes(*both), both[1])))
twins = takes(shapes(1, 3, 3).map(lambda shape: (shape, shape)))
image_shape = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), side)


@st.composite
def reductions(draw: st.DrawFn) -> Call:
    shape = draw(shapes(1, 3, 3))
    axis = st.integers(-len(shape), len(shape) - 1)
    axes = st.lists(axis, unique_by=lambda a: a % len(shape)).map(tuple)
    return (shape,), {"axis": draw(st.none() | axis | axes), "keepdims": draw(st.booleans())}


@st.composite
def along_an_axis(draw: st.DrawFn) -> Call:
    shape = draw(shapes(1, 3, 3))
    return (shape,), {"axis": draw(st.integers(-len(shape), len(shape) - 1))}


@st.composite
def joined(draw: st.DrawFn, differ: bool) -> Call:
    """Up to three arrays to join along an axis, where their sizes may differ."""
    shape = draw(shapes(1, 3, 3))
    at = draw(st.integers(0, len(shape) - 1))
    lengths = draw(st.lists(side, min_size=1, max_size=3))
    parts = [(*shape[:at], length if differ else shape[at], *shape[at + 1 :]) for length in lengths]
    return parts, {"axis": draw(st.sampled_from([at, at - len(shape)])) if differ else at}


@st.composite
def reshapes(draw: st.DrawFn) -> Call:
    a, b, c = draw(st.tuples(side, side, side))
    return ((a, b, c),), {"shape": draw(st.sampled_from([(-1,), (c, a * b), (a * b, -1), (b, 1, a, c)]))}


@st.composite
def transposes(draw: st.DrawFn) -> Call:
    shape = draw(any_shape)
    return (shape,), {"axes": tuple(draw(st.permutations(range(len(shape)))))}


@st.composite
def stretched(draw: st.DrawFn, back: bool) -> Call:
    """A shape and one that it broadcasts to; `back` draws the way from the large to the small one."""
    small, other = draw(broadcastable_shapes())
    large = numpy.broadcast_shapes(small, other)
    return ((large,), {"shape": small}) if back else ((small,), {"shape": large})


@st.composite
def paddings(draw: st.DrawFn) -> Call:
    shape = draw(shapes(1, 3, 3))
    width = st.integers(0, 2)
    return (shape,), {"widths": [draw(st.tuples(width, width)) for _ in shape]}


@st.composite
def products(draw: st.DrawFn) -> Call:
    """Matrices, stacks of them that broadcast, and vectors."""
    m, k, n = draw(st.tuples(side, side, side))
    left, right = draw(broadcastable_shapes(max_dims=2, max_side=2))
    return (draw(st.sampled_from([(k,), (m, k), (*left, m, k)])), draw(st.sampled_from([(k,), (k, n), (*right, k, n)]))), {}


@st.composite
def layers(draw: st.DrawFn, bias: bool) -> Call:
    (*leading, i), o = draw(shapes(1, 3, 3)), draw(side)
    return ((*leading, i), (i, o), (o,))[: 2 + bias], {}


@st.composite
def normalisations(draw: st.DrawFn, least: int = 1, parameters: int = 2, eps: float = 0.1) -> Call:
    """x (..., C) with at least so many values in a channel, and parameters of shape (C,). A large eps keeps the derivatives tame."""
    leading, channels = (draw(st.integers(least, 4)), *draw(shapes(0, 2, 3))), draw(side)
    return ((*leading, channels), *[(channels,)] * parameters), {"eps": eps}


@st.composite
def classifications(draw: st.DrawFn) -> Call:
    n, classes = draw(st.tuples(side, side))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return ((n, classes),), {"labels": numpy.array(labels)}


@st.composite
def embeddings(draw: st.DrawFn) -> Call:
    classes, features = draw(st.tuples(side, side))
    labels = numpy.random.default_rng(draw(st.integers(0, 99))).integers(classes, size=draw(any_shape))
    return ((classes, features),), {"labels": labels}


@st.composite
def attentions(draw: st.DrawFn, value: bool) -> Call:
    """Queries, keys and values in stacks that broadcast, with a scale and a mask that lets each query look somewhere, or without."""
    queries, keys, features, channels = draw(st.tuples(side, side, side, side))
    stacks = draw(broadcastable_shapes(2 + value, max_dims=2, max_side=2))
    sizes = [(queries, features), (keys, features), (keys, channels)]
    mask = numpy.random.default_rng(draw(st.integers(0, 99))).random((queries, keys)) < 0.5
    mask[:, 0] = True
    other = {"scale": draw(st.none() | st.just(0.7)), "mask": mask if draw(st.booleans()) else None}
    return [(*stack, *size) for stack, size in zip(stacks, sizes, strict=False)], other


@st.composite
def sequences(draw: st.DrawFn, gates: int, states: int) -> Call:
    """Steps of sequences, their gates' weight and the state before them."""
    steps, n, features = draw(st.tuples(side, side, st.integers(1, 2)))
    return ((steps, n, gates * features), (features, gates * features), *[(n, features)] * states), {}


PLACES = [
    *(1, -1, None, ..., slice(1, 3), slice(None, None, -2), (slice(None), 1), (..., None, 0), (-2, slice(0, 0))),
    *([0, 2, 0], numpy.array([[0, 3], [3, 3]]), (slice(None), [2, 2]), ([0, 0, 3], [1, 1, 2]), (1, None, [2, 2])),
    numpy.arange(12).reshape(4, 3) % 5 < 2,
]
EXPONENTS = st.sampled_from([-2, -1, 0, 1, 2, 3, 0.5])


def seeded_dropout(x: Tensor, p: float) -> Tensor:
    manual_seed(0)
    return F.dropout(x, p)


def evaluated_batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, deviation: Tensor, eps: float) -> Tensor:
    return F.batch_norm(x, gamma, beta, mean, deviation * deviation, training=False, eps=eps)


def activated_batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """With the channels far from the kink of leaky ReLU, in turn below and above it."""
    sides = numpy.resize([-20.0, 20.0], beta.shape).astype(beta.dtype)
    return F.batch_norm(x, gamma, beta + Tensor(to_device(sides, beta.device)), eps=eps, negative_slope=0.3)


def hinge_away_from_its_kink(real: Tensor, fake: Tensor) -> Tensor:
    return F.hinge_discriminator_loss(real + 1, fake - 1)


def seeded_gradient_penalty(real: Tensor, fake: Tensor) -> Tensor:
    manual_seed(0)
    return F.gradient_penalty(lambda x: x * F.sin(x + F.sum(x, (1, 2), keepdims=True)), real, fake)


def numpy_softmax(x: ndarray, axis: int) -> ndarray:
    return numpy.exp(x) / numpy.exp(x).sum(axis, keepdims=True)


def numpy_attention_weights(query: ndarray, key: ndarray, scale: float | None, mask: ndarray | None) -> ndarray:
    similarity = numpy.exp(query @ key.swapaxes(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale))
    similarity = similarity if mask is None else similarity * mask
    return similarity / similarity.sum(-1, keepdims=True)


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
    Op("to", one, lambda x: x, function=lambda x: F.to(x, x.device), linear=True),
    Op("relu", one, lambda x: numpy.maximum(x, 0)),
    Op("leaky_relu", takes(st.tuples(any_shape), negative_slope=st.just(0.3)), lambda x, negative_slope: numpy.maximum(x, 0.3 * x)),
    Op("tanh", one, numpy.tanh),
    Op("sigmoid", one, lambda x: 1 / (1 + numpy.exp(-x))),
    Op("softplus", one, lambda x: numpy.log(1 + numpy.exp(x))),
    Op("softmax", along_an_axis(), numpy_softmax),
    Op("log_softmax", along_an_axis(), lambda x, axis: numpy.log(numpy_softmax(x, axis))),
    Op("dropout", takes(st.tuples(any_shape), p=st.just(0.4)), function=seeded_dropout, linear=True),
    Op("sum", reductions(), numpy.sum, linear=True),
    Op("mean", reductions(), numpy.mean, linear=True),
    Op("var", reductions(), numpy.var),
    Op("max", reductions(), numpy.max),
    Op("min", reductions(), numpy.min),
    Op("logsumexp", reductions(), lambda x, axis, keepdims: numpy.log(numpy.exp(x).sum(axis, keepdims=keepdims))),
    Op("sum_to", stretched(back=True), linear=True),
    Op("broadcast_to", stretched(back=False), numpy.broadcast_to, linear=True),
    Op("reshape", reshapes(), numpy.reshape, function=lambda x, shape: F.reshape(x, shape), linear=True),
    Op("transpose", transposes(), numpy.transpose, function=lambda x, axes: F.transpose(x, axes), linear=True),
    Op("flatten", takes(st.tuples(shapes(1, 3, 3))), lambda x: x.reshape(len(x), -1), linear=True),
    same("getitem", takes(st.just([(4, 3)]), index=st.sampled_from(PLACES)), lambda x, index: x[index], linear=True),
    Op("embedding", embeddings(), lambda weight, labels: weight[labels], linear=True),
    Op("concatenate", joined(differ=True), a_list(numpy.concatenate), function=a_list(F.concatenate)),
    Op("stack", joined(differ=False), a_list(numpy.stack), function=a_list(F.stack)),
    Op("pad", paddings(), lambda x, widths: numpy.pad(x, widths), linear=True),
    Op("flip", along_an_axis(), numpy.flip, linear=True),
    Op("matmul", products(), numpy.matmul, linear=True),
    Op("dense", layers(bias=False), numpy.matmul, linear=True),
    Op("dense", layers(bias=True), lambda x, w, b: x @ w + b, note="with bias"),
    Op("conv2d", convolutions(bias=False), linear=True),
    Op("conv2d", convolutions(bias=True), note="with bias"),
    Op("conv_transpose2d", transposed_convolutions(bias=False), linear=True),
    Op("conv_transpose2d", transposed_convolutions(bias=True), note="with bias"),
    Op("max_pool2d", pools()),
    Op("avg_pool2d", pools(), linear=True),
    Op("global_avg_pool2d", takes(st.tuples(image_shape)), lambda x: x.mean((1, 2)), linear=True),
    Op("upsample2d", takes(st.tuples(image_shape), factor=side), lambda x, factor: x.repeat(factor, 1).repeat(factor, 2), linear=True),
    Op("upsample2d", takes(st.tuples(image_shape), factor=st.just((1, 2))), lambda x, factor: x.repeat(2, 2), linear=True, note="one way"),
    Op("batch_norm", normalisations(least=2)),
    Op("batch_norm", normalisations(least=2), function=activated_batch_norm, note="with leaky ReLU"),
    Op("batch_norm", normalisations(parameters=4), function=evaluated_batch_norm, note="outside training"),
    Op("layer_norm", normalisations()),
    Op("attention_weights", attentions(value=False), numpy_attention_weights),
    Op("attention", attentions(value=True), lambda q, k, v, scale, mask: numpy_attention_weights(q, k, scale, mask) @ v),
    Op("rnn", sequences(gates=1, states=1)),
    Op("gru", sequences(gates=3, states=1)),
    Op("lstm", sequences(gates=4, states=2), function=lambda *xs: F.stack(F.lstm(*xs))),
    Op("cross_entropy", classifications(), lambda x, labels: -numpy.log(numpy_softmax(x, 1)[range(len(x)), labels]).mean()),
    Op("binary_cross_entropy_with_logits", targeted, lambda x, t: (numpy.log(1 + numpy.exp(x)) - t * x).mean(), low=0.1, high=0.9),
    Op("mse_loss", targeted, lambda a, b: ((a - b) ** 2).mean()),
    Op("l1_loss", targeted, lambda a, b: numpy.abs(a - b).mean()),
    Op("gaussian_kl", twins, lambda m, v: (m**2 + numpy.exp(v) - 1 - v).sum(-1).mean() / 2),
    Op("least_squares_discriminator_loss", two, lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2),
    Op("least_squares_generator_loss", one, lambda f: ((f - 1) ** 2).mean() / 2),
    Op("hinge_discriminator_loss", two, lambda r, f: (-r).clip(0).mean() + f.clip(0).mean(), function=hinge_away_from_its_kink),
    Op("wasserstein_discriminator_loss", two, lambda r, f: f.mean() - r.mean()),
    Op("wasserstein_generator_loss", one, lambda f: -f.mean(), linear=True),
    Op("gradient_penalty", takes(shapes(3, 3, 3).map(lambda shape: (shape, shape))), function=seeded_gradient_penalty),
]
