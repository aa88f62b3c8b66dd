"""25: means and variances over the rows of several machines, and their sums in a ring."""

import copy

import numpy

from tinygen.learn import Exercise
from tinygen.learn.exercise import same
from tinygen.learn.ring import Broken, kind, simulated

PARTS_CHANGED = "parts was changed, and must stay as it is: *= and += change an array for all who have it"
X_CHANGED = "x was changed, and must stay as it is: pieces of x are views of it, so += changes x"


def mean_of(parts):
    return sum(n * mean for n, mean in parts) / sum(n for n, _ in parts)


def variance_of(parts):
    middle = mean_of([(n, mean) for n, mean, _ in parts])
    return mean_of([(n, variance + (mean - middle) ** 2) for n, mean, variance in parts])


def all_reduce(x, rank, size):
    pieces = numpy.split(x, size)
    for turn in range(size - 1):
        sent = (rank - turn) % size
        pieces[sent - 1] = pieces[sent - 1] + (yield pieces[sent])
    for turn in range(size - 1):
        sent = (rank + 1 - turn) % size
        pieces[sent - 1] = yield pieces[sent]
    return numpy.concatenate(pieces)


def weighted(weight, divided=lambda rows: sum(rows)):
    """mean_of with other weights of a machine's rows, and another number below."""

    def mean_of(parts):
        return sum(weight(n) * mean for n, mean in parts) / divided([n for n, _ in parts])

    return mean_of


def variance(within=lambda v: v, square=lambda d: d**2, middle=mean_of, mean=mean_of, sign=1):
    """variance_of with something changed."""

    def variance_of(parts):
        centre = middle([(n, m) for n, m, _ in parts])
        return mean([(n, within(v) + sign * square(m - centre)) for n, m, v in parts])

    return variance_of


def summed_in_place(parts):
    total = 0
    for n, mean in parts:
        mean *= n
        total = total + mean
    return total / sum(n for n, _ in parts)


def widened_in_place(parts):
    middle = mean_of([(n, mean) for n, mean, _ in parts])
    for _, mean, variance in parts:
        variance += (mean - middle) ** 2
    return mean_of([(n, variance) for n, _, variance in parts])


def unweighted(parts):
    return sum(mean for _, mean in parts) / len(parts)


def ring(
    first=lambda rank, turn: rank - turn, second=lambda rank, turn: rank + 1 - turn, arrives=-1, second_arrives=-1,
    turns=-1, second_turns=-1, collect=lambda own, received: own + received, keep=lambda own, received: received,
    around=lambda number, size: number % size, sends=lambda piece, own, received: piece,
    last=lambda pieces, rank: numpy.concatenate(pieces),
):  # fmt: skip
    """all_reduce with something changed."""

    def all_reduce(x, rank, size):
        own, pieces, received = numpy.split(x, size), numpy.split(x, size), None
        halves = (turns, first, arrives, collect, sends), (second_turns, second, second_arrives, keep, lambda piece, *_: piece)
        for more, choose, step, taken, message in halves:
            for turn in range(size + more):
                sent = around(choose(rank, turn), size)
                place = around(sent + step, size)
                received = yield message(pieces[sent], own[sent], received)
                pieces[place] = taken(pieces[place], received)
        return last(pieces, rank)

    return all_reduce


def all_of_it(x, rank, size):
    total = x
    for _ in range(size - 1):
        x = yield x
        total = total + x
    return total


def in_place(x, rank, size):
    pieces = x.reshape(size, -1)
    for turn in range(size - 1):
        pieces[(rank - turn - 1) % size] += yield pieces[(rank - turn) % size]
    for turn in range(size - 1):
        pieces[(rank - turn) % size] = yield pieces[(rank + 1 - turn) % size]
    return x


def on_a_copy(x, rank, size):
    return (yield from in_place(x.copy(), rank, size))


def in_one_loop(around=lambda number, size: number % size):
    """all_reduce with one loop, and no numbers of pieces but the first one."""

    def all_reduce(x, rank, size):
        pieces, number = numpy.split(x, size), rank
        for turn in range(2 * (size - 1)):
            received = yield pieces[number]
            number = around(number - 1, size)
            pieces[number] = received + pieces[number] if turn < size - 1 else received
        return numpy.concatenate(pieces)

    return all_reduce


def unchanged(function, parts):
    """The function's result, if it leaves parts as they are."""
    given = copy.deepcopy(parts)
    result = function(given)
    return result if same(given, parts, 0.0) else PARTS_CHANGED


