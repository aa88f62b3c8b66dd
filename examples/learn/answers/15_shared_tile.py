"""15: a guard, barriers, and a tile that the threads of a block share."""

import numpy

from tinygen.learn import Exercise
from tinygen.learn.threads import Memory, launch


def convolve(block, t, threads, x, w, y):
    i = block * threads + t
    if i < y.shape[0]:
        total = 0.0
        for c in range(w.shape[0]):
            for a in range(w.shape[1]):
                total += w[c, a] * x[c, i + a]
        y[i] = total


def convolve_tiled(block, t, threads, x, w, y, tile):
    first, total = block * threads, 0.0
    for c in range(w.shape[0]):
        for p in range(t, threads + w.shape[1] - 1, threads):
            if first + p < x.shape[1]:
                tile[p] = x[c, first + p]
        yield
        if first + t < y.shape[0]:
            for a in range(w.shape[1]):
                total += w[c, a] * tile[t + a]
        yield  # before the tile is filled again
    if first + t < y.shape[0]:
        y[first + t] = total


def single(place=lambda block, t, threads, n: block * threads + t, guard=lambda i, t, n: i < n, tap=lambda a, k: a, start=0, stop=None):
    """convolve with another place, guard, tap of x, or other channels."""

    def convolve(block, t, threads, x, w, y):
        i = place(block, t, threads, y.shape[0])
        if guard(i, t, y.shape[0]):
            channels = range(w.shape[0])[start:stop]
            y[i] = sum(w[c, a] * x[c, i + tap(a, w.shape[1])] for c in channels for a in range(w.shape[1]))

    return convolve


def overwriting(block, t, threads, x, w, y):
    i = block * threads + t
    if i < y.shape[0]:
        for c, a in numpy.ndindex(w.shape):
            y[i] = w[c, a] * x[c, i + a]


def in_place(block, t, threads, x, w, y):
    i = block * threads + t
    if i < y.shape[0]:
        y[i] = 0.0
        for c, a in numpy.ndindex(w.shape):
            y[i] += w[c, a] * x[c, i + a]


def shared_work(t, threads, size):
    return range(t, size, threads)


def tiled(
    bring=shared_work, source=lambda block, p, threads: block * threads + p, inside=lambda p, x, y: p < x.shape[1], early=False,
    before=True, after=True, read=lambda x, tile, c, t, a, first: tile[t + a], reset=False,
):  # fmt: skip
    """convolve_tiled with something changed."""

    def convolve_tiled(block, t, threads, x, w, y, tile):
        first, total = block * threads, 0.0
        has_output = first + t < y.shape[0]
        if early and not has_output:
            return
        for c in range(w.shape[0]):
            for p in bring(t, threads, threads + w.shape[1] - 1):
                if inside(source(block, p, threads), x, y):
                    tile[p] = x[c, source(block, p, threads)]
            if before:
                yield
            total = 0.0 if reset else total
            if has_output:
                total += sum(w[c, a] * read(x, tile, c, t, a, first) for a in range(w.shape[1]))
            if after:
                yield
        if has_output:
            y[first + t] = total

    return convolve_tiled


