"""04: the walk from outputs back to inputs, the newest node first."""

import heapq

import numpy

import tinygen as tg
from tinygen.learn import Exercise
from tinygen.training.own_code import backward_of

TESTS = ["tests/engine/test_backward.py", "tests/testing/test_gradcheck.py", "tests/functional/test_sums.py"]


def backpropagate(outputs, gs, inputs):
    arrived, waiting = {}, set()

    def arrive(x, g):
        arrived[x] = arrived[x] + g if x in arrived else g
        if x.node:
            waiting.add(x)

    for y, g in zip(outputs, gs, strict=True):
        arrive(y, g)
    while waiting:
        y = max(waiting, key=lambda y: y.node.number)
        waiting.remove(y)
        for x, g in zip(y.node.inputs, backward_of(y, arrived[y]), strict=True):
            if g is not None:
                arrive(x, g)
    return [arrived.get(x) for x in inputs]


def add(before, g):
    return before + g


def add_in_place(before, g):
    before.data += g.data
    return before


def newest(waiting):
    return max(range(len(waiting)), key=lambda i: waiting[i].node.number)


def oldest(waiting):
    return min(range(len(waiting)), key=lambda i: waiting[i].node.number)


def walk(join=add, choose=newest, turns="one", starts=None, outputs_once=True, keep=True, first_input_only=False):
    """A walk with something of the solution changed."""

    def backpropagate(outputs, gs, inputs):
        arrived, waiting, had = {}, [], []

        def arrive(x, g, once=turns != "many"):
            arrived[x] = join(arrived[x], g) if x in arrived else g
            if x.node and not (once and any(x is other for other in (had if turns == "at once" else waiting))):
                waiting.append(x)
                had.append(x)

        for y, g in [*zip(outputs, gs, strict=True)][:starts]:
            arrive(y, g, outputs_once)
        while waiting:
            y = waiting.pop(choose(waiting))
            passed = backward_of(y, arrived[y] if keep else arrived.pop(y, 0 * arrived.get(y, y)))
            for x, g in list(zip(y.node.inputs, passed, strict=True))[: 1 if first_input_only else None]:
                if g is not None:
                    arrive(x, g)
        return [arrived.get(x) for x in inputs]

    return backpropagate


def first(waiting):
    return 0


def last(waiting):
    return len(waiting) - 1


ORDERS = {
    "a tensor has its turn before all has arrived at it, and then once more, with what it had passed on already: "
    "of those that wait, take the newest": {"choose": oldest},
    "the oldest of those that wait has its turn, and what comes to it later is not passed on: of those that wait, take the newest": {
        "choose": oldest,
        "turns": "at once",
    },
    "a tensor has its turn as soon as something arrives, and what comes later is not passed on: of those that wait, take the newest": {
        "choose": first,
        "turns": "at once",
    },
    "the tensor that came last has its turn first, as on a stack, and something may still be on its way to it: "
    "of those that wait, take the newest": {"choose": last},
    "the tensor that came last has its turn first, as on a stack, and what comes later is not passed on: "
    "of those that wait, take the newest": {"choose": last, "turns": "at once"},
    "the tensor that came first has its turn first, as in a queue, and something may still be on its way to it: "
    "of those that wait, take the newest": {"choose": first},
}


def zeros(outputs, gs, inputs):
    return [x * 0.0 if g is None else g for x, g in zip(inputs, backpropagate(outputs, gs, inputs), strict=True)]


def looked_up(outputs, gs, inputs):
    arrived = {x: g for x, g in zip(inputs, backpropagate(outputs, gs, inputs), strict=True) if g is not None}
    return [arrived[x] for x in inputs]


def outputs_once(outputs, gs, inputs):
    once = dict(zip(outputs, gs, strict=True))
    return backpropagate(list(once), list(once.values()), inputs)


def queue(outputs, gs, inputs):
    """A right one with a heap."""
    arrived, heap = {}, []
    todo = list(zip(outputs, gs, strict=True))
    while todo or heap:
        for x, g in todo:
            if g is not None:
                if x not in arrived and x.node:
                    heapq.heappush(heap, (-x.node.number, x))
                arrived[x] = arrived[x] + g if x in arrived else g
        todo = []
        if heap:
            y = heapq.heappop(heap)[1]
            todo = list(zip(y.node.inputs, backward_of(y, arrived[y]), strict=True))
    return [arrived.get(x) for x in inputs]


def sorted_first(outputs, gs, inputs):
    """A right one that collects the graph before it walks."""
    found, stack = set(), [y for y in outputs if y.node]
    while stack:
        y = stack.pop()
        if y not in found:
            found.add(y)
            stack += [x for x in y.node.inputs if isinstance(x, tg.Tensor) and x.node]
    arrived = {}
    for y, g in zip(outputs, gs, strict=True):
        arrived[y] = arrived[y] + g if y in arrived else g
    for y in sorted(found, key=lambda y: -y.node.number):
        for x, g in zip(y.node.inputs, backward_of(y, arrived[y]), strict=True):
            if g is not None:
                arrived[x] = arrived[x] + g if x in arrived else g
    return [arrived.get(x) for x in inputs]