def ran(program, *arrays):
    """The sum on each machine, and how much each has sent; or what is wrong with the talk."""
    size, total, given = len(arrays), sum(arrays), [x.copy() for x in arrays]
    try:
        results, counts = simulated(program, given)
    except Broken as error:
        return str(error)
    if not all((x == y).all() for x, y in zip(given, arrays, strict=True)):
        return X_CHANGED
    if others := [y for y in results if not isinstance(y, numpy.ndarray)]:
        return f"it returns {kind(others[0])}, and not an array"
    if all(y.shape == total.shape and (numpy.sort(y, axis=0) == numpy.sort(total, axis=0)).all() for y in results):
        if any((y != total).any() for y in results):
            return "the sums are right, but in another order: put each piece in the place that it has in x"
        sent, wanted = [count * size / total.size for count in counts], 2 * (size - 1)
        if wrong := [rank for rank in range(size) if sent[rank] != wanted]:
            return f"the sums are right, but machine {wrong[0]} sends {sent[wrong[0]]:g} pieces, and should send {wanted}"
    return {f"machine {rank}'s result": y for rank, y in enumerate(results)} | {"the count": counts}


def machines(rng):
    """Arrays of which each decimal place is one machine's: a sum shows whose numbers are missing, and whose count twice."""
    alike = numpy.ones(4), numpy.arange(1, 7), numpy.arange(1, 5).reshape(4, 1), numpy.ones(3)
    return [tuple(10.0**rank * x for rank in range(size)) for size, x in zip((4, 3, 2, 1), alike, strict=True)]


def rows(rng):
    return [[(n, *rng.uniform(1, 2, (2, 3))) for n in numbers] for numbers in ((2, 3), (5, 1, 4), (3, 3))]