def neighbours(t, threads, size):
    share = -(-size // threads)
    return range(t * share, min((t + 1) * share, size))


def ran(kernel, x, w, threads, shared=0):
    """What it wrote, how often it read from x, and the most reads of one thread; or the first fault."""
    outputs = x.shape[1] - w.shape[1] + 1
    memories = Memory("x", x), Memory("w", w), Memory("y", numpy.full(outputs, -1e3))
    faults = launch(kernel, -(-outputs // threads), threads, *memories, shared=shared)
    if faults:
        return faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
    return [memories[2].numbers, memories[0].reads.total(), max(memories[0].reads.values(), default=0)]


def ran_with_tile(kernel, x, w, threads):
    return ran(kernel, x, w, threads, threads + w.shape[1] - 1)


def of_shapes(*shapes):
    """Cases with C channels, L numbers, kernels of K and blocks of so many threads."""
    return lambda rng: [(rng.normal(size=(c, n)), rng.normal(size=(c, k)), threads) for c, n, k, threads in shapes]


SHAPES = (2, 12, 3, 4), (3, 12, 5, 4), (2, 14, 7, 2)  # with a rest, without, and with a kernel longer than two blocks

EXERCISES = [
    Exercise(
        "convolve",
        convolve,
        of_shapes(*SHAPES, (1, 5, 3, 8)),
        apply=ran,
        ideas={
            "there is no guard: threads of the last block that have no output read and write outside the arrays": single(
                guard=lambda i, t, n: True
            ),
            "the guard lets one thread too many pass: y has no number y.shape[0]": single(guard=lambda i, t, n: i <= n),
            "the guard looks at t, the number within the block; what must be less than y.shape[0] is the number among all": single(
                guard=lambda i, t, n: t < n
            ),
            "all blocks compute the same: add block * threads to t": single(place=lambda block, t, threads, n: t),
            "block + t is not a number of its own for each thread: before this block there are block * threads": single(
                place=lambda block, t, threads, n: block + t
            ),
            "the kernel is turned: w[c, 0] meets x[c, i]": single(tap=lambda a, k: k - 1 - a),
            "the place in x does not move with a: it is x[c, i + a]": single(tap=lambda a, k: 0),
            "only channel 0 counts: sum over c, too": single(stop=1),
            "only the last channel counts: begin with 0 once, not for each channel": single(start=-1),
            "each product overwrites the one before: add them up, and write y once": overwriting,
        },
        right=[in_place, single()],
        hints=[
            "This thread's output is i = block * threads + t. What if there is no y[i]?",
            "If i < y.shape[0]: begin with total = 0.0, and loop over the channels c and the kernel's a.",
            "total += w[c, a] * x[c, i + a], and at the end, in the same if, y[i] = total",
        ],
    ),
    Exercise(
        "convolve_tiled",
        convolve_tiled,
        of_shapes(*SHAPES),
        apply=ran_with_tile,
        ideas={
            "a thread reads from the tile what another may not have copied yet: a barrier is missing after filling": tiled(before=False),
            "a fast thread fills the tile with the next channel while a slow one still reads this one: "
            "a barrier is missing at the end of each turn": tiled(after=False),
            "a thread without an output must still copy its share and come to all barriers: "
            "it must not return early; guard only the sum and the writing": tiled(early=True),
            "the sum reads x, not the tile: the result is right, and nothing is saved": tiled(
                read=lambda x, tile, c, t, a, first: x[c, first + t + a]
            ),
            "the last threads also need what comes after the block's own numbers: the tile has threads + K - 1": tiled(
                bring=lambda t, threads, size: (t,)
            ),
            "each thread copies two numbers at most; if K is larger than threads that is too few: copy every threads-th": tiled(
                bring=lambda t, threads, size: range(t, min(size, 2 * threads), threads)
            ),
            "one thread copies all while the others wait: the result is right, and reading takes as long as without a tile": tiled(
                bring=lambda t, threads, size: range(size if t == 0 else 0)
            ),
            "every thread copies everything: that is more reading than without a tile": tiled(
                bring=lambda t, threads, size: [*range(size)]
            ),
            "what is copied may lie behind the end of x: guard the reading": tiled(inside=lambda p, x, y: True),
            "the guard of the reading is that of y: but the last outputs need x up to its end, K - 1 further": tiled(
                inside=lambda p, x, y: p < y.shape[0]
            ),
            "every block copies the beginning of x: its part begins at block * threads": tiled(source=lambda block, p, threads: p),
            "the tile is a block's own, and its first number is tile[0]: read tile[t + a], without block * threads": tiled(
                read=lambda x, tile, c, t, a, first: tile[first + t + a]
            ),
            "the sum begins anew in each channel: set it to 0 once": tiled(reset=True),
        },
        right=[tiled(), tiled(bring=neighbours)],
        hints=[
            "A loop over c, and in it: fill the tile, yield, add up, yield. After the loop write y. Which of these need a guard?",
            "Filling: for p in range(t, threads + K - 1, threads), tile[p] is x[c, block * threads + p], if that is within x.",
            "Adding up, for threads with an output only: total += w[c, a] * tile[t + a]. Both yields are outside of every if.",
        ],
    ),
]