def by_roads(outputs, gs, inputs):
    """Each road by itself: right, but there may be very many."""
    arrived = {}

    def go(y, g):
        arrived[y] = arrived[y] + g if y in arrived else g
        if y.node:
            for x, gx in zip(y.node.inputs, backward_of(y, g), strict=True):
                if gx is not None:
                    go(x, gx)

    for y, g in zip(outputs, gs, strict=True):
        go(y, g)
    return [arrived.get(x) for x in inputs]


def walked(function, program, outputs, inputs):
    """The gradients that it finds in the graph of a small program, and those it was given, as they are afterwards."""
    rng = numpy.random.default_rng(0)
    names = {name: tg.tensor(rng.normal(size=2), requires_grad=True) for name in "axz"}
    exec(program, {}, names)
    gs = [tg.tensor(rng.normal(size=2)) for _ in outputs.split()]
    found = function([names[name] for name in outputs.split()], gs, [names[name] for name in inputs.split()])
    return [list(found), gs]


class Doubled(tg.Function):
    """y = a + b, which counts how often backward is called."""

    calls = 0

    def forward(self, a, b):
        return a + b

    def backward(self, g, y, a, b):
        Doubled.calls += 1
        return g, g


def one_turn_each(function):
    x = tg.tensor([1.0], requires_grad=True)
    y, Doubled.calls = x, 0
    for _ in range(10):
        y = Doubled()(y, y)
    function([y], [tg.tensor([1.0])], [x])
    if Doubled.calls == 10:
        return None
    return (
        f"the gradients are right, but for ten additions y = y + y in a row backward was called {Doubled.calls} times, "
        "and 10 are enough: do not follow each road by itself, but let a tensor wait until all has arrived"
    )


EXERCISES = [
    Exercise(
        "backpropagate",
        backpropagate,
        lambda rng: [
            ("b = a * x", "b", "a x z"),
            ("b = a + a; c = b + b", "c", "a b"),
            ("h = 2.0 * x; k = 3.0 * h; y = h + k", "y", "x h k y"),
            ("h = a * x; k = h * x; y = k * h; u = y + k + h", "u", "a x h"),
            ("b = a * a; c = a * b + b", "b c", "a b"),
            ("b = a * x; c = b * b", "a c", "a x"),
            ("b = a + a", "b b", "a"),
        ],
        apply=walked,
        also=one_turn_each,
        ideas={
            **{sentence: walk(**order) for sentence, order in ORDERS.items()},
            **{
                f"{sentence}. Besides, an output that is listed twice waits twice": walk(**order, outputs_once=False)
                for sentence, order in ORDERS.items()
            },
            "the tensor that came last has its turn first, as on a stack, and may have more turns, each with the whole sum: "
            "of those that wait, take the newest, and let it wait once": walk(choose=last, turns="many", outputs_once=False),
            "an output that is listed twice waits twice, and has two turns with the whole sum: let it wait once, as in a set": walk(
                outputs_once=False
            ),
            "nothing arrives at z, an input that the outputs do not depend on: its gradient is None, as from arrived.get(z)": looked_up,
            "an output that is listed twice has two gradients: add both; a dict of the outputs keeps one": outputs_once,
            "a tensor at which two gradients arrive waits twice, and has two turns with the whole sum: let it wait once, as in a set": walk(
                turns="many", outputs_once=False
            ),
            "a gradient that arrives overwrites what arrived before: add them up": walk(join=lambda before, g: g),
            "only the first gradient that arrives at a tensor counts: add them up": walk(join=lambda before, g: before),
            "gradients are added in place, which changes arrays that others hold: write before + g": walk(join=add_in_place),
            "where no gradient arrives the list has None, and yours has zeros": zeros,
            "only the first output is a start: all outputs have a g": walk(starts=1),
            "a gradient is forgotten after its tensor's turn; an input may have been computed, and you lose its": walk(keep=False),
            "gradients go to the first input of each node only: zip y.node.inputs with what backward_of returns": walk(
                first_input_only=True
            ),
        },
        right=[queue, sorted_first],
        hints=[
            "Keep a dict of what has arrived at each tensor, and a set of those that wait for their turn. Fill both from the outputs.",
            "While any wait: take out max(waiting, key=lambda y: y.node.number), and zip y.node.inputs with backward_of(y, arrived[y]).",
            "For each pair that is not None: add to what has arrived at x, and if x.node is there, x waits. At the end: arrived.get(x).",
        ],
    ),
]
