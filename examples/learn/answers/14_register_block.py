"""14: the step of a block in registers, and the block that is best."""

import itertools
import math
from fractions import Fraction

import numpy

from tinygen.learn import Exercise
from tinygen.learn.lesson import imported, lesson

Tile = imported(lesson("14").path).Tile


def step(tile, sums, pixels, channel, weights, vectors):
    loaded = [tile.load(weights, j) for j in range(vectors)]
    for total, pixel in zip(sums, pixels, strict=True):
        tile.multiply_add(total, tile.splat(pixel, channel), loaded)


def ticks(pixels, vectors, outputs):
    blocks = math.ceil(outputs / (8 * vectors))
    return blocks * max(pixels + vectors, pixels * vectors) / 2 / pixels


def best_block(outputs):
    blocks = [(p, v) for p in range(1, 15) for v in range(1, 8) if p * v + v + 1 <= 16]
    fewest = min(ticks(*block, outputs) for block in blocks)
    best = [block for block in blocks if ticks(*block, outputs) < fewest + 1e-9]
    return min(best, key=lambda block: sum(block) / math.prod(block))


def one_by_one(tile, sums, pixels, channel, weights, vectors):
    """Right: the vectors of a pixel one by one."""
    loaded = list(map(tile.load, [weights] * vectors, range(vectors)))
    for m in range(len(pixels)):
        number = tile.splat(pixels[m], channel)
        for j in range(vectors):
            part = [sums[m][j]]
            tile.multiply_add(part, number, [loaded[j]])
            sums[m][j] = part[0]


def numbers_first(tile, sums, pixels, channel, weights, vectors):
    """Right, though it holds more registers than there are."""
    numbers = [tile.splat(pixel, channel) for pixel in pixels]
    loaded = [tile.load(weights, j) for j in range(vectors)]
    for m, number in enumerate(numbers):
        tile.multiply_add(sums[m], number, loaded)


def weights_anew(tile, sums, pixels, channel, weights, vectors):
    for total, pixel in zip(sums, pixels, strict=True):
        tile.multiply_add(total, tile.splat(pixel, channel), [tile.load(weights, j) for j in range(vectors)])


def numbers_anew(tile, sums, pixels, channel, weights, vectors):
    for j in range(vectors):
        loaded = tile.load(weights, j)
        for total, pixel in zip(sums, pixels, strict=True):
            part = [total[j]]
            tile.multiply_add(part, tile.splat(pixel, channel), [loaded])
            total[j] = part[0]


def both_anew(tile, sums, pixels, channel, weights, vectors):
    for total, pixel in zip(sums, pixels, strict=True):
        for j in range(vectors):
            part = [total[j]]
            tile.multiply_add(part, tile.splat(pixel, channel), [tile.load(weights, j)])
            total[j] = part[0]


def by_numpy(tile, sums, pixels, channel, weights, vectors):
    loaded = [tile.load(weights, j) for j in range(vectors)]
    for total, pixel in zip(sums, pixels, strict=True):
        number = tile.splat(pixel, channel)
        total[:] = [old + number * vector for old, vector in zip(total, loaded, strict=True)]


NUMPY = "the result is right, but multiply_add was never called; in the real kernel there are no numbers yet"
WEIGHTS = "it is right, and the weights are loaded anew for each pixel: load the vectors once, before the loop over the pixels"
NUMBERS = "it is right, and a pixel's number is loaded anew for each vector: one tile.splat serves all vectors"
BOTH = "it is right, and everything is loaded anew for each multiply-add: weights once, before the loop, and each pixel's number once"


def loads(function):
    """What a right step does in vain, or without the tile: 3 pixels and 4 vectors."""
    tile, sums = Tile(), [[numpy.zeros(8)] * 4 for _ in range(3)]
    function(tile, sums, numpy.ones((3, 2)), 1, numpy.ones(32), 4)
    if not tile.multiply_adds:
        return NUMPY
    return {7: None, 3 + 12: WEIGHTS, 4 + 12: NUMBERS, 24: BOTH}.get(
        tile.loads, f"it is right, and a step of 3 pixels and 4 vectors does {tile.loads} loads; 7 are enough"
    )


