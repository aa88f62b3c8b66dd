# %% [markdown]
# # 04 The walk
#
# In lesson 02 a function learned its own slope, in lesson 03 gradients of several roads were added up.
# What is missing is the walk that goes from the loss back through everything. In most frameworks it
# is the heart that nobody opens. It has 15 lines, and you write them. Afterwards tinygen can train
# with yours.
#
# ## The graph
#
# Each function that is applied leaves a **node** behind: its output y knows it as `y.node`.
#
#     y.node           None for a tensor that nobody computed, such as a weight (a leaf)
#     y.node.inputs    what the function was applied to: Tensors, or numbers
#     y.node.number    when: each new node has a larger number than all before it
#
# `backward_of(y, g)` calls the node's `backward` for you: it returns a list with one gradient for
# each of `y.node.inputs`, and None for those that take none (a number, a tensor without gradients).

# %%
import tinygen as tg
from tinygen.learn import check, predict
from tinygen.training.own_code import backward_of

if __name__ == "__main__":
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2.0
    y = h * h
    print("y's node has the number", y.node.number, "and h's", h.node.number)
    print("h's inputs:", h.node.inputs)
    one = tg.tensor([1.0, 1.0])
    print("what h passes on if 1 arrives:", backward_of(h, one))
    print("what y passes on if 1 arrives:", backward_of(y, one))

# %% [markdown]
# ## Who has the next turn?
#
# At its turn, a tensor passes on what has arrived at it so far. Take h = 2x, k = 3h, y = h + k. From y,
# gradients arrive at h and at k. Which of the two has the next turn?


# %%
def arrives_at_x(turns):
    """What arrives at x if the tensors have their turns in this order, each one turn."""
    passes = {"y": [("h", 1), ("k", 1)], "k": [("h", 3)], "h": [("x", 2)]}  # to whom, and times what
    at = {"y": 1, "k": 0, "h": 0, "x": 0}
    for turn in turns:
        for name, slope in passes[turn]:
            at[name] += slope * at[turn]
    return at["x"]


predict("What arrives at x in the order y, k, h?", lambda: arrives_at_x("ykh"))
predict("And in the order y, h, k?", lambda: arrives_at_x("yhk"))

# %% [markdown]
# h must wait for k, since k was computed from h and still has something for it. How can the walk know
# that? It need not look at the graph. A tensor is computed after all that it is computed from, so its
# node has a larger number. **Of all that wait, the newest has its turn.** Then nothing that comes
# later can send anything to it: each has one turn only, with the whole sum. A leaf has no node, so it
# never has a turn.


# %%
def backpropagate(outputs, gs, inputs):
    """The gradients that arrive at the inputs: a list with a Tensor for each, or None where none arrives.

    gs[i] is the gradient that arrives at outputs[i] from outside. All are Tensors. One output may have
    been computed from another, and an input may have been computed, too. outputs may name one tensor
    twice: then add. No array is changed in place: s + g makes a new Tensor, and so does s += g.

    A Tensor can be a key of a dict and a member of a set: there it is found as the object that it is. In
    a list it cannot be looked for, since == compares its elements.
    """
    raise NotImplementedError


# %% [markdown]
# When it is right, train a GAN with it, with your walk in the place of tinygen's:
#
#     python examples/gan.py --with learn/04_walk.py --epochs 1
#
# and `tinygen learn test 04` runs tinygen's own tests on it. Since backward is written in Tensors,
# your walk even finds gradients of gradients; that is lesson 06.

# %%
check("04", globals())
