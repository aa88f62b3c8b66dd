"""16: inputs that show planted bugs, and two changes that no input shows."""

from functools import cache
from pathlib import Path

import numpy

from tinygen.learn import Exercise
from tinygen.learn.lesson import imported

LESSON = imported(Path(__file__).parent.parent / Path(__file__).name)
UNSEEN = [5, 8]


def harmless():
    rng, shown = numpy.random.default_rng(0), set()
    for _ in range(10):
        channels, size, outputs, threads = rng.integers(1, (4, 7, 8, 5))
        x, w = rng.normal(size=(channels, outputs + size - 1)), rng.normal(size=(channels, size))
        shown |= {number for number in LESSON.CHANGES if number not in shown and LESSON.seen(number, x, w, threads)}
    return sorted(set(LESSON.CHANGES) - shown)


def one_input():
    rng = numpy.random.default_rng(0)
    return rng.normal(size=(2, 13)), rng.normal(size=(2, 6)), 3  # 8 outputs: 3 blocks and a rest; 6 - 1 > 3


def by_hand():
    return [[1, 2, 3, 4, 5, 6, 9, 3], [2, 5, 1, 7, 3, 8, 0, 2]], [[1, 2, 3, 1], [3, 1, 5, 2]], 2


def larger():
    rng = numpy.random.default_rng(1)
    return rng.uniform(1, 2, (3, 16)), rng.uniform(1, 2, (3, 7)), 3


def says(*numbers):
    return lambda: [*numbers]


def named(function):
    """The numbers, if they are right, and else what is wrong with them."""
    found = sorted(function())
    wrong = [str(number) for number in found if number not in UNSEEN]
    if wrong:
        return f"there are inputs that show {', '.join(wrong)}; the others of your numbers are right"
    return found if found == UNSEEN else f"{len(set(UNSEEN) - set(found))} more that no input shows; right are {found}"


def drawn(channels, length, size, threads, change=lambda x, w: (x, w)):
    """An input of random numbers in these shapes, changed."""

    def one_input():
        rng = numpy.random.default_rng(2)
        return *change(rng.normal(size=(channels, length)), rng.normal(size=(channels, size))), threads

    return one_input


AXES = "x and w have two axes: channels, length; one channel is a list of one list"


@cache
def kernels():
    """The right kernel, and those with the bugs, by number."""
    return LESSON.kernel(), {number: LESSON.kernel(number) for number in LESSON.CHANGES if number not in UNSEEN}


def shown(function):
    """The bugs that the input does not show: a sentence, or an empty list."""
    x, w, threads = function()
    if numpy.ndim(x) != 2 or numpy.ndim(w) != 2:
        return AXES
    right, wrong = kernels()
    expected = LESSON.run(right, x, w, threads)[0]
    found = {number: LESSON.run(kernel, x, w, threads) for number, kernel in wrong.items()}
    unseen = [str(number) for number, (y, faults) in found.items() if not faults and numpy.allclose(y, expected)]
    return f"it does not show {', '.join(unseen)}" if unseen else []


EXERCISES = [
    Exercise(
        "harmless",
        harmless,
        lambda rng: [()],
        apply=named,
        ideas={
            "you say that every change does harm. Two change only what nobody uses: a sum, and a waiting": says(),
            "5 is one of them: threads without an output add up what is in the tile, and do not write it. "
            "And for which waiting is there no reason?": says(5),
            "8 is one of them: after the last channel the tile is not filled again. And which sum does nobody write?": says(8),
            "7 leaves the barrier out in every turn: with two channels the tile is filled again while others read. Compare it with 8": says(
                5, 7
            ),
            "6 leaves out the barrier before the sum: threads read what is not copied yet. Which other barrier can be spared?": says(5, 6),
            "3 lets the thread i = y.shape[0] write, outside of y. It is seen where that thread exists: "
            "if the outputs are no multiple of threads": says(3, 8),
            "2 reads behind the end of x, where the last block has a rest; reading garbage is a fault, too": says(2, 8),
            "9 lets each thread copy two numbers at most. That is enough until the kernel is longer than threads + 1": says(5, 9),
            "12 is right for blocks of 4 threads, and for no others": says(5, 12),
        },
        right=[lambda: [5, 8], lambda: [*range(5, 9, 3)]],
        hints=[
            "Go through the list, and ask of each: who reads what this line makes? Who would come too early without it?",
            "A thread without an output may do what it likes in its own variables. And a barrier keeps someone from going on too early.",
            "Compare 3 with 5, and 7 with 8.",
        ],
    ),
    Exercise(
        "one_input",
        one_input,
        lambda rng: [()],
        apply=shown,
        ideas={
            "where everything is 1, it does not matter which numbers are added. Let all numbers be different": drawn(
                2, 13, 6, 3, lambda x, w: (numpy.ones_like(x), numpy.ones_like(w))
            ),
            "x is the same everywhere: then a wrong place in x shows nothing": drawn(2, 13, 6, 3, lambda x, w: (numpy.ones_like(x), w)),
            "all weights are the same: neither their order nor their channel shows": drawn(
                2, 13, 6, 3, lambda x, w: (x, numpy.ones_like(w))
            ),
            "the kernel is symmetric: turned, it is the same": drawn(2, 13, 6, 3, lambda x, w: (x, w + w[:, ::-1])),
            "both channels have the same weights: then w[0, a] is right": drawn(2, 13, 6, 3, lambda x, w: (x, w[[0, 0]])),
            AXES: lambda: (range(13), range(6), 3),
            "there is one channel only: nothing is filled again, and nothing is added to a first channel": drawn(1, 13, 6, 3),
            "the outputs are a multiple of threads: no thread is left over, and no guard is needed": drawn(2, 14, 6, 3),
            "a block has 4 threads, the number that is typed in one of the changes": drawn(2, 14, 6, 4),
            "the kernel is short: two numbers for each thread are enough. Let it be longer than threads + 1": drawn(2, 10, 3, 3),
            "all is one block, so it does not matter where a block begins": drawn(2, 12, 9, 5),
            "a block has one thread, which waits for nobody": drawn(2, 13, 6, 1),
            "the kernel has one number, so no thread needs what another one copies": drawn(2, 8, 1, 3),
        },
        right=[by_hand, larger],
        hints=[
            "Try ones in table(...), then change one thing at a time, and see which lines are seen.",
            "Two channels, two blocks, a last block with a rest, threads other than 4. For 9 the kernel must be longer than threads + 1.",
            "Random numbers: x of shape (2, 13), w of shape (2, 6), and 3 threads. Count the outputs: why is this odd enough?",
        ],
    ),
]
