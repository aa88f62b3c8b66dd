"""Recurrent layers: a state h that each step of a sequence moves on.

All of them take sequences (N, T, in_features) to the states after each step, (N, T, features), or one step at a time: `start(n)` is the
state before the first step, `step(x, state)` the one after the next. A state is a tuple of Tensors (N, features) that begins with h.
The gates lie side by side: what the inputs of all steps add to all gates is one product, what the state adds is one for each step
(`functional/recurrent.py`).
"""

from typing import ClassVar

import numpy

from tinygen import functional as F
from tinygen.engine.tensor import Tensor
from tinygen.functional.recurrent import State
from tinygen.nn import init
from tinygen.nn.init import weight_of
from tinygen.nn.module import Module
from tinygen.nn.parameter import Parameter


def expect_sequences(x: Tensor, features: int) -> None:
    """Refuse what is no batch of sequences of one step or more."""
    if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != features:
        raise ValueError(f"input must be (N, T, {features}) with T at least 1, got {x.shape}")


class Recurrent(Module):
    """What the recurrent layers share. Each has so many `gates` and `states`, and moves a state on by `states_after`.

    weight (in_features, gates features) starts as Glorot's, and state_weight (features, gates features) as one orthogonal matrix for each
    gate, which keeps the lengths of states and gradients (Saxe et al., 2014).
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def __init__(self, in_features: int, features: int) -> None:
        self.weight = weight_of(in_features, self.gates * features)
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
        """h after each step of x, from a given state or from `start`."""
        expect_sequences(x, self.in_features)
        inputs = F.dense(x.transpose(1, 0, 2), self.weight, self.bias)
        return self.states_after(inputs, self.start(len(x)) if state is None else state)[0].transpose(1, 0, 2)

    def states_after(self, inputs: Tensor, state: State) -> State:
        """Each part of the state, after each step, (T, N, features); inputs and bias add `inputs` (T, N, gates features) to the gates."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its steps do")

    def describe(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.features})"


class RNN(Recurrent):
    """The plain recurrent layer, `functional.rnn` of x W + b."""

    def states_after(self, inputs: Tensor, state: State) -> State:
        return (F.rnn(inputs, self.state_weight, *state),)


class GRU(Recurrent):
    """The gated recurrent unit, `functional.gru` of x W + b. It is ONNX's GRU with linear_before_reset = 1 and no bias beside h U_n."""

    gates = 3

    def states_after(self, inputs: Tensor, state: State) -> State:
        return (F.gru(inputs, self.state_weight, *state),)


class LSTM(Recurrent):
    """Long short-term memory, `functional.lstm` of x W + b. The state is (h, c), and the gates lie in ONNX's order.

    The forget gate's bias starts at 1, so that at first c lasts (Jozefowicz et al., 2015).
    """

    gates, states = 4, 2

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__(in_features, features)
        self.bias.data[2 * features : 3 * features] = 1

    def states_after(self, inputs: Tensor, state: State) -> State:
        return F.lstm(inputs, self.state_weight, *state)