EXERCISES = [
    Exercise(
        "mean_of",
        mean_of,
        lambda rng: [([(n, mean) for n, mean, _ in parts],) for parts in rows(rng)],
        apply=unchanged,
        ideas={
            "each machine counts the same, and it should count as often as it has rows": unweighted,
            "you add up the means: that is no mean, and grows with the number of machines": weighted(lambda n: 1, lambda rows: 1),
            "this is the sum over all rows; divide it by their number": weighted(lambda n: n, lambda rows: 1),
            "you multiply by the rows, and then divide by the number of machines: divide by the rows of all": weighted(lambda n: n, len),
            "each array is a mean already: multiply it by its rows before you divide by those of all": weighted(lambda n: 1),
            "the machine with the fewest rows counts most": weighted(lambda n: 1 / n, lambda rows: sum(1 / n for n in rows)),
            "this is what the first machine has alone": lambda parts: parts[0][1],
            "this is what the last machine has alone: the sum begins anew with each": lambda parts: parts[-1][1],
            "you divide by the largest number of rows: divide by the sum of all": weighted(lambda n: n, max),
            "the rows count twice: n is there once above, and once below": weighted(lambda n: n**2, lambda rows: sum(n**2 for n in rows)),
            PARTS_CHANGED: summed_in_place,
        },
        right=[
            lambda parts: numpy.average([mean for _, mean in parts], axis=0, weights=[n for n, _ in parts]),
            lambda parts: numpy.concatenate([numpy.tile(mean, (n, 1)) for n, mean in parts]).mean(axis=0),
        ],
        hints=[
            "A mean over n rows, times n, is the sum over these rows. Whose sums do you need?",
            "Add up n * mean for all pairs, and the n, too.",
            "return sum(n * mean for n, mean in parts) / ...",
        ],
    ),
    Exercise(
        "variance_of",
        variance_of,
        lambda rng: [(parts,) for parts in rows(rng)],
        apply=unchanged,
        ideas={
            "this is the mean of the variances: the squares of the distances of the machines' means from the mean of all are missing"
            " (distances that are not squared cancel)": variance(square=lambda d: 0 * d),
            "this is the mean of the variances, each counted the same: weigh with the rows, and add how far the means are apart": variance(
                square=lambda d: 0 * d, mean=unweighted
            ),
            "the variances are weighed, and the means' variance is not: a mean must count as often as its machine has rows": lambda parts: (
                mean_of([(n, variance) for n, _, variance in parts]) + numpy.var([mean for _, mean, _ in parts], axis=0)
            ),
            "the variances are weighed, and the squared distances are not: each must count as often as its machine has rows": (
                lambda parts: variance(square=lambda d: 0 * d)(parts) + variance(within=lambda v: 0 * v, mean=unweighted)(parts)
            ),
            "each machine counts the same here: weigh with the rows": variance(middle=unweighted, mean=unweighted),
            "the middle is not the mean of the means, but that over all rows": variance(middle=unweighted),
            "the middle is right, but the last mean counts each machine the same: weigh with the rows": variance(mean=unweighted),
            "this is the variance of the means; within each machine the rows differ, too": variance(within=lambda v: 0 * v),
            "the means' distances are subtracted; they make the variance larger": variance(sign=-1),
            "the distance of a machine's mean from the middle is not squared": variance(square=abs),
            "this is the mean of x^2: subtract the square of the mean over all rows": variance(middle=lambda parts: 0.0),
            "you take the deviation of each machine where its variance is wanted": variance(within=numpy.sqrt),
            "this is the deviation: do not take the root": lambda parts: numpy.sqrt(variance_of(parts)),
            "you divide by N - 1, and batch norm's variance is a mean: divide by N": lambda parts: (
                variance_of(parts) * sum(n for n, *_ in parts) / (sum(n for n, *_ in parts) - 1)
            ),
            "this is the sum over all rows; divide it by their number": lambda parts: variance_of(parts) * sum(n for n, *_ in parts),
            PARTS_CHANGED: widened_in_place,
        },
        right=[
            lambda parts: (
                mean_of([(n, variance + mean**2) for n, mean, variance in parts]) - mean_of([(n, mean) for n, mean, _ in parts]) ** 2
            ),
            variance(),
        ],
        hints=[
            "What is the mean of (x - c)^2 over the rows of one machine, if c is not their mean? Write x - c = (x - mean) + (mean - c).",
            "It is variance + (mean - c)^2, since the mean of x - mean is 0. Here c is the mean over all rows.",
            "c = mean_of(...); return mean_of([(n, ...) for n, mean, variance in parts])",
        ],
        uses=["mean_of"],
    ),
    Exercise(
        "all_reduce",
        all_reduce,
        machines,
        apply=ran,
        ideas={
            "the sums are right, but all of x is sent in each turn: cut it into size pieces, and send one": all_of_it,
            "you stop when each machine has one complete piece: these must go round, too": ring(second_turns=-(10**6)),
            "in the second half what arrives is complete already: put it in the place of your own, and do not add": ring(
                keep=lambda own, received: own + received
            ),
            "each piece is of one machine alone: nothing is added in the first half, or the second does not begin with the sum": ring(
                collect=lambda own, received: received
            ),
            "what arrives in the first half is not stored, or not in the piece that you send next": ring(collect=lambda own, received: own),
            "what arrives in the second half is not stored: pieces[...] = received": ring(keep=lambda own, received: own),
            "in the first half you send your own numbers in each turn: send the sum of them and what has arrived": ring(
                sends=lambda piece, own, received: own
            ),
            "you add to what has arrived, but send it on as it came: send the sum": ring(
                sends=lambda piece, own, received: own if received is None else received
            ),
            "the sums are right, but in another order: put each piece in the place that it has in x": ring(
                last=lambda pieces, rank: numpy.concatenate([pieces[(rank + 1 - i) % len(pieces)] for i in range(len(pieces))])
            ),
            "the result is flat: it must have the shape of x": ring(last=lambda pieces, rank: numpy.concatenate(pieces).ravel()),
            "the result is a list of pieces: np.concatenate makes an array of them": ring(last=lambda pieces, rank: pieces),
            "it returns None: is a return missing?": ring(last=lambda pieces, rank: None),
            "a number of a piece is too large: the pieces stand in a ring, so take it % size": ring(around=lambda number, size: number),
            "a number of a piece is too small: the pieces stand in a ring, so take it % size": in_one_loop(lambda number, size: number),
            "you go on to the next piece, and the one before is what arrives: count down, rank - turn": ring(
                lambda rank, turn: rank + turn, lambda rank, turn: rank - 1 + turn, arrives=1, second_arrives=1
            ),
            "in the first half you send the same piece in each turn: send the one that has just arrived, with yours added": ring(
                first=lambda rank, turn: rank
            ),
            "you add what arrives to the piece that you have sent: the machine before you has another rank, and sends another piece": ring(
                arrives=0, second_arrives=0
            ),
            "in the second half you put what arrives in the place of the piece that you have sent": ring(second_arrives=0),
            "what arrives is the piece before the one that you have sent, and not the one after it": ring(arrives=1, second_arrives=1),
            "the second half sends the same piece in each turn: send on what has just arrived": ring(second=lambda rank, turn: rank + 1),
            "a turn is missing in each half: a piece has size - 1 other machines to visit": ring(turns=-2, second_turns=-2),
            "a half has a turn too many, in which each receives what it has": ring(second_turns=0),
            "each half has a turn too many: a piece comes back to where it began, and its numbers are added twice": ring(
                second=lambda rank, turn: rank - turn, turns=0, second_turns=0
            ),
            "you divide by size: here the sum is wanted": ring(last=lambda pieces, rank: numpy.concatenate(pieces) / len(pieces)),
            X_CHANGED: in_place,
        },
        right=[on_a_copy, in_one_loop()],
        hints=[
            "pieces = np.split(x, size). In turn 0 you send piece rank, and receive piece rank - 1. And in turn 1?",
            "In turn t of the first half: sent = (rank - t) % size, and received = yield pieces[sent] belongs to pieces[sent - 1].",
            "The second half is the same loop, begins with sent = (rank + 1) % size, and puts received in its place without adding.",
        ],
    ),
]
