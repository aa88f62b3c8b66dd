"""What is wrong with a gradient: it is compared element by element with difference quotients, and what
the wrong elements have in common is said in one sentence."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy

# An element is wrong if it differs by more than this from the quotient, relative to the largest quotient.
# A quotient's own error is far smaller.
WRONG = 1e-4

# Every element costs two calls of the function.
MOST_ELEMENTS = 2000


@dataclass
class Case:
    """A gradient that is wrong, and how to find what it should be.

    `names` are those of the inputs. `derivatives(j)` has the shape of inputs[j] and then that of y:
    how each element of y changes with each element of the input, by difference quotients.
    `backward(g)` is the gradient to inputs[i] that the function gives for the incoming gradient g.
    """

    inputs: Sequence[numpy.ndarray]
    names: Sequence[str]
    i: int
    y: numpy.ndarray
    g: numpy.ndarray
    derivatives: Callable[[int], numpy.ndarray]
    backward: Callable[[numpy.ndarray], numpy.ndarray]

    def __post_init__(self) -> None:
        self.found = self.backward(self.g)
        self.expected = self.right(self.i)
        self.wrong = ~_near(self.found, self.expected, self.expected)

    def right(self, j: int) -> numpy.ndarray:
        """The right gradient to input j."""
        return numpy.tensordot(self.derivatives(j), self.g, self.g.ndim)

    def __str__(self) -> str:
        """The worst element and the first diagnosis that fits."""
        error = numpy.where(numpy.isfinite(self.found), abs(self.found - self.expected), numpy.inf)
        worst = numpy.unravel_index(error.argmax(), error.shape)
        at = f" at {[int(n) for n in worst]}" if worst else ""
        values = f"worst{at}, where {float(self.expected[worst]):.6g} is right and {float(self.found[worst]):.6g} came"
        diagnoses: list[Callable[[Case], str]] = [
            _size,
            _incoming,
            _factor,
            _exchanged,
            _moved,
            _constant,
            _scaled,
            _term,
            _pieces,
            _some,
            _reach,
        ]
        formula = "Neither a factor nor a place explains it: is the formula another one, perhaps by a sign, or taken at another point?"
        return f"{values}. " + next(filter(None, (diagnosis(self) for diagnosis in diagnoses)), formula)

    def quantities(self) -> Iterator[tuple[str, numpy.ndarray]]:
        """What may have been multiplied or added by mistake, of the shape of the gradient."""
        for name, values in [*zip(self.names, self.inputs, strict=True), ("y", self.y), ("g", self.g)]:
            if values.shape == self.found.shape:
                yield name, values


def _near(a: numpy.ndarray, b: numpy.ndarray, scale: numpy.ndarray) -> numpy.ndarray:
    return abs(a - b) <= WRONG * abs(scale).max()


def _same(a: numpy.ndarray, b: numpy.ndarray) -> bool:
    return a.shape == b.shape and bool(_near(a, b, b).all())


def _multiple(a: numpy.ndarray, b: numpy.ndarray) -> float | None:
    """The number k for which a = k b; None if there is none."""
    square = float((b * b).sum())
    k = float((a * b).sum()) / square if square else 0.0
    return k if k and _same(a, k * b) else None


def _size(case: Case) -> str:
    if not numpy.isfinite(case.found).all():
        return f"{numpy.count_nonzero(~numpy.isfinite(case.found))} of {case.found.size} elements are not finite: a division by 0?"
    if not case.found.any():
        return "It is 0 everywhere: is this input's gradient left out, or computed past the graph, from .data?"
    return ""


def _incoming(case: Case) -> str:
    found_twice = case.backward(2.0 * case.g)
    if _same(found_twice, case.found):
        return "It does not change with the incoming gradient: is g forgotten? The chain rule multiplies by it."
    if not _same(found_twice, 2.0 * case.found):
        return "It is not proportional to the incoming gradient: is g used twice, or compared with a number?"
    return ""


def _factor(case: Case) -> str:
    k = _multiple(case.found, case.expected)
    if k is None:
        return ""
    if abs(k + 1) < WRONG:
        return "Everywhere it is -1 times what it should be: a wrong sign?"
    inputs = list(zip(case.names, case.inputs, strict=True))
    sizes = {n: f"axis {a} of {name} has {n} elements" for name, x in inputs for a, n in enumerate(x.shape) if n > 2}
    sizes |= {x.size: f"{name} has {x.size} elements" for name, x in inputs if x.size > 2}
    for n, where in sizes.items():
        if min(abs(k * n - 1), abs(k / n - 1)) < WRONG:
            multiple = f"{'1/' if abs(k) < 1 else ''}{n} times what it should be"
            return f"Everywhere it is {multiple}, and {where}: a mean in the place of a sum, or a sum of a mean?"
    if case.found.size == 1:
        return f"It is {k:.6g} times what it should be; of one element this tells little, so check a tensor of several, as tensors((2, 3))."
    return f"Everywhere it is {k:.6g} times what it should be: a constant factor?"


def _exchanged(case: Case) -> str:
    for j, x in enumerate(case.inputs):
        if j != case.i and x.shape == case.found.shape and _same(case.found, case.right(j)):
            return f"It is the gradient of {case.names[j]}: are the gradients returned in the order of the inputs?"
    return ""


def _moved(case: Case) -> str:
    axes = range(case.found.ndim)
    for order in itertools.permutations(axes):
        if _same(case.found, case.expected.transpose(order)):
            return f"The numbers are right but stand elsewhere: transposed, with the axes {order}?"
    for count in range(1, case.found.ndim + 1):
        for flipped in itertools.combinations(axes, count):
            if _same(case.found, numpy.flip(case.expected, flipped)):
                return f"The numbers are right but stand elsewhere: reversed along the axes {flipped}?"
    if _same(numpy.sort(case.found, axis=None), numpy.sort(case.expected, axis=None)):
        return "The numbers are right but stand elsewhere: a wrong reshape, or indices in another order?"
    return ""


def _constant(case: Case) -> str:
    def even(values: numpy.ndarray, axis: int) -> bool:
        return _same(values, numpy.broadcast_to(values.mean(axis=axis, keepdims=True), values.shape))

    for axis in range(case.found.ndim):
        if case.found.shape[axis] > 1 and even(case.found, axis) and not even(case.expected, axis):
            return f"It is the same all along axis {axis}, and should not be: summed over this axis, or broadcast from another shape?"
    return ""


def _scaled(case: Case) -> str:
    if _same(case.found, abs(case.expected)):
        return "It is the absolute value of what it should be: is a sign lost?"
    for name, values in case.quantities():
        for words, ratio in (("times", values), ("divided by", 1 / numpy.where(values == 0, numpy.nan, values))):
            k = _multiple(case.found, case.expected * ratio) if numpy.isfinite(ratio).all() else None
            if k is not None:
                multiple = "" if abs(k - 1) < WRONG else f"{k:.6g} times "
                return f"It is {multiple}what it should be, {words} {name}: a factor too many, or one that is missing?"
    return ""


def _term(case: Case) -> str:
    if not case.wrong.all():
        return ""
    surplus = case.found - case.expected
    for name, values in [("1", numpy.ones(surplus.shape)), *case.quantities()]:
        for axes in _groups(surplus.ndim):
            square = (values * values).sum(axis=axes, keepdims=True)
            k = (surplus * values).sum(axis=axes, keepdims=True) / numpy.where(square == 0, numpy.nan, square)
            if numpy.isfinite(k).all() and k.size < surplus.size and bool(_near(surplus, k * values, case.expected).all()):
                row = "" if k.size == 1 else f", another one for each index outside of the axes {axes}"
                what = "a constant" if name == "1" else f"{name} times a number"
                return f"It differs by {what}{row}: a term that is missing, such as a sum over these elements?"
    return ""


def _groups(ndim: int) -> Iterator[tuple[int, ...]]:
    """All axes together, then ever fewer of them."""
    for count in range(ndim, 0, -1):
        yield from itertools.combinations(range(ndim), count)


def _pieces(case: Case) -> str:
    for name, values in case.quantities():
        negative = values < 0
        if negative.any() and not negative.all():
            below, above = (_multiple(case.found[part], case.expected[part]) for part in (negative, ~negative))
            if below and above and case.wrong.all():
                return (
                    f"It is {below:.6g} times what it should be where {name} is negative, and {above:.6g} times elsewhere: cases exchanged?"
                )
    return ""


def _some(case: Case) -> str:
    wrong = case.wrong
    common = next((words for words, holds in _conditions(case) if (holds == wrong).all()), "") if wrong.any() and not wrong.all() else ""
    if not common:
        return ""
    k = _multiple(case.found[wrong], case.expected[wrong])
    multiple = "" if k is None else f"; there it is {k:.6g} times what it should be"
    return f"{int(wrong.sum())} of {wrong.size} elements are wrong, the rest is right: {common}{multiple}."


def _conditions(case: Case) -> Iterator[tuple[str, numpy.ndarray]]:
    """What the wrong elements, and only they, may have in common."""
    for axis, n in enumerate(case.found.shape):
        index = numpy.arange(n).reshape([-1 if a == axis else 1 for a in range(case.found.ndim)])
        for words, chosen in [(f"index {p}", index == p) for p in range(n)] + [(f"index {p} and above", index >= p) for p in range(1, n)]:
            yield f"those with {words} along axis {axis}", numpy.broadcast_to(chosen, case.found.shape)
    for name, values in case.quantities():
        yield f"those where {name} is negative", values < 0
        yield f"those where {name} is positive", values > 0
    for name, values in case.quantities():
        wrong, right = values[case.wrong], values[~case.wrong]
        for words, a, b in ((name, wrong, right), (f"|{name}|", abs(wrong), abs(right))):
            if a.min() > b.max():
                yield f"those where {words} is above {b.max():.4g}", case.wrong
            if a.max() < b.min():
                yield f"those where {words} is below {b.min():.4g}", case.wrong


def _reach(case: Case) -> str:
    """Compare from which elements of y each element of the input gets a gradient, and from which it should."""
    if case.y.size > MOST_ELEMENTS:
        return ""
    right = case.derivatives(case.i).reshape(case.found.size, case.y.size)
    found = numpy.stack([case.backward(g.reshape(case.y.shape)).ravel() for g in numpy.eye(case.y.size)], axis=1)
    linked, expected = (abs(derivatives) > WRONG * abs(right).max() for derivatives in (found, right))
    differing = numpy.flatnonzero((linked != expected).any(axis=1))
    if not differing.size:
        return ""
    element = differing[0]

    def listed(links: numpy.ndarray) -> str:
        places = [[int(n) for n in numpy.unravel_index(o, case.y.shape)] for o in numpy.flatnonzero(links[element])]
        more = f" and {len(places) - 4} more" if len(places) > 4 else ""
        return f"from {', '.join(map(str, places[:4]))}{more}" if places else "from none"

    at = [int(n) for n in numpy.unravel_index(element, case.found.shape)]
    return (
        f"The gradient at {at} should come from the elements of y that this element takes part in, {listed(expected)}, "
        f"but comes {listed(linked)}: a sum that is missing, or over another axis?"
    )