def summed(function, pixels, channel, weights, vectors):
    """The sums after two steps."""
    sums = [[numpy.zeros(8) for _ in range(vectors)] for _ in pixels]  # each its own array, for those who write +=
    for _ in range(2):
        function(Tile(), sums, pixels, channel, weights, vectors)
    return numpy.array(sums)


def drawn(rng):
    for pixels, vectors, channel in [(3, 2, 1), (2, 3, 0), (1, 1, 4)]:
        yield rng.normal(size=(pixels, 8)), channel, rng.normal(size=8 * vectors + 8), vectors


def in_fractions(pixels, vectors, outputs):
    blocks = -(-outputs // (8 * vectors))
    return float(Fraction(blocks * max(pixels + vectors, pixels * vectors), 2 * pixels))


def counted(pixels, vectors, outputs):
    """Right: one block after the other."""
    total, covered = 0.0, 0
    while covered < outputs:
        total, covered = total + max((pixels + vectors) / 2, pixels * vectors / 2), covered + 8 * vectors
    return total / pixels


def searched(outputs, fits=lambda p, v: p * v + v + 1 <= 16, cost=ticks, then=lambda p, v: (p + v) / (p * v)):
    """best_block by other rules."""
    blocks = [block for block in itertools.product(range(1, 17), range(1, 17)) if fits(*block)]
    return min(blocks, key=lambda block: (round(cost(*block, outputs), 9), round(then(*block), 9)))


def by_fractions(outputs):
    def rank(block):
        p, v = block
        return Fraction(-(-outputs // (8 * v)) * max(p + v, p * v), p), Fraction(p + v, p * v)

    return min(((p, v) for v in range(1, 8) for p in range(1, 15) if v * (p + 1) < 16), key=rank)


EXERCISES = [
    Exercise(
        "step",
        step,
        drawn,
        apply=summed,
        also=loads,
        ideas={
            NUMPY: by_numpy,
            WEIGHTS: weights_anew,
            NUMBERS: numbers_anew,
            BOTH: both_anew,
            "only the first vector of weights is there: load all j < vectors": lambda tile, sums, pixels, channel, weights, vectors: step(
                tile, sums, pixels, channel, weights, 1
            ),
            "all pixels get the number of the first: splat pixels[m] for sums[m]": lambda tile, sums, pixels, channel, weights, vectors: (
                step(tile, sums, [pixels[0]] * len(pixels), channel, weights, vectors)
            ),
            "the channel is always 0: splat number `channel` of the pixel": lambda tile, sums, pixels, channel, weights, vectors: step(
                tile, sums, pixels, 0, weights, vectors
            ),
            "all vectors have the weights of the first: load vector j": lambda tile, sums, pixels, channel, weights, vectors: step(
                tile, sums, pixels, channel, numpy.tile(weights[:8], vectors), vectors
            ),
            "the vectors begin at number 1: they are 0, ..., vectors - 1": lambda tile, sums, pixels, channel, weights, vectors: step(
                tile, sums, pixels, channel, weights[8:], vectors
            ),
            "pixels and weights are exchanged: splat a pixel's number, and load vectors of weights": (
                lambda tile, sums, pixels, channel, weights, vectors: [
                    tile.multiply_add(total, tile.splat(weights, channel), [tile.load(pixel, 0)] * vectors)
                    for total, pixel in zip(sums, pixels, strict=True)
                ]
            ),
            "the sums are as before: give sums[m] itself to tile.multiply_add, which changes it": lambda tile, sums, *rest: step(
                tile, [list(total) for total in sums], *rest
            ),
            "the sums belong to other pixels: pixels[m] goes to sums[m]": lambda tile, sums, *rest: step(tile, sums[::-1], *rest),
        },
        right=[one_by_one, numbers_first],
        hints=[
            "First load the vectors: a list of tile.load(weights, j) for j in range(vectors). Then a loop over the pixels.",
            "For each pixel: a = tile.splat(pixels[m], channel), once.",
            "tile.multiply_add(sums[m], a, loaded)",
        ],
    ),
    Exercise(
        "ticks",
        ticks,
        lambda rng: [(1, 1, 8), (6, 2, 128), (4, 3, 128), (4, 3, 24), (14, 1, 20), (1, 5, 64), (2, 4, 40)],
        ideas={
            "a core starts two of each kind in one tick: divide by 2": lambda p, v, outputs: 2 * ticks(p, v, outputs),
            "this is for a block: divide by its pixels": lambda p, v, outputs: p * ticks(p, v, outputs),
            "loads and multiply-adds are done at the same time: take the larger number, and not the sum": lambda p, v, outputs: (
                math.ceil(outputs / (8 * v)) * (p + v + p * v) / 2 / p
            ),
            "the loads are forgotten: where they are more than the multiply-adds, they take longer": lambda p, v, outputs: (
                math.ceil(outputs / (8 * v)) * p * v / 2 / p
            ),
            "the multiply-adds are forgotten: they are p v, mostly more than the loads": lambda p, v, outputs: (
                math.ceil(outputs / (8 * v)) * (p + v) / 2 / p
            ),
            "a part of a block takes as long as a whole one: round the number of blocks up": lambda p, v, outputs: (
                outputs / (8 * v) * max(p + v, p * v) / 2 / p
            ),
            "the last outputs are left out: round the number of blocks up": lambda p, v, outputs: (
                outputs // (8 * v) * max(p + v, p * v) / 2 / p
            ),
            "a vector has 8 outputs: a block covers 8 v of them": lambda p, v, outputs: math.ceil(outputs / v) * max(p + v, p * v) / 2 / p,
            "a block covers 8 v outputs, v vectors of 8": lambda p, v, outputs: math.ceil(outputs / 8) * max(p + v, p * v) / 2 / p,
        },
        right=[in_fractions, counted],
        hints=[
            "A step has pixels + vectors loads and pixels * vectors multiply-adds. It takes max(...) / 2 ticks.",
            "np.ceil(outputs / (8 * vectors)) blocks cover the outputs.",
            "Blocks times ticks of a step, divided by pixels.",
        ],
    ),
    Exercise(
        "best_block",
        best_block,
        lambda rng: [(outputs,) for outputs in (8, 16, 24, 40, 64, 128)],
        ideas={
            "only the sums have registers here; V vectors of weights and one pixel's number need some, too": lambda outputs: searched(
                outputs, fits=lambda p, v: p * v <= 16
            ),
            "the pixel's number needs a register, too: P V + V + 1": lambda outputs: searched(outputs, fits=lambda p, v: p * v + v <= 16),
            "the vectors of weights need registers, too: P V + V + 1": lambda outputs: searched(outputs, fits=lambda p, v: p * v + 1 <= 16),
            "this has the fewest loads; the ticks come first": lambda outputs: searched(outputs, cost=lambda p, v, outputs: 0),
            "of several with the fewest ticks, take the one with the fewest loads for each multiply-add": lambda outputs: searched(
                outputs, then=lambda p, v: 0
            ),
            "this has the most ticks": lambda outputs: searched(outputs, cost=lambda *case: -ticks(*case)),
            "the two are exchanged: (pixels, vectors)": lambda outputs: best_block(outputs)[::-1],
            "this is the largest block; the one with the fewest ticks may be smaller": lambda outputs: searched(
                outputs, cost=lambda p, v, outputs: -p * v
            ),
        },
        right=[searched, by_fractions],
        hints=[
            "Two loops over pixels and vectors, from 1 to 15. Leave out blocks for which pixels * vectors + vectors + 1 > 16.",
            "Python compares pairs by their first numbers, and only where these are equal by their second ones.",
            "min(blocks, key=lambda b: (round(ticks(*b, outputs), 9), round((b[0] + b[1]) / (b[0] * b[1]), 9)))",
        ],
        uses=["ticks"],
    ),
]
