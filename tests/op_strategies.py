"""Calls for hypothesis to draw: the shapes of the Tensors that a function takes, and its other arguments."""

from collections.abc import Sequence
from typing import Any

import numpy
from hypothesis import strategies as st

from tinygen.engine.tensor import Shape
from tinygen.testing import broadcastable_shapes, shapes

Call = tuple[Sequence[Shape], dict[str, Any]]


def takes(sizes: st.SearchStrategy[Sequence[Shape]], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Calls with Tensors of these shapes, and other arguments each drawn by itself."""
    return st.tuples(sizes, st.fixed_dictionaries(arguments))


any_shape, side = shapes(max_dims=3, max_side=3), st.integers(1, 3)
one = takes(st.tuples(any_shape))
two = takes(broadcastable_shapes())
three = takes(broadcastable_shapes(3))
targeted = takes(broadcastable_shapes().map(lambda both: (numpy.broadcast_shapes(*both), both[1])))
image_shape = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), side)
slopes = takes(st.tuples(side, side, st.booleans()).map(lambda n: ((n[0], n[1]), (n[1] if n[2] else 1,))))
enlarged = takes(st.tuples(image_shape), factor=st.tuples(side, side), mode=st.just("bilinear"))
sequence_convolutions = takes(
    st.tuples(side, side, side, side).map(lambda n: ((2, n[0] + 2, n[1]), (n[2], n[1], n[3]), (n[3],))),
    padding=st.sampled_from([(0, 0), (2, 1)]),
)
shuffled = takes(st.tuples(st.sampled_from([(1, 2, 3, 4), (2, 1, 2, 8)])), factor=st.integers(1, 2))
biased = takes(st.tuples(side, side, side).map(lambda n: ((2, n[0], n[2]), (2, n[1], n[2]), (n[0], n[1]))))
twins = takes(shapes(1, 3, 3).map(lambda shape: (shape, shape)))
axis_of_three = st.integers(-3, 2)


@st.composite
def reductions(draw: st.DrawFn) -> Call:
    shape = draw(shapes(1, 3, 3))
    axis = st.integers(-len(shape), len(shape) - 1)
    axes = st.lists(axis, unique_by=lambda a: a % len(shape)).map(tuple)
    return (shape,), {"axis": draw(st.none() | axis | axes), "keepdims": draw(st.booleans())}


@st.composite
def along_an_axis(draw: st.DrawFn, optional: bool = False, **others: st.SearchStrategy[Any]) -> Call:
    """One Tensor, one of its axes, which may be None where it is optional, and other arguments."""
    shape = draw(shapes(1, 3, 3))
    axis = st.integers(-len(shape), len(shape) - 1)
    return (shape,), {**draw(st.fixed_dictionaries(others)), "axis": draw(st.none() | axis if optional else axis)}


@st.composite
def spread(draw: st.DrawFn) -> Call:
    """A reduction of at least two elements to each, so that they have a deviation."""
    shape = (*draw(shapes(0, 2, 3)), draw(st.integers(2, 3)))
    return (shape,), {"axis": draw(st.sampled_from([None, -1, tuple(range(len(shape)))])), "keepdims": draw(st.booleans())}


@st.composite
def squeezes(draw: st.DrawFn) -> Call:
    shape = draw(shapes(0, 4, 2))
    ones = [i for i, n in enumerate(shape) if n == 1]
    axes = st.lists(st.sampled_from(ones), unique=True).map(tuple) if ones else st.just(())
    return (shape,), {"axis": draw(st.none() | axes)}


@st.composite
def splits(draw: st.DrawFn) -> Call:
    """Equal parts, or parts that end at indices, which may be out of order and beyond the end."""
    (shape,), arguments = draw(along_an_axis())
    sections = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return (shape,), {**arguments, "indices_or_sections": draw(st.lists(st.integers(0, 4), max_size=3))}
    at = arguments["axis"] % len(shape)
    return ((*shape[:at], shape[at] * sections, *shape[at + 1 :]),), {**arguments, "indices_or_sections": sections}


EINSUMS = {
    "ij,jk->ik": ("ij", "jk"),
    "ij,jk": ("ij", "jk"),
    "bij,bkj->bik": ("bij", "bkj"),
    "i,j->ji": ("i", "j"),
    "ij->ji": ("ij",),
    "ij->": ("ij",),
    "ii->": ("ii",),
    "iij->ji": ("iij",),
    "i,i": ("i", "i"),
    "ij,i,kj->kj": ("ij", "i", "kj"),
    "ij,kl->": ("ij", "kl"),
    "iji,jkk->k": ("iji", "jkk"),
    "ba,": ("ba", ""),
    "...ij,...jk->...ik": ("xij", "yxjk"),
    "i...,...i": ("ix", "xi"),
    "c... , c -> ...c": ("cxy", "c"),
    "...,...->...": ("xy", "1y"),
}


@st.composite
def einsums(draw: st.DrawFn) -> Call:
    """The letters of EINSUMS stand for sizes; those that the notation calls "..." broadcast."""
    subscripts, terms = draw(st.sampled_from(sorted(EINSUMS.items())))
    sizes = {letter: draw(side) for letter in "abcijklxy"} | {"1": 1}
    return [tuple(sizes[letter] for letter in term) for term in terms], {"subscripts": subscripts}


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
def paddings(draw: st.DrawFn, mode: str = "constant") -> Call:
    shape = draw(shapes(1, 3, 3))
    widths = [st.integers(0, n - 1 if mode == "reflect" else 2) for n in shape]
    return (shape,), {"widths": [draw(st.tuples(width, width)) for width in widths], "mode": mode}


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
def several_batches(draw: st.DrawFn) -> Call:
    """x (N, ..., C) with the examples of some batches in turn, and the number of batches."""
    batches, rows = draw(st.tuples(st.integers(2, 3), st.integers(1, 3)))
    return ((batches * rows, *draw(shapes(0, 2, 3)), draw(side)),), {"batches": batches, "eps": 0.1}


@st.composite
def group_normalisations(draw: st.DrawFn, instances: bool = False) -> Call:
    """x (N, ..., C) with more than one value in a group, gamma and beta, and the number of groups; instances have one for each channel."""
    groups, size = draw(st.tuples(side, st.just(1) if instances else st.integers(1, 2)))
    between = draw(shapes(0, 2, 3)) if size > 1 else (draw(st.integers(2, 4)), *draw(shapes(0, 1, 2)))
    channels = (groups * size,)
    return ((draw(side), *between, *channels), channels, channels), {"eps": 0.1} if instances else {"groups": groups, "eps": 0.1}


@st.composite
def classifications(draw: st.DrawFn, weighted: bool = False) -> Call:
    """Logits and labels; weighted ones are of pixels too, with a weight for each class, labels that do not count, and smoothing."""
    shape, classes = draw(shapes(1, 3 if weighted else 1, 3)), draw(side)
    labels = numpy.random.default_rng(draw(st.integers(0, 99))).integers(-1 if weighted else 0, classes, size=shape)
    if not weighted:
        return ((*shape, classes),), {"labels": labels}
    labels.flat[0] = 0
    return ((*shape, classes), (classes,)), {"labels": labels, "ignore_index": -1, "label_smoothing": draw(st.sampled_from([0.0, 0.3]))}


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
    other = {"scale": draw(st.none() | st.just(0.7)), "mask": mask if draw(st.booleans()) else None, "causal": draw(st.booleans())}
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
