"""Recurrent layers: each step of a sequence computes a new state h from its input and the state before.

A layer maps a whole sequence (N, T, in_features) to the states h after each step, (N, T, features).
Step by step, `start(n)` is the state before the first step, and `step(x, state)` is the state after
one more. `with_state(x, state)` gives the states h after each step and the whole state after the last.
A state is a tuple of Tensors (N, features) that begins with h.

The weights of all gates are concatenated: one matrix product covers the inputs of all steps and gates,
and one more per step covers the state (`functional/recurrent.py`).
"""

from typing import ClassVar

import numpy

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.recurrent import State
from tinygen.nn import init
from tinygen.nn.describe import expect_sizes
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


def expect_sequences(x: Tensor, features: int, name: str = "input") -> None:
    """Raise ValueError unless x is a batch of sequences, each of at least one step."""
    if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != features:
        raise ValueError(f"{name} must be (N, T, {features}) with T at least 1, got {x.shape}")


class Recurrent(Module):
    """What the recurrent layers share. A subclass gives its numbers of `gates` and of Tensors in a state, `states`.

    weight (in_features, gates features) starts as Glorot's. state_weight (features, gates features)
    starts as one orthogonal matrix for each gate, which keeps the norms of states and gradients (Saxe
    et al., 2014). bias (gates features,) starts as zeros. Raises ValueError for sizes that are not
    integers of at least 1.
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def __init__(self, in_features: int, features: int) -> None:
        expect_sizes(type(self).__name__, in_features=in_features, features=features)
        self.weight = Parameter(init.glorot((in_features, self.gates * features)))
        squares = [init.orthogonal((features, features)) for _ in range(self.gates)]
        self.state_weight = Parameter(numpy.concatenate(squares, axis=1))
        self.bias = Parameter(F.zeros((self.gates * features,)))
        self.in_features, self.features = in_features, features

    def start(self, n: int) -> State:
        """The state before the first step of n sequences: zeros."""
        return tuple(F.zeros((n, self.features), self.weight.dtype, self.weight.device) for _ in range(self.states))

    def step(self, x: Tensor, state: State) -> State:
        """The state after one more step, x (N, in_features)."""
        return tuple(states[0] for states in self.states_after(F.stack([F.dense(x, self.weight, self.bias)]), state))

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """h after each step of x; the first step begins from state, by default from `start`."""
        return self._all_states(x, state)[0].transpose(1, 0, 2)

    def with_state(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """What `forward` gives, and the state after the last step, from which the rest of a sequence can go on."""
        states = self._all_states(x, state)
        return states[0].transpose(1, 0, 2), tuple(each[-1] for each in states)

    def _all_states(self, x: Tensor, state: State | None) -> State:
        expect_sequences(x, self.in_features)
        inputs = F.dense(x.transpose(1, 0, 2), self.weight, self.bias)
        return self.states_after(inputs, self.start(len(x)) if state is None else state)

    def states_after(self, inputs: Tensor, state: State) -> State:
        """Each Tensor of the state after each step, (T, N, features).

        `inputs` (T, N, gates features) is x W + b, the part of all gates that does not depend on states.
        """
        raise NotImplementedError(f"{type(self).__name__} has no states_after")

    def describe(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.features})"


class RNN(Recurrent):
    """The plain recurrent layer, `functional.rnn` of x W + b."""

    def states_after(self, inputs: Tensor, state: State) -> State:
        return (F.rnn(inputs, self.state_weight, *state),)


class GRU(Recurrent):
    """The gated recurrent unit, `functional.gru` of x W + b (Cho et al., 2014).

    It is ONNX's GRU with linear_before_reset = 1 and without a bias beside h U_n.
    """

    gates = 3

    def states_after(self, inputs: Tensor, state: State) -> State:
        return (F.gru(inputs, self.state_weight, *state),)


class LSTM(Recurrent):
    """Long short-term memory, `functional.lstm` of x W + b (Hochreiter & Schmidhuber, 1997).

    The state is (h, c), and the gates are in ONNX's order. The bias of the forget gate starts at 1, so
    that c is kept at first (Jozefowicz et al., 2015).
    """

    gates, states = 4, 2

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__(in_features, features)
        self.bias.data[2 * features : 3 * features] = 1

    def states_after(self, inputs: Tensor, state: State) -> State:
        return F.lstm(inputs, self.state_weight, *state)
