# %% [markdown]
# # 14 A block in registers
#
# Lesson 13 ended at a floor: each product reads its sum from memory and writes it back. A processor has
# a few numbers that it reaches at no cost, its registers: here 16 of them, each a **vector** of 8
# numbers. If sums stay in registers through all taps and channels, the floor is gone. How many sums,
# of how many pixels? You write the step of tinygen's fastest kernel, and calculate its shape.
#
# ## The block
#
# A block has P pixels and V vectors of output channels, so 8 V channels: P V vectors of sums. One
# **step** adds what one channel of one tap adds to all of them. Its instructions are these:

# %%
import numpy as np

from tinygen.learn import check, predict


class Tile:
    """A processor with vectors of 8 numbers, which counts its loads and its multiply-adds."""

    def __init__(self):
        self.loads = self.multiply_adds = 0

    def load(self, pointer, vector):
        """Vector number `vector` of an array: its numbers 8 vector, ..., 8 vector + 7."""
        self.loads += 1
        return pointer[8 * vector : 8 * vector + 8]

    def splat(self, pointer, index):
        """Number `index` of an array, loaded into all 8 places of a vector."""
        self.loads += 1
        return np.full(8, pointer[index])

    def multiply_add(self, sums, a, vectors):
        """sums[j] += a * vectors[j] for all vectors j; a is a vector, too. The sums are registers."""
        for j, vector in enumerate(vectors):
            self.multiply_adds += 1
            sums[j] = sums[j] + a * vector


# %% [markdown]
# ## The step
#
# For pixel m of the block, pixels[m] is an array with its channels, and sums[m] is a list of its V
# vectors of sums. `weights` has the weights of this channel for all outputs. Load each thing **once**:
# a vector of weights serves all P pixels, and a pixel's number serves all V vectors.


# %%
def step(tile, sums, pixels, channel, weights, vectors):
    """sums[m][j] += (number `channel` of pixels[m]) * (vector j of weights), for all m and j < vectors.

    Use tile.load, tile.splat and tile.multiply_add, and do not calculate with what they return: in the
    real kernel they write instructions, and there are no numbers yet.
    """
    raise NotImplementedError


# %% [markdown]
# ## How long it takes
#
# In one tick of its clock, a core starts two loads **and** two multiply-adds, at the same time. So a
# step takes half as many ticks as the larger of the two counts.
#
# A layer has a given number of outputs. Where they do not fill the last block, it calculates in vain:
# 20 outputs take two blocks of 2 vectors, each with 16 channels, as 32 outputs do.


# %%
def ticks(pixels, vectors, outputs):
    """Ticks for one channel of one tap, for each pixel.

    Those of a step, times the number of blocks that cover the outputs, divided by the pixels of a block.
    """
    raise NotImplementedError


# %% [markdown]
# ## The best block
#
# All the sums of a block must be in registers, and so must the V vectors of weights, and one vector with
# a pixel's number: P V + V + 1 registers, and there are 16. A sum without a register goes to memory.


# %%
def best_block(outputs):
    """(pixels, vectors), both at least 1, of the block that fits and has the fewest ticks.

    Of several blocks with the fewest ticks it is the one with the fewest loads for each multiply-add.
    Differences below 1e-9 are errors of rounding, and count as none.
    """
    raise NotImplementedError


# %%
check("14", globals())


def loads(pixels, vectors):
    """Loads for each multiply-add of your step."""
    tile = Tile()
    sums = [[np.zeros(8)] * vectors for _ in range(pixels)]
    step(tile, sums, np.ones((pixels, 3)), 2, np.ones(8 * vectors), vectors)
    return round(tile.loads / max(1, tile.multiply_adds), 2)


def told(outputs):
    return "{} x {}".format(*best_block(outputs))


predict("A block of 1 pixel and 1 vector: how many loads for each multiply-add? (such as 1.25)", lambda: loads(1, 1))
predict("6 pixels and 2 vectors: how many?", lambda: loads(6, 2))
predict("4 pixels and 3 vectors: how many?", lambda: loads(4, 3))
predict("The best block for 24 outputs (such as 1 x 1)?", lambda: told(24))
predict("The best block for 128 outputs?", lambda: told(128))

# %% [markdown]
# 4 x 3 needs fewer loads than 6 x 2. It does not matter: loads are done beside the multiply-adds, and
# cost nothing if there are fewer of them. What matters is that nothing is calculated in vain. Networks
# have 64, 128 or 256 channels, multiples of 16 and not of 24. So on a processor with 16 registers of 8
# numbers, tinygen's kernel is the block that you found. Put your step into it, compile it, and see how
# near it comes to what your machine can do at most:
#
#     python -m tinygen.bench --with learn/14_register_block.py
